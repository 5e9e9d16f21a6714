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
import sentencepiece

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
_SPACE = '\u2581'  # How sentencepiece writes a space.
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
  """Decodes every example under every setting, in one program.

  Args:
    workload: Workload.
    settings: of methods that draft and whose text no plan changes; those of a
      method are neighbours.
    gamma: draft length; no token depends on it.
    batch_size: rows decoded at a time, settings times prompts; at least one
      prompt is.

  Returns:
    Answers of each setting.

  Raises:
    ValueError: a model gave NaN.
  """
  E, copies = len(workload.examples), len(settings)
  width = batches.padded(workload.length_E.max())
  plan, parts = schedules.Plan(gamma), [[] for _ in settings]
  with progress.Progress(E * copies, 'answers') as bar:
    for index_P, count in batches.split(
      np.arange(E), max(1, batch_size // copies)
    ):
      prompts = batches.prompts(workload, index_P, copies, width)
      told = jax.device_get(
        _told(batches.decode(workload, prompts, settings, plan, None, observe))
      )
      for i, own in enumerate(parts):
        rows = slice(i * len(index_P), i * len(index_P) + count)
        own.append({name: x[rows] for name, x in told.items()})
      bar.advance(count * copies)
  return [
    _answers(
      workload,
      setting,
      jax.tree.map(lambda *x: np.concatenate(x), *own),
    )
    for setting, own in zip(settings, parts, strict=True)
  ]


def _told(result):
  """The arrays of a Result that answers are made of."""
  return {
    **result.observed,
    'token': result.token_BxN,
    'kept': result.from_drafter_BxN,
    'length': result.length_B,
  }


def _answers(workload, setting, told):
  """Answers of the arrays that `measure` collected."""
  length_E, token_ExN = told.pop('length'), told.pop('token')
  held_ExN = np.arange(token_ExN.shape[1]) < length_E[:, None]
  observed = [told[name][held_ExN] for name in ('divergence', 'entropy')]
  if not np.isfinite(observed).all():
    raise ValueError(
      f'{setting.method}: a model gave NaN; check the checkpoints, or compute '
      'in float32'
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


def classes(
  tokenizer: sentencepiece.SentencePieceProcessor, token_N: Iterable[int]
) -> list[str]:
  """Returns the class of each token of an answer, by its piece.

  A piece that begins with a letter continues a word if a letter, an apostrophe
  or a hyphen comes before it.

  Args:
    tokenizer: of the pair.
    token_N: the tokens.

  Returns:
    One of CLASSES for each.
  """
  found, before = [], ''
  for token in token_N:
    piece = tokenizer.id_to_piece(token)
    found.append(_class(token, piece, before))
    before = piece
  return found


def _class(token, piece, before):
  if token == tokenizers.EOS:
    return 'end'
  if token in (tokenizers.PAD, tokenizers.BOS, tokenizers.UNK):
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
