"""What a sweep decodes of cascades that choose between whole answers.

What a model answers depends neither on the cascade nor on its alpha. So the
drafter answers each prompt once for all settings of one sampling, and then the
verifier each that one of them is unsure of; both in slots.

Letters: B rows.
"""

import collections
import functools
import itertools
from collections.abc import Hashable, Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from speccascade import methods
from speccascade.decoding import results
from speccascade.methods import sequence_cascade
from speccascade.sweeps import batches, points, served


def decode(
  workload: batches.Workload,
  items: Sequence[served.Item],
  rows: int,
  width: int,
) -> Iterator[tuple[list[served.Item | None], results.Result]]:
  """Decodes answers, and tells of them as they end; see `served.decode`.

  Args:
    workload: Workload.
    items: of `SequenceCascade`s, of one seed and top-k.
    rows: most slots.
    width: that prompts are padded to.

  Yields:
    (items, None of a row that does not count; Result of these rows and some
    more).
  """
  drafts, unsure = {}, set()
  for part, draft in _answers(
    workload, items, methods.DRAFTER_ALONE, rows, width
  ):
    cascade = part[0][0].of
    alpha_B = _pad(np.array([s.values[0] for s, _ in part]), rows)
    sure_B = np.asarray(_sure(cascade, draft, alpha_B))[: len(part)]
    for row, item in enumerate(part):
      if not sure_B[row]:
        unsure.add(item)
        own = jax.tree.map(np.copy, _take(draft, row))  # No view of all rows.
        drafts[_of(item, methods.DRAFTER_ALONE)] = own
    kept = jax.device_get(_kept(draft))
    yield [x if s else None for x, s in zip(part, sure_B, strict=True)], kept
  left = [item for item in items if item in unsure]
  for part, final in _answers(
    workload, left, methods.VERIFIER_ALONE, rows, width
  ):
    own = [drafts[_of(item, methods.DRAFTER_ALONE)] for item in part]
    draft = jax.tree.map(lambda *x: _pad(np.stack(x), rows), *own)
    yield part, jax.device_get(_replaced(draft, final))


def programs(
  items: Sequence[served.Item], rows: int, width: int
) -> set[Hashable]:
  """Tells the programs of `decode` apart; those of the models, of all items.

  If the verifier is asked for few, it has another one than is told here.
  """
  return {
    served.program(list(_asked(items, model)), None, rows, width)
    for model in (methods.DRAFTER_ALONE, methods.VERIFIER_ALONE)
  }


def _asked(items, model):
  """{item of a model alone: those that its answer is for}."""
  asked = collections.defaultdict(list)
  for item in items:
    asked[_of(item, model)].append(item)
  return asked


def _answers(workload, items, model, rows, width):
  """Yields (items of one cascade, Result of `rows` rows) of a model alone."""
  asked = _asked(items, model)
  if not asked:
    return
  for own, result in served.decode(workload, list(asked), None, rows, width):
    wanted = [(item, row) for row, of in enumerate(own) for item in asked[of]]
    wanted.sort(key=lambda x: x[0][0].method)
    for _, same in itertools.groupby(wanted, lambda x: x[0][0].method):
      same = list(same)
      for start in range(0, len(same), rows):
        part, row_B = zip(*same[start : start + rows], strict=True)
        yield list(part), _take(result, _pad(np.array(row_B), rows))


def _of(item, model):
  """Whom a model's answer of an item is for: all that are sampled alike."""
  setting, example = item
  return points.like(setting, model), example


def _take(result, rows):
  return jax.tree.map(lambda x: x[rows], result)


def _pad(x_B, size):
  """Repeats the last row, so that programs have one shape."""
  return x_B[np.minimum(np.arange(size), len(x_B) - 1)]


@functools.partial(jax.jit, static_argnums=0)
def _sure(cascade, draft, alpha_B):
  return cascade.sure(draft, alpha_B)


@jax.jit
def _kept(draft):
  every_B = jnp.ones_like(draft.length_B, bool)
  return sequence_cascade.join(every_B, draft, sequence_cascade.unasked(draft))


@jax.jit
def _replaced(draft, final):
  nobody_B = jnp.zeros_like(draft.length_B, bool)
  return sequence_cascade.join(nobody_B, draft, final)
