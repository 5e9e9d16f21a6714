"""Greedy tokens that differ between float32 and a narrower compute type.

A narrow type rounds every product, so two logits that are close in float32 may
change places; which do depends on how many tokens a pass reads, too. The study
reads the greedy answers of float32 again, token by token as plain decoding does
and in blocks of γ + 1 as verification does, and counts the positions at which
another token is best: flips. Beside each it puts the margin, by how much in
float32 the best logit is ahead of the second. One flip changes all of an answer
that follows, so whole answers are decoded, too.

Letters: E examples, P prompts of a batch, B rows, N tokens of an answer
(padded), T tokens of a block.
"""

import dataclasses
import functools
import sys
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from speccascade import config, hosts, methods, sharding
from speccascade.decoding import prefill, results, schedules
from speccascade.models import base as models_base
from speccascade.reports.render import escape, tables
from speccascade.runs import environment
from speccascade.studies import base
from speccascade.sweeps import batches, points

_MARGINS = (
  0.0,
  0.001,
  0.003,
  0.01,
  0.03,
  0.1,
  0.3,
  1.0,
  np.inf,
)  # Bounds of the bins.


class Flips(base.Study):
  """A pair, computed in two types.

  Attributes:
    dtype: compute type of both models that is held against float32.
    num_examples: of the split.
    gamma: draft length of strict.
    max_new_tokens: most tokens of an answer; None is what the task says.
    batch_size: prompts decoded at a time.
  """

  dtype: config.Dtype = 'bfloat16'
  num_examples: config.Examples = 100
  gamma: config.Gamma = 8
  max_new_tokens: config.Tokens | None = None
  batch_size: config.Rows = 50

  def workload(self, dtype: str) -> batches.Workload:
    """Loads the pair in a type, and examples; ValueError as `batches.load`."""
    pair, task = self.model_copy(update={'dtype': dtype}).load()
    if self.max_new_tokens is not None:
      task = dataclasses.replace(task, max_new_tokens=self.max_new_tokens)
    return batches.load(pair, task, self.split, self.num_examples)


class Way(NamedTuple):
  """A way to decode in a type.

  Attributes:
    token_ExN: answers.
    length_E: tokens of each.
    best_ExN: the best token at each position of the answers in float32.
    margin_ExN: by how much its logit is ahead of the second.
    quality: the task's metric over the answers.
  """

  token_ExN: np.ndarray
  length_E: np.ndarray
  best_ExN: np.ndarray
  margin_ExN: np.ndarray
  quality: float


class Ways(NamedTuple):
  """Plain decoding of the verifier, and speculative decoding under strict."""

  plain: Way
  strict: Way


def run(study: Flips) -> str:
  """Decodes in both types; returns two tables and a line that says of what.

  Raises:
    ValueError: models, task or examples are not there or do not fit.
  """
  wide_load = study.workload('float32')
  told = environment.describe()
  wide = measure(study, wide_load)
  title, metric = _title(study, wide_load, told), wide_load.task.metric
  del wide_load  # Models of both types may not fit the memory.
  print('float32 done', file=sys.stderr, flush=True)
  narrow = measure(study, study.workload(study.dtype), wide.plain)
  return '\n\n'.join(
    [
      table(study.dtype, metric, wide, narrow),
      margins(study.dtype, wide, narrow),
      title,
    ]
  )


def measure(
  study: Flips, workload: batches.Workload, answers: Way | None = None
) -> Ways:
  """Decodes examples both ways and reads answers again.

  Args:
    study: Flips.
    workload: of models in the type that is measured.
    answers: that are read; None is its own of plain decoding.

  Raises:
    ValueError: a model gave a logit that is not finite.
  """
  E = len(workload.examples)
  order, parts = [], []
  size = min(study.batch_size, E)
  for index_P, count, width in batches.by_width(workload, range(E), size):
    prompts = batches.prompts(workload, index_P, width=width)
    plain, strict = (
      _decode(workload, prompts, method, plan)
      for method, plan in (
        (methods.VERIFIER_ALONE, None),
        (methods.STRICT, schedules.Plan(study.gamma)),
      )
    )
    given = plain
    if answers is not None:
      given = answers.token_ExN[index_P], answers.length_E[index_P]
    told = [
      (*decoded, *_read(workload, prompts, *given, block))
      for decoded, block in ((plain, 1), (strict, study.gamma + 1))
    ]
    part = jax.device_get(hosts.replicated(told))
    parts.append(jax.tree.map(lambda x, count=count: x[:count], part))
    order += index_P[:count].tolist()
  place_E = np.argsort(order)
  joined = jax.tree.map(lambda *x: np.concatenate(x)[place_E], *parts)
  return Ways(*(Way(*way, _quality(workload, *way[:2])) for way in joined))


def _decode(workload, prompts, method, plan):
  """(token_PxN, length_P), at temperature 0."""
  setting = points.Setting(method.name, (), 0.0, 1.0, 0, 0)
  result = batches.decode(workload, prompts, [setting], plan)
  return result.token_BxN, result.length_B


def _quality(workload, token_ExN, length_E):
  rows = zip(token_ExN, length_E, strict=True)
  return workload.task.quality(
    [batches.answer(workload, token_N[:length]) for token_N, length in rows],
    [example.reference for example in workload.examples],
  )


def _read(workload, prompts, token_BxN, length_B, block):
  pair = workload.pair
  params = pair.verifier_params
  return sharding.on_mesh(
    read, pair.verifier, params, prompts, token_BxN, length_B, block
  )


@functools.partial(jax.jit, static_argnums=(0, 5))
def read(
  model: models_base.Model,
  params: Any,
  prompts: results.Prompts,
  token_BxN: jax.Array,
  length_B: jax.Array,
  block: int,
) -> tuple[jax.Array, jax.Array]:
  """Reads answers that are given, a block of tokens at a time.

  Args:
    model: that reads.
    params: its parameters.
    prompts: Prompts that the answers follow.
    token_BxN: answers, padded.
    length_B: their tokens.
    block: T.

  Returns:
    (best_BxN, margin_BxN): the token of the largest logit in place of each of
    the answer, and by how much it is ahead of the second; 0 past the block that
    ends the longest.
  """
  prompts = jax.tree.map(lambda x: jnp.asarray(x, jnp.int32), prompts)
  B, N = token_BxN.shape
  steps = -(-N // block)
  cache, first_B = prefill.prefill(
    model, params, prompts, new_tokens=steps * block, block=block
  )
  fed_BxN = jnp.concatenate([first_B[:, None], token_BxN[:, :-1]], 1)
  fed_BxN = jnp.pad(fed_BxN, ((0, 0), (0, steps * block - N)))
  blocks_SxBxT = fed_BxN.reshape(B, steps, block).swapaxes(0, 1)

  def step(s, carry):
    cache, *told = carry
    logits_BxTxV, cache = model.extend(params, cache, blocks_SxBxT[s])
    value_BxTx2, index_BxTx2 = lax.top_k(logits_BxTxV, 2)
    margin_BxT = value_BxTx2[..., 0] - value_BxTx2[..., 1]
    new = index_BxTx2[..., 0], margin_BxT
    return cache, *(x.at[s].set(y) for x, y in zip(told, new, strict=True))

  # Of a number that the program does not know: a GPU's would hold each block.
  number = -(-length_B.max() // block)
  logits = jax.eval_shape(model.extend, params, cache, blocks_SxBxT[0])[0]
  nothing = (jnp.zeros_like(blocks_SxBxT, t) for t in (jnp.int32, logits.dtype))
  _, *told = lax.fori_loop(0, number, step, (cache, *nothing))
  whole = lambda x_SxBxT: x_SxBxT.swapaxes(0, 1).reshape(B, -1)[:, :N]  # noqa: E731
  return tuple(map(whole, told))


class Difference(NamedTuple):
  """How one way differs from another.

  Attributes:
    flip_ExN: positions of the float32 answers at which another token is best.
    at: position from which each answer that differs does.
  """

  flip_ExN: np.ndarray
  at: list[int]


def difference(way: Way, other: Way, held_ExN: np.ndarray) -> Difference:
  """Compares two ways; `held_ExN` are the tokens that both have read."""
  rows = zip(
    *(way.token_ExN, way.length_E, other.token_ExN, other.length_E), strict=True
  )
  at = []
  for token_N, length, other_N, other_length in rows:
    shared = min(length, other_length)
    unequal = np.flatnonzero(token_N[:shared] != other_N[:shared])
    if len(unequal) or length != other_length:
      at.append(int(unequal[0]) if len(unequal) else int(shared))
  return Difference((way.best_ExN != other.best_ExN) & held_ExN, at)


def held(answers: Way) -> np.ndarray:
  """Returns which positions of answers hold a token."""
  N = answers.token_ExN.shape[1]
  return np.arange(N) < answers.length_E[:, None]


def table(dtype: str, metric: str, wide: Ways, narrow: Ways) -> str:
  """Returns the differences as a Markdown table."""
  held_ExN = held(wide.plain)
  pairs = (
    ('float32, strict', wide.strict, 'float32, plain', wide.plain),
    (f'{dtype}, plain', narrow.plain, 'float32, plain', wide.plain),
    (f'{dtype}, strict', narrow.strict, 'float32, plain', wide.plain),
    (f'{dtype}, strict', narrow.strict, f'{dtype}, plain', narrow.plain),
  )
  rows = []
  for name, way, other_name, other in pairs:
    found = difference(way, other, held_ExN)
    flips, tokens = int(found.flip_ExN.sum()), int(held_ExN.sum())
    margin = np.sort(wide.plain.margin_ExN[found.flip_ExN])
    at = np.median(found.at) if found.at else None
    rows.append(
      [
        name,
        other_name,
        f'{flips} of {tokens}, {flips / tokens:.2%}',
        f'{np.median(margin):.3f}, {margin[-1]:.3f}' if flips else '–',
        f'{len(found.at)} of {len(held_ExN)}',
        '–' if at is None else f'{at:.0f}',
        f'{way.quality:.3g}',
      ]
    )
  columns = ['decoded in', 'held against', 'flips', 'margin: median, largest']
  columns += ['answers that differ', 'from token (median)', metric]
  return tables.markdown(tables.Table(columns, rows)).rstrip()


def margins(dtype: str, wide: Ways, narrow: Ways) -> str:
  """Returns the share of flips by margin as a Markdown table."""
  held_ExN, margin_ExN = held(wide.plain), wide.plain.margin_ExN
  flips = [
    difference(way, wide.plain, held_ExN).flip_ExN
    for way in (narrow.plain, narrow.strict)
  ]
  rows = []
  for low, high in zip(_MARGINS[:-1], _MARGINS[1:], strict=True):
    inside_ExN = held_ExN & (low <= margin_ExN) & (margin_ExN < high)
    tokens = int(inside_ExN.sum())
    counts = [int((flip_ExN & inside_ExN).sum()) for flip_ExN in flips]
    rows.append(
      [
        f'{low:g} to {high:g}' if np.isfinite(high) else f'{low:g} or more',
        f'{tokens}',
        *(f'{n / tokens:.1%}' if tokens else '–' for n in counts),
      ]
    )
  columns = ['margin in float32', 'tokens']
  columns += [f'that flip in {dtype}, {way}' for way in Ways._fields]
  return tables.markdown(tables.Table(columns, rows)).rstrip()


def _title(study, workload, told):
  versions = ', '.join(f'{k} {v}' for k, v in told['versions'].items())
  return escape.line(
    f'{workload.task.name}, pair {workload.pair.name}, γ = {study.gamma}, '
    f'{study.num_examples} examples, batches of {study.batch_size}; '
    f'{told["device"]}; {versions}'
  )
