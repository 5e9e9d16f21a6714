import contextlib
import dataclasses
import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from speccascade import methods, sharding
from speccascade.decoding import loop as loop_lib
from speccascade.decoding import results
from speccascade.models import cache as cache_lib
from speccascade.models import common, registry, short
from speccascade.sampling import keys, probabilities
from tests.models import test_families as contract

# Tiles of 16 keys, of which two parts have several each: float32 in both.
H, S, NEW, V = 32, 21, 60, 19
_SIZES = dict(
  vocab_size=V, embed_dim=24, num_heads=6, num_kv_heads=2, head_dim=H,
  hidden_dim=40, dtype='float32',
)  # fmt: skip
_OWN = {
  'gemma2': dict(num_layers=2, query_scalar=9.0, window=20),
  'gemma3': dict(num_layers=3, period=3, window=20, rope_base=100.0),
  'gemma4': dict(
    num_layers=3, period=3, window=20, num_global_kv_heads=1,
    global_head_dim=64, rope_fraction=0.7,
  ),
  'llama': dict(num_layers=2),
  'qwen2': dict(num_layers=2),
  'qwen3': dict(num_layers=2),
}  # fmt: skip


@pytest.fixture
def has_run(monkeypatch):
  monkeypatch.setattr(short, '_has_run', lambda: True)


@pytest.fixture
def as_on_gpu(monkeypatch, has_run):
  """The kernels, interpreted; of float32, for which they are not used."""
  monkeypatch.setattr(
    jax.lax,
    'platform_dependent',
    lambda *x, default=None, **of: of.get('cuda', default)(*x),
  )
  monkeypatch.setattr(short, '_INTERPRET', True)
  monkeypatch.setattr(short, '_TYPES', (jnp.float32,))
  monkeypatch.setattr(short, '_KEYS', 16)
  monkeypatch.setattr(short, '_PARTS', 2)
  monkeypatch.setattr(short, '_TOKENS', 3 * S)  # As of whole prompts.


def _normal(*shape, seed=0):
  random = np.random.default_rng(seed).normal(size=shape)
  return jnp.asarray(random, jnp.float32)


@functools.cache
def _model(family):
  config = registry.make_config(family, **_SIZES | _OWN[family])
  model = registry.make_model(config)
  shapes = jax.eval_shape(model.init, jax.random.key(0))
  rng = np.random.default_rng(0)
  params = jax.tree.map(
    lambda x: jnp.asarray(0.5 * rng.normal(size=x.shape), jnp.float32), shapes
  )
  return model, model.fuse(params)


LENGTH_B = np.array([S, 3, 12])


def _logits(family):
  """[logits_BxTxV] of blocks of ragged rows; the cache after them.

  After each block rows take some of its tokens back, so that stale keys lie
  past their lengths.
  """
  model, params = _model(family)
  rng = np.random.default_rng(1)
  prefill = functools.partial(model.prefill, new_tokens=NEW, block=4)
  cache, _ = prefill(params, rng.integers(0, V, (3, S)), LENGTH_B)
  extend, found = jax.jit(model.extend), []
  for T in (4, 1) * 8:
    logits, cache = extend(params, cache, rng.integers(0, V, (3, T)))
    found.append(logits)
    back_B = rng.integers(0, T, 3)
    cache = cache_lib.rewind(cache, cache.length_B - back_B)
  return found, cache


@pytest.mark.parametrize(
  'family',
  [
    pytest.param(x, marks=[pytest.mark.thorough] * (x in contract._ALIKE))
    for x in _OWN
  ],
)
def test_blocks_are_what_xla_makes_of_them(family, request, monkeypatch):
  """Past windows, around rings, over stale keys; the cache, too."""
  want, cache = _logits(family)
  assert any(cache.rings) == family.startswith('gemma')
  request.getfixturevalue('as_on_gpu')
  calls = []

  def recorded(name, function):
    def call(*args, **named):
      calls.append(name)
      if name == 'attend':  # And not of prompts, whose rows share a start.
        assert len(args[0]) == len(args[-1]) == 3
      return function(*args, **named)

    monkeypatch.setattr(short, name, call)

  recorded('join', short.join)
  recorded('attend', short.attend)
  found, made = _logits(family)
  assert {'join', 'attend'} == set(calls)
  # Sums of float32 in another order; logits are as large as 30.
  for one, other in zip(found, want, strict=True):
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-3)
  for x, y in zip(made.keys + made.values, cache.keys + cache.values,
                  strict=True):  # fmt: skip
    np.testing.assert_allclose(x, y, rtol=0, atol=1e-4)


def _decoded(gamma):
  """Ragged rows, drafted by another family, under strict at temperature 1."""
  loop_lib._decode.clear_cache()
  (drafter, own), (verifier, other) = _model('qwen3'), _model('gemma2')
  B, group = len(LENGTH_B), loop_lib.Group(methods.STRICT, len(LENGTH_B))
  loop = loop_lib.Loop(drafter, verifier, gamma, NEW, (V - 1,), (group,))
  token_BxS = np.random.default_rng(2).integers(0, V - 1, (B, S))
  request = results.Request(
    results.Prompts(token_BxS.astype(np.int32), LENGTH_B, np.arange(B)),
    probabilities.Sampling(np.ones(B), np.ones(B)),
    ((),),
    keys.make(0),
  )
  return jax.device_get(loop_lib.decode(loop, (own, other), request))


def test_a_loop_writes_the_same_tokens_by_kernels(request):
  """Their caches go through its loops, and are rewound."""
  want = _decoded(3)
  request.getfixturevalue('as_on_gpu')
  found = _decoded(3)
  loop_lib._decode.clear_cache()
  np.testing.assert_array_equal(found.token_BxN, want.token_BxN)
  assert want.length_B.max() > 20  # Past the window.
  assert min(want.counts.accepted_B.sum(), want.counts.rejected_B.sum()) > 3
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4),
    found.counts,
    want.counts,
  )


@pytest.mark.usefixtures('as_on_gpu')
@pytest.mark.parametrize('after', [False, True])
@pytest.mark.parametrize('before', [False, True])
@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
def test_a_branch_is_joined_as_by_xla(after, before, dtype, monkeypatch):
  """In parts of 8 numbers; of bfloat16 rounded wherever XLA rounds."""
  monkeypatch.setattr(short, '_TYPES', (jnp.dtype(dtype),))
  x, y = (_normal(3, 2, 24, seed=i).astype(dtype) for i in range(2))
  scales = [
    _normal(24, seed=2 + i) if s else None
    for i, s in enumerate((after, before))
  ]
  norms = dict(epsilon=1e-6, offset=1)
  want = common.join(x, y, *scales, **norms, kept=False)
  found = short.join(x, y, *scales, **norms)
  for one, other in zip(found, want, strict=True):
    assert (one is None) == (other is None)
    if one is not None:
      assert one.dtype == other.dtype == dtype
      # A sum in another order may round a bfloat16 to its neighbour.
      atol = {'float32': 3e-6, 'bfloat16': 2**-6}[dtype]
      np.testing.assert_allclose(
        *(z.astype(jnp.float32) for z in (one, other)), rtol=0, atol=atol
      )


@pytest.mark.usefixtures('has_run')
def test_kernels_take_few_tokens_in_bfloat16():
  def token(*shape, dtype=jnp.bfloat16):
    return jax.ShapeDtypeStruct(shape, dtype)

  assert short.takes(token(1, 1, 2304))
  assert not short.takes(token(1, 1, 2304, dtype=jnp.float32))
  assert short.takes(token(8, 6, 2304))
  assert not short.takes(token(9, 6, 2304))
  assert not short.takes(token(1, 1, 1022))  # Of 511 pieces.


_TOKEN = jax.ShapeDtypeStruct((1, 1, 2304), jnp.bfloat16)


def _run_on(monkeypatch, platform, capability=None):
  device = types.SimpleNamespace(compute_capability=capability)
  monkeypatch.setattr(jax, 'default_backend', lambda: platform)
  monkeypatch.setattr(jax, 'local_devices', lambda: [device])


@pytest.mark.parametrize(
  'device', [('gpu', '7.5'), ('gpu', '12.0'), ('gpu', 'gfx942'), ('tpu',)]
)
def test_devices_that_have_not_run_the_kernels_are_not_asked(
  device, monkeypatch
):
  _run_on(monkeypatch, 'gpu', '9.0')
  assert short.takes(_TOKEN)
  _run_on(monkeypatch, *device)
  assert not short.takes(_TOKEN)


def test_kernels_are_left_out_where_jax_has_none(monkeypatch):
  _run_on(monkeypatch, 'gpu', '9.0')
  monkeypatch.setattr(short, 'triton', None)
  assert not short.takes(_TOKEN)


def test_attention_takes_heads_that_its_products_take():
  assert short.attends(tokens=6, heads=4, width=256, layers=1)
  assert short.attends(tokens=6, heads=16, width=64, layers=1)
  assert not short.attends(tokens=6, heads=8, width=256, layers=1)
  assert not short.attends(tokens=48, heads=6, width=32, layers=1)
  assert not short.attends(tokens=1, heads=8, width=96, layers=1)
  assert not short.attends(tokens=1, heads=8, width=16, layers=1)
  assert not short.attends(tokens=1, heads=8, width=64, layers=2)


def test_so_many_heads_take_all_keys_at_a_time(monkeypatch):
  """More than there are to be blocks of threads."""
  rows, K = 48, short._BLOCKS // 48 + 1
  shape = functools.partial(jax.ShapeDtypeStruct, dtype=jnp.bfloat16)
  heads, stack = shape((rows, 1, K, H)), shape((1, rows, K, 64, H))
  half = jax.ShapeDtypeStruct((rows, 1, H // 2), jnp.float32)
  grids = []

  def call(kernel, grid, args, out, aliases=None):
    grids.append(grid)
    return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), out)

  monkeypatch.setattr(short, '_call', call)
  attend = functools.partial(
    short.attend, scale=1, cap=None, window=None, ring=False
  )
  starts = jax.ShapeDtypeStruct((rows,), jnp.int32)
  args = heads, heads, heads, (half, half), (stack, stack), starts
  mixed, _ = jax.eval_shape(attend, *args)
  assert mixed.shape == heads.shape
  assert grids[0] == (K, 1, rows)


def _attended(dtype, ring, window):
  """Kernel and XLA over random, also stale keys: (mixed_BxTxNxH, stacks)."""
  B, T, N, K, slots = 3, 4, 6, 2, 150
  start_B = jnp.array([400, 7, 149]) if ring else jnp.array([133, 0, 60])
  qkv = _normal(B, T, N + 2 * K, H).astype(dtype)
  q, k, v = jnp.split(qkv, (N, N + K), 2)
  stacks = [_normal(1, B, K, slots, H, seed=i).astype(dtype) for i in (1, 2)]
  position_BxT = start_B[:, None] + jnp.arange(T)
  angle = position_BxT[..., None] / 10.0 ** jnp.arange(H // 2)
  rotations = jnp.sin(angle), jnp.cos(angle)
  found = short.attend(
    q, k, v, rotations, stacks, start_B,
    scale=H**-0.5, cap=5.0, window=window, ring=ring,
  )  # fmt: skip

  def turned(x):
    one, other = jnp.split(x.astype(jnp.float32), 2, -1)
    sin, cos = (r[:, :, None] for r in rotations)
    parts = one * cos - other * sin, other * cos + one * sin
    return jnp.concatenate(parts, -1).astype(dtype)

  new = [x.swapaxes(1, 2) for x in (turned(k), v)]
  stacks = [
    cache_lib.append(old, 0, x, start_B, ring)
    for old, x in zip(stacks, new, strict=True)
  ]
  key_BxS = jnp.arange(slots)[None]
  if ring:
    key_BxS = cache_lib.slot_positions(start_B + T, slots, slots)
  mask = cache_lib.causal_mask(position_BxT, key_BxS, window)
  mixed = common.attend(
    turned(q) * H**-0.5, *(x[0] for x in stacks), mask,
    functools.partial(common.softcap, cap=5.0),
  )  # fmt: skip
  return found, (mixed, stacks)


@pytest.mark.usefixtures('as_on_gpu')
@pytest.mark.parametrize(
  ('ring', 'window'), [(False, 70), (True, 70), (False, 3)]
)
@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
@pytest.mark.parametrize('wide', [False, True])
def test_attention_is_what_xla_makes_of_it(dtype, ring, window, wide):
  """Of blocks longer than a window; where numbers are wide by default, too."""
  with jax.enable_x64(wide):
    (found, made), (want, stacks) = _attended(jnp.dtype(dtype), ring, window)
  # Weights are rounded to bfloat16 before or after they are divided.
  atol = {'float32': 3e-6, 'bfloat16': 2**-6}[dtype]
  np.testing.assert_allclose(
    *(x.astype(jnp.float32) for x in (found, want)), rtol=0, atol=atol
  )
  for x, y in zip(made, stacks, strict=True):
    np.testing.assert_allclose(
      *(z.astype(jnp.float32) for z in (x, y)), rtol=0, atol=atol
    )


_MARKS = {1: 384, 2: 640, 3: 896}  # Of a join, attention and its merging.


def _marked(kernel, grid, args, out, aliases=None):
  """A constant instead of a kernel, for which not all versions compile here."""
  del args
  kind = 2 if aliases else 3 if 'merge' in str(kernel) else 1
  assert kind > 1 or len(grid) == 1
  return jax.tree.map(lambda x: jnp.full(x.shape, _MARKS[kind], x.dtype), out)


def _asked(rows, mesh=None):
  """{platform: numbers of the kernels that a step of a decoder asks for}."""
  config = dataclasses.replace(_model('gemma2')[0].config, dtype='bfloat16')
  model, params = registry.make_model(config), _model('gemma2')[1]
  token = jnp.zeros((rows, 4), jnp.int32)

  def step(params):
    params = jax.tree.map(lambda x: x.astype(jnp.bfloat16), params)
    cache, _ = model.prefill(
      params, token, jnp.full(rows, 4), new_tokens=9, block=3
    )
    return model.extend(params, cache, token[:, :1])

  with jax.set_mesh(mesh) if mesh else contextlib.nullcontext():
    traced = jax.jit(step).trace(params)
    texts = {
      platform: traced.lower(lowering_platforms=(platform,)).as_text()
      for platform in ('cuda', 'cpu', 'tpu')
    }
  return {
    platform: {k for k, x in _MARKS.items() if f'{x / 100:.6f}e+02' in text}
    for platform, text in texts.items()
  }


@pytest.mark.usefixtures('has_run')
def test_a_decoder_asks_for_kernels_on_an_nvidia_gpu_alone(monkeypatch):
  """For few tokens that no devices divide; to attend, over a whole cache."""
  monkeypatch.setattr(short, '_call', _marked)
  none = {'cpu': set(), 'tpu': set()}
  assert _asked(1) == none | {'cuda': {1, 2, 3}}
  assert _asked(3) == none | {'cuda': {1, 2, 3}}
  assert _asked(49) == none | {'cuda': set()}
  mesh = sharding.make_mesh(1, 2, jax.devices()[:2])
  assert _asked(1, mesh) == none | {'cuda': {1}}
  mesh = sharding.make_mesh(2, 1, jax.devices()[:2])
  assert _asked(2, mesh) == none | {'cuda': set()}
  assert _asked(1, mesh) == none | {'cuda': {1, 2, 3}}


@pytest.mark.skipif(
  not jax.__version__.startswith('0.10.'), reason='Later ones ask for a GPU.'
)
@pytest.mark.parametrize('width', [32, 64, 128, 256, 512])
@pytest.mark.parametrize(('rows', 'tokens'), [(1, 1), (8, 6)])
def test_triton_takes_the_kernels(rows, tokens, width):
  """Real sizes, of heads and of what they are made of."""
  shape = functools.partial(jax.ShapeDtypeStruct, dtype=jnp.bfloat16)
  x, scale = shape((rows, tokens, 2304)), shape((2304,))
  heads = [shape((rows, tokens, n, width)) for n in (8, 4, 4)]
  stack = shape((1, rows, 4, 1184, width))
  half = jax.ShapeDtypeStruct((rows, tokens, width // 2), jnp.float32)
  starts = jax.ShapeDtypeStruct((rows,), jnp.int32)

  def step(x, scale, heads, half, stack, starts):
    joined = short.join(x, x, scale, scale, epsilon=1e-6, offset=1)
    attended = short.attend(
      *heads, (half, half), (stack, stack), starts,
      scale=0.1, cap=50.0, window=1000, ring=True,
    )  # fmt: skip
    return joined, attended

  traced = jax.jit(step).trace(x, scale, heads, half, stack, starts)
  lowered = traced.lower(lowering_platforms=('cuda',))
  assert lowered.as_text().count('xla.gpu.triton') == 3
