"""Models compute and write what those of transformers do, of every family.

`make_fixtures` tells what the folders hold.
"""

import dataclasses
import functools
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath

from speccascade import checkpoints, methods
from speccascade.checkpoints import hugging_face, native, orbax
from speccascade.models import base, registry
from speccascade.models import cache as cache_lib
from tests.decoding import table_model
from tests.parity import greedy

FOLDERS = sorted((pathlib.Path(__file__).parent / 'fixtures').iterdir())
NEW, BLOCK = 24, 4
# Of float32 logits of a few nats, computed in another order.
TOLERANCE = 1e-4
NAMES = [x.name for x in FOLDERS]
ONE_A_FAMILY = (
  *('gemma2', 'gemma3_text', 'gemma4_text', 'llama', 'qwen2', 'qwen3'),
  't5_v1_1',
)
for_each = pytest.mark.parametrize('name', NAMES)


@dataclasses.dataclass(frozen=True)
class _Case:
  """A fixture: rows of tokens, padded, what follows and what was computed."""

  model: base.Model
  params: Any
  token_BxT: np.ndarray
  length_B: np.ndarray
  logits: list[np.ndarray]
  greedy_BxN: np.ndarray
  inputs: tuple[np.ndarray, ...]


def _folder(name):
  return FOLDERS[0].parent / name


@functools.cache
def _case(name):
  config, params = checkpoints.load(_folder(name))
  told = np.load(_folder(name) / 'reference.npz')
  length_B = told['length_B']
  inputs = ('input_BxS', 'input_length_B')
  return _Case(
    registry.make_model(config),
    params,
    told['token_BxT'],
    length_B,
    np.split(told['logits_RxV'], np.cumsum(length_B)[:-1]),
    told['greedy_BxN'],
    tuple(told[x] for x in inputs if x in told),
  )


@functools.partial(jax.jit, static_argnums=0)
def _forward(model, params, *inputs):
  return model.forward(params, *inputs)


@functools.partial(jax.jit, static_argnums=(0, 4))
def _prefill(model, params, token_BxS, length_B, new):
  return model.prefill(params, token_BxS, length_B, new_tokens=new, block=BLOCK)


@functools.partial(jax.jit, static_argnums=0)
def _extend(model, params, cache, token_BxT):
  return model.extend(params, cache, token_BxT)


def _check(case, logits_BxTxV):
  for got, want in zip(np.asarray(logits_BxTxV), case.logits, strict=True):
    assert want.std() > 0.3
    np.testing.assert_allclose(got[: len(want)], want, rtol=0, atol=TOLERANCE)
    print(f'largest difference: {np.abs(got[: len(want)] - want).max():.1e}')


@for_each
def test_a_whole_pass(name):
  """With layers stacked; the next test has them apart."""
  case = _case(name)
  params = case.model.stack(case.params)
  _check(case, _forward(case.model, params, *case.inputs, case.token_BxT))


@for_each
def test_ragged_blocks_and_rewinds(name):
  """Rows are fed at their own pace; what was not kept was wrong."""
  case, rng = _case(name), np.random.default_rng(0)
  B, T = case.token_BxT.shape
  if case.inputs:
    cache, _ = _prefill(case.model, case.params, *case.inputs, T)
  else:  # Of the last of them `extend` is given.
    prompt_B = np.array([1, 9, 14])
    cache, _ = _prefill(case.model, case.params, case.token_BxT, prompt_B, T)
  done_B = start_B = np.asarray(cache.length_B)
  padded = np.pad(case.token_BxT, ((0, 0), (0, BLOCK)))
  while (done_B < case.length_B).any():
    keep_B = np.minimum(rng.integers(0, BLOCK + 1, B), case.length_B - done_B)
    at_BxG = done_B[:, None] + np.arange(BLOCK)
    block = np.take_along_axis(padded, at_BxG, 1)
    wrong = np.arange(BLOCK) >= keep_B[:, None]
    block = np.where(wrong, (block + 7) % case.model.vocab_size, block)
    logits, cache = _extend(case.model, case.params, cache, block)
    for b in range(B):
      want = case.logits[b][done_B[b] : done_B[b] + keep_B[b]]
      np.testing.assert_allclose(
        np.asarray(logits)[b, : keep_B[b]], want, rtol=0, atol=TOLERANCE
      )
    done_B = done_B + keep_B
    cache = cache_lib.rewind(cache, jnp.asarray(done_B))
  assert (done_B > start_B).all()


def _decode(case, params, method, drafter=(None, None), gamma=None):
  """Greedy tokens after the rows, or after the start token of a decoder."""
  return greedy.decode(
    (drafter[0], case.model),
    (drafter[1], params),
    method,
    case.inputs or (case.token_BxT, case.length_B),
    NEW,
    greedy.unused(case.model.vocab_size, case.greedy_BxN),
    gamma,
  )


@pytest.mark.parametrize('name', ONE_A_FAMILY)
def test_greedy_tokens(name):
  case = _case(name)
  result = _decode(case, case.params, methods.VERIFIER_ALONE)
  np.testing.assert_array_equal(result.token_BxN, case.greedy_BxN)


@pytest.mark.parametrize(
  'name',
  [
    pytest.param(
      x, marks=[] if x in ('gemma4_text', 't5_v1_1') else [pytest.mark.thorough]
    )
    for x in NAMES
  ],
)
def test_greedy_tokens_of_strict(name):
  """With stacked layers, and a drafter that knows the first half by heart."""
  case, V = _case(name), _case(name).model.vocab_size
  table_VxVxV = table_model.table(V, seed=0).astype(np.float32)
  for row in case.greedy_BxN:
    for one, two, three in zip(row, row[1:], row[2 : NEW // 2], strict=False):
      table_VxVxV[one, two, three] = 20
  result = _decode(
    case,
    case.model.stack(case.params),
    methods.STRICT,
    (table_model.TableModel(V, context_length=512), table_VxVxV),
    gamma=BLOCK - 1,
  )
  np.testing.assert_array_equal(result.token_BxN, case.greedy_BxN)
  accepted_B = np.asarray(result.counts.accepted_B)
  assert (accepted_B > 0).all()
  assert (accepted_B < NEW).all()


@for_each
@pytest.mark.parametrize('kind', [native, orbax, hugging_face])
def test_what_is_written_is_read_again(kind, name, tmp_path):
  """In our formats and in that of Hugging Face; bit by bit."""
  case = _case(name)
  config = case.model.config
  path = epath.Path(tmp_path) / 'written.safetensors'
  kind.save(path, config, case.params, 'float32')
  found, params = checkpoints.load(path)
  assert found == config
  jax.tree.map(np.testing.assert_array_equal, params, case.params)
