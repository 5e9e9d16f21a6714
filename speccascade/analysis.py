"""What both models say at every token that a cascade emitted.

Answers are decoded under a rule and then read again, each in one block, by
both models: so every emitted position has the rule's target pi, and with it
the probability D_TV(pi, q) that its draft was rejected.

Letters: E examples, P rows of a batch, S prompt tokens, N tokens of an answer
(padded), T tokens of all answers, one answer after another, V vocabulary.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from speccascade import distributions
from speccascade import rules as rules_lib
from speccascade.decoding import checks
from speccascade.sweeps import settings as settings_lib
from speccascade.sweeps import workload as workload_lib
from speccascade.tasks import tokenizer as tokenizer_lib

CLASSES = (
  'digit',
  'word start',
  'word continuation',
  'punctuation',  # And the signs of a sum.
  'newline',
  'end',
  'other',  # What no answer should hold: padding, unknown characters.
)
_SPACE = '\u2581'  # how sentencepiece writes a space
_WITHIN = "-'"  # May stand inside a word, as letters do.


@dataclasses.dataclass(frozen=True)
class Answers:
  """All answers under a setting, token by token.

  Attributes:
    setting: settings.Setting they were decoded with.
    quality: the task's metric over all of them.
    length_E: tokens of each answer, the end of sequence included.
    kept_T: whether a token is an accepted draft.
    class_T: one of CLASSES.
    divergence_T: D_TV(pi, q), the probability that the draft is rejected.
    gap_T: D_TV(p, q), that of strict speculative decoding at this place.
    entropy_T: of the drafter at temperature 1, in nats.
    confidence_T: max q hat, the drafter's largest probability.
  """

  setting: settings_lib.Setting
  quality: float
  length_E: np.ndarray
  kept_T: np.ndarray
  class_T: np.ndarray
  divergence_T: np.ndarray
  gap_T: np.ndarray
  entropy_T: np.ndarray
  confidence_T: np.ndarray

  @property
  def example_T(self):
    """Which example a token belongs to."""
    return np.repeat(np.arange(len(self.length_E)), self.length_E)

  @property
  def position_T(self):
    """A token's place in its answer, from 0 on."""
    start_E = np.cumsum(self.length_E) - self.length_E
    return np.arange(self.length_E.sum()) - start_E[self.example_T]


def setting(text, temperature, seed):
  """Reads 'strict' or 'token_v3:0.7', a rule and its alpha.

  Args:
    text: what a command line says.
    temperature: of both models.
    seed: of the draws.

  Returns:
    settings.Setting, with neither top-p nor top-k.

  Raises:
    ValueError: there is no such rule, or a number is missing or out of range.
  """
  name, colon, number = text.partition(':')
  rule = rules_lib.get(name)
  alpha = None
  if rule.alpha_range is not None:
    try:
      alpha = float(number)
    except ValueError:
      raise ValueError(
        f'{text}: {name} takes an alpha, a number after a colon: {name}:0.5'
      ) from None
    rules_lib.check_alpha(rule, [alpha])
  elif colon:
    raise ValueError(f'{text}: {name} takes no alpha: {name}')
  one = distributions.Sampling(np.full(1, float(temperature)), np.ones(1))
  checks.check_sampling(one, 1)
  return settings_lib.Setting(name, alpha, float(temperature), 1.0, 0, seed)


def measure(workload, setting, gamma, batch_size):
  """Decodes every example under a setting, and reads the answers again.

  Args:
    workload: workload.Workload.
    setting: Setting of a rule.
    gamma: draft length; no token depends on it.
    batch_size: rows decoded at a time.

  Returns:
    Answers.

  Raises:
    ValueError: a model gave NaN.
  """
  E = len(workload.examples)
  P = min(batch_size, E)
  width = workload_lib.padded(workload.length_N.max())
  sampling = distributions.Sampling(
    np.full(P, setting.temperature), np.full(P, setting.top_p), setting.top_k
  )
  batches = []
  for start in range(0, E, P):
    # A short last batch begins anew, so that nothing recompiles.
    index_P = np.arange(start, start + P) % E
    prompts = workload_lib.prompts(workload, index_P, width=width)
    plan = settings_lib.Plan(gamma)
    result = workload_lib.decode(workload, prompts, [setting], plan)
    told = judge(
      (workload.pair.drafter, workload.pair.verifier),
      workload.pair.params,
      prompts,
      result.token_BxN,
      sampling,
      rules_lib.RULES[setting.rule],
      np.full(P, setting.alpha or 0.0),
    )
    told |= {
      'token': result.token_BxN,
      'kept': result.from_drafter_BxN,
      'length': result.length_B,
    }
    batches.append(jax.device_get(told))
  joined = jax.tree.map(lambda *x: np.concatenate(x)[:E], *batches)
  return _answers(workload, setting, joined)


def judge(models, params, prompts, token_PxN, sampling, rule, alpha_P):
  """What a rule made of each position of answers, both models teacher-forced.

  Args:
    models: (drafter, verifier).
    params: their parameters.
    prompts: results.Prompts, a row an answer.
    token_PxN: the answers; what follows their end is read, but tells nothing.
    sampling: distributions.Sampling they were decoded with.
    rule: a function of rules.RULES.
    alpha_P: its threshold in each row.

  Returns:
    {'divergence': D_TV(pi, q), 'gap': D_TV(p, q), 'entropy': of q hat in nats,
    'confidence': max q hat}, each PxN.
  """
  index = checks.rule_index(rule, tuple(rules_lib.RULES.values()))
  return _judge(models, params, prompts, token_PxN, sampling, index, alpha_P)


@functools.partial(jax.jit, static_argnums=0)
def _judge(models, params, prompts, token_PxN, sampling, index, alpha_P):
  read = functools.partial(_read, _int32(prompts), token_PxN, sampling)
  (q_raw, q), (p_raw, p) = map(read, models, params)
  pi = lax.switch(
    index, tuple(rules_lib.RULES.values()), q, p, q_raw, p_raw, alpha_P[:, None]
  )
  log = jnp.log(jnp.where(q_raw > 0, q_raw, 1))
  return {
    'divergence': rules_lib.total_variation(pi, q),
    'gap': rules_lib.total_variation(p, q),
    'entropy': -(q_raw * log).sum(-1),
    'confidence': q_raw.max(-1),
  }


def _int32(prompts):
  return jax.tree.map(lambda x: jnp.asarray(x, jnp.int32), prompts)


def _read(prompts, token_PxN, sampling, model, params):
  """(q hat, q) of a model after the prompt and each prefix of an answer."""
  N = token_PxN.shape[1]
  cache, last_P = model.prefill(
    params, prompts.token_PxS, prompts.length_P, new_tokens=N, block=N
  )
  fed_PxN = jnp.concatenate([last_P[:, None], token_PxN[:, :-1]], 1)
  logits_PxNxV, _ = model.extend(params, cache, fed_PxN)
  raw_PxNxV = distributions.raw(logits_PxNxV)
  return raw_PxNxV, distributions.probabilities(
    logits_PxNxV, raw_PxNxV, sampling
  )


def _answers(workload, setting, told):
  """Answers of the arrays that `measure` collected."""
  told = dict(told)
  length_E = told.pop('length')
  token_ExN = told.pop('token')
  held_ExN = np.arange(token_ExN.shape[1]) < length_E[:, None]
  if not np.isfinite(told['divergence'][held_ExN]).all():
    raise ValueError(
      f'{setting.rule}: a model gave NaN; check the checkpoints, or compute in '
      'float32'
    )
  tokens = [
    row[:n].tolist() for row, n in zip(token_ExN, length_E, strict=True)
  ]
  tokenizer = workload.pair.tokenizer
  quality = workload.task.quality(
    [tokenizer.decode(row) for row in tokens],
    [example.reference for example in workload.examples],
  )
  return Answers(
    setting=setting,
    quality=quality,
    length_E=length_E,
    class_T=np.array([c for row in tokens for c in classes(tokenizer, row)]),
    **{f'{name}_T': x_ExN[held_ExN] for name, x_ExN in told.items()},
  )


def classes(tokenizer, token_N):
  """The class of each token of an answer, by the text of its piece.

  A piece that begins with a letter continues a word if a letter, an apostrophe
  or a hyphen comes before it.

  Args:
    tokenizer: SentencePieceProcessor.
    token_N: the tokens.

  Returns:
    List of N of CLASSES.
  """
  found, before = [], ''
  for token in token_N:
    piece = tokenizer.id_to_piece(token)
    found.append(_class(token, piece, before))
    before = piece
  return found


def _class(token, piece, before):
  if token == tokenizer_lib.EOS:
    return 'end'
  if token in (tokenizer_lib.PAD, tokenizer_lib.BOS, tokenizer_lib.UNK):
    return 'other'
  if piece == '\n':
    return 'newline'
  first = piece.removeprefix(_SPACE)[:1]
  if first.isdigit():
    return 'digit'
  if first.isalpha() or piece == _SPACE:
    last = before[-1:]
    within = first == piece[0] and (last.isalpha() or last in _WITHIN)
    return 'word continuation' if within and last else 'word start'
  return 'punctuation'
