"""What both models say at every token that a method emitted.

The decoding loop tells of each emitted position: the target pi, and with it
the probability D_TV(pi, q) that the draft is rejected, and the drafter's
distribution.

Letters: E examples, P prompts of a batch, B rows, G positions of a block,
N tokens of an answer (padded), T tokens of all answers, one answer after
another, V vocabulary.
"""

import dataclasses
from collections.abc import Iterable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from speccascade import tokenizers
from speccascade.decoding import defer, schedules
from speccascade.decoding import draft as draft_lib
from speccascade.runs import progress
from speccascade.sampling import probabilities
from speccascade.sweeps import batches, points

CLASSES = (
  'digit',
  'word start',
  'word continuation',
  'punctuation',  # Arithmetic signs as well.
  'newline',
  'end',
  'other',  # Padding and unknown characters; no answer should hold them.
)
_WITHIN = "-'"  # Occur within words, as letters do.


@dataclasses.dataclass(frozen=True)
class Answers:
  """All answers under a setting, token by token.

  Attributes:
    setting: Setting they were decoded with.
    quality: the task's metric over all of them.
    length_E: tokens of each answer, EOS included.
    kept_T: whether a token is an accepted draft.
    class_T: one of CLASSES.
    divergence_T: D_TV(pi, q), the probability that the draft is rejected.
    gap_T: D_TV(p, q), that probability under strict.
    entropy_T: of the drafter at temperature 1, in nats.
    confidence_T: max q hat, the drafter's largest probability.
  """

  setting: points.Setting
  quality: float
  length_E: np.ndarray
  kept_T: np.ndarray
  class_T: np.ndarray
  divergence_T: np.ndarray
  gap_T: np.ndarray
  entropy_T: np.ndarray
  confidence_T: np.ndarray

  @property
  def example_T(self) -> np.ndarray:
    """The example of each token."""
    return np.repeat(np.arange(len(self.length_E)), self.length_E)

  @property
  def position_T(self) -> np.ndarray:
    """The position of each token in its answer, from 0."""
    start_E = np.cumsum(self.length_E) - self.length_E
    return np.arange(self.length_E.sum()) - start_E[self.example_T]


def observe(
  draft: draft_lib.Draft, verified: defer.Verified, divergence_BxG: jax.Array
) -> dict[str, jax.Array]:
  """Returns what `Answers` holds of each position; see `decoding.loop.Loop`."""
  q_raw_BxGxV = draft.q_raw_BxGxV
  log_BxGxV = jnp.log(jnp.where(q_raw_BxGxV > 0, q_raw_BxGxV, 1))
  return {
    'divergence': divergence_BxG,
    'gap': probabilities.total_variation(verified.p_BxGxV, draft.q_BxGxV),
    'entropy': -(q_raw_BxGxV * log_BxGxV).sum(-1),
    'confidence': q_raw_BxGxV.max(-1),
  }


def measure(
  workload: batches.Workload,
  settings: Sequence[points.Setting],
  gamma: int,
  batch_size: int,
) -> list[Answers]:
  """Decodes every example under every setting.

  Args:
    workload: Workload.
    settings: of methods that draft and whose text no plan changes; those of a
      method are neighbours.
    gamma: draft length; no token depends on it.
    batch_size: rows decoded at a time, settings times prompts.

  Returns:
    Answers of each setting.

  Raises:
    ValueError: a model gave a logit that is not finite.
  """
  answers = []
  total = len(workload.examples) * len(settings)
  with progress.Progress(total, 'answers') as bar:
    for own in batches.parts(settings, batch_size):
      told = _decode(workload, own, schedules.Plan(gamma), batch_size, bar)
      answers += [
        _answers(workload, setting, {name: x[i] for name, x in told.items()})
        for i, setting in enumerate(own)
      ]
  return answers


def _decode(workload, settings, plan, batch_size, bar):
  """What answers are made of, by name: an array [settings, E, ...] each."""
  copies, E = len(settings), len(workload.examples)
  size = min(max(1, batch_size // copies), E)
  order, parts = [], []
  for index_P, count, width in batches.by_width(workload, range(E), size):
    prompts = batches.prompts(workload, index_P, copies, width)
    result = batches.decode(workload, prompts, settings, plan, None, observe)
    told = result.observed | {
      'token': result.token_BxN,
      'kept': result.from_drafter_BxN,
      'length': result.length_B,
    }
    parts.append(
      {
        name: x.reshape(copies, size, *x.shape[1:])[:, :count]
        for name, x in jax.device_get(told).items()
      }
    )
    order += index_P[:count].tolist()
    bar.advance(count * copies)
  place_E = np.argsort(order)
  joined = jax.tree.map(lambda *x: np.concatenate(x, 1), *parts)
  return {name: x[:, place_E] for name, x in joined.items()}


def _answers(workload, setting, told):
  """Answers of the arrays that `measure` collected."""
  length_E, token_ExN = told.pop('length'), told.pop('token')
  held_ExN = np.arange(token_ExN.shape[1]) < length_E[:, None]
  tokens = [
    row[:n].tolist() for row, n in zip(token_ExN, length_E, strict=True)
  ]
  tokenizer = workload.pair.tokenizer
  quality = workload.task.quality(
    [batches.answer(workload, row) for row in tokens],
    [example.reference for example in workload.examples],
  )
  return Answers(
    setting=setting,
    quality=quality,
    length_E=length_E,
    class_T=np.array([c for row in tokens for c in classes(tokenizer, row)]),
    **{f'{name}_T': x_ExN[held_ExN] for name, x_ExN in told.items()},
  )


def classes(
  tokenizer: tokenizers.Tokenizer, token_N: Iterable[int]
) -> list[str]:
  """Returns the class of each token of an answer, by the text that it adds.

  What begins with a letter continues a word if a letter, an apostrophe or a
  hyphen comes before it.

  Args:
    tokenizer: of the pair.
    token_N: the tokens.

  Returns:
    One of CLASSES for each.
  """
  found, before = [], ''
  tokens = list(token_N)
  texts = tokenizers.spell(tokenizer, tokens)
  for token, text in zip(tokens, texts, strict=False):  # And a rest.
    found.append(_class(tokenizer, token, text, before))
    before = text[-1:] or before
  return found


def _class(tokenizer, token, text, before):
  if token in tokenizer.eos_ids:
    return 'end'
  if token in tokenizer.special_ids or token == tokenizer.unk_id:
    return 'other'
  if text and not text.strip('\n'):
    return 'newline'
  first = text.removeprefix(' ')[:1]
  if first.isdigit():
    return 'digit'
  if first.isalpha() or not text.strip():
    within = text[:1] == first and (before.isalpha() or before in _WITHIN)
    return 'word continuation' if within and before else 'word start'
  return 'punctuation'
