"""A small cascade, compiled for four chips that are not there.

Weights and caches do not fit the chips' fast memory, where nothing counts.
"""

import dataclasses
import importlib.util
import math

import jax
import jax.numpy as jnp
import pytest

from speccascade import sharding
from speccascade.aot import chips, fit, needs, predict, program, traffic
from speccascade.decoding import blocks, schedules
from speccascade.models import presets
from speccascade.models.gemma2 import config as gemma2
from speccascade.models.t5 import config as t5

pytestmark = [
  pytest.mark.skipif(
    importlib.util.find_spec('libtpu') is None, reason='needs libtpu'
  ),
  pytest.mark.usefixtures('libtpu'),
]
B, S, GAMMA = 8, 2048, 3
V = 16 * 251  # Of blocks that four devices divide, if they are of 251 pieces.


def _gemma(layers):
  return gemma2.Gemma2Config(
    vocab_size=V, num_layers=layers, embed_dim=2048, num_heads=4,
    num_kv_heads=2, head_dim=128, hidden_dim=16384, window=512,
    dtype='bfloat16',
  )  # fmt: skip


def _full(layers):
  return dataclasses.replace(_gemma(layers), attention_pattern=('global',))


def _t5(layers):
  return t5.T5Config(
    vocab_size=V, num_layers=layers, embed_dim=2048, num_heads=4, head_dim=64,
    hidden_dim=16384, input_length=S, dtype='bfloat16',
  )  # fmt: skip


def _cell(make, data):
  layers = 32 if make is _gemma else 16
  return program.Cell(
    make(layers), make(2 * layers), 'v5e:2x2', data, B, S, new_tokens=24,
    gamma=GAMMA,
  )  # fmt: skip


@pytest.fixture(
  scope='module',
  params=[
    # The verifier alone has rings: of both they compile for longer.
    (_gemma, 1, {'drafter': _full(32), 'drafter_weights': 'int8'}),
    *(
      pytest.param(x, marks=pytest.mark.thorough)
      for x in (
        (_gemma, 1, {}),
        (_gemma, 1, {'drafter_weights': 'int8', 'verifier_weights': 'int8'}),
        (_t5, 2, {}),
      )
    ),
  ],
  ids=['gemma', 'gemma-wide', 'gemma-int8', 't5'],
)
def compiled(libtpu, request, tmp_path_factory):
  """(cell, its program, the text of that, what the cell needs)."""
  del libtpu
  make, data, changes = request.param
  cell = dataclasses.replace(_cell(make, data), **changes)
  made, compile_ = [], fit.compiled

  def kept(lowered):
    made.extend(compile_(lowered))
    return made

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(fit, 'compiled', kept)
    found = fit.of(cell, tmp_path_factory.mktemp('programs'))
  return cell, *made, found


def _loop(text):
  own = traffic.Program(text)
  return own, own.body(fit.main_loop(own))


def test_no_transfer_to_the_host(compiled):
  own, _ = _loop(compiled[2])
  assert own.host_transfers() == []


def test_no_copy_of_a_cache(compiled):
  """Nor of any layer of one: a layer of a row is the least that is told."""
  cell, _, text, _ = compiled
  own, body = _loop(text)
  heads, width = cell.verifier.num_heads, cell.verifier.head_dim
  layer = 2 * S * heads * width // 2
  assert own.copies(layer, body) == own.copies(layer, own.module.entry) == []


def test_a_program_does_not_begin_with_copies_of_its_weights(compiled):
  """The least kernel of all layers counts that attention reads, of a device."""
  cell, _, text, _ = compiled
  own, _ = _loop(text)
  for model in (cell.drafter, cell.verifier):
    heads = getattr(model, 'num_kv_heads', model.num_heads)
    size = model.num_layers * model.embed_dim * heads * model.head_dim // 4
    copies = own.copies(size, own.module.entry)
    kernels = f'({model.num_layers}, {model.embed_dim}, '
    assert not [copy for copy in copies if kernels in copy]


def test_no_gather_of_the_vocabulary(compiled):
  """Rows of logits stay where they were computed."""
  cell, _, text, _ = compiled
  own, body = _loop(text)
  moved = own.of(body)
  assert moved.numbers['all-reduce'] > 0
  # What an int8 table embeds is gathered, in bfloat16.
  narrow = (cell.drafter_weights, cell.verifier_weights).count('int8')
  embedded = narrow * 2 * B * (GAMMA + 1) * cell.verifier.embed_dim
  assert moved.collectives['all-gather'] < 4 * B * V + embedded


def test_caches_are_divided(compiled):
  """Over heads as far as they go, and over rows: nothing is held twice."""
  cell, _, text, _ = compiled
  own, _ = _loop(text)
  carried = [
    x.dims
    for x in fit.main_loop(own).shapes
    if len(x.dims) == 5 and x.dims[3] >= 24
  ]
  assert sum(needs.caches(cell)) == 2 * sum(map(math.prod, carried))
  found = {dims[1:3] for dims in carried}
  heads = getattr(cell.verifier, 'num_kv_heads', cell.verifier.num_heads)
  split = min(heads, 4 // cell.data)
  assert found == {(B // (4 // split), heads // split)}


@pytest.mark.parametrize('make', [_gemma, _t5])
def test_weights_take_what_their_shapes_do(libtpu, make):
  """Nor would a program pad them: half of a head of 64 in a tile of 128."""
  del libtpu
  cell = dataclasses.replace(_cell(make, 1), verifier=make(1))
  params = cell.params()[1]
  sums = jax.jit(lambda params: jax.tree.map(jnp.sum, params))
  made = sums.lower(params).compile().memory_analysis()
  own = sum(map(needs._share, jax.tree.leaves(params)))
  assert own <= made.argument_size_in_bytes < 1.01 * own


def test_what_it_needs(compiled, monkeypatch):
  """An iteration moves what it must and little more, of int8 weights too.

  They are cast where they are read.
  """
  cell, made, text, found = compiled
  assert found['fits']
  held = sum(map(needs._share, jax.tree.leaves(cell.params())))
  assert found['peak'] >= found['arguments'] >= held
  assert found['caches'] <= found['temporaries']
  assert 0.9 < found['iteration'] / needs.floor(cell) < 1.1
  assert found['drafter_step'] * (GAMMA + 1) < found['iteration']
  assert found['host_transfers'] == found['copies'] == []
  assert needs.memory(cell) < chips.CHIPS['v5e'].hbm
  times = predict.times(found, chips.CHIPS['v5e'], GAMMA)
  assert 0 < times.drafter_step < times.verifier_token < times.iteration
  less = dataclasses.replace(chips.CHIPS['v5e'], hbm=found['peak'] - 1)
  monkeypatch.setitem(chips.CHIPS, 'v5e', less)
  assert not fit.read(cell, made, text)['fits']


@pytest.mark.parametrize('make', [_gemma, _t5])
def test_int8_halves_what_weights_need(make):
  """Caches stay; a scale for each channel adds little."""
  cell = _cell(make, 1)
  narrow = dataclasses.replace(
    cell, drafter_weights='int8', verifier_weights='int8'
  )
  for wide, own in zip(cell.params(), narrow.params(), strict=True):
    assert 0.5 < needs.weights(own) / needs.weights(wide) < 0.51
  saved = sum(
    times * (needs.weights(wide) - needs.weights(own))
    for times, wide, own in zip(
      (GAMMA + 1, 1), cell.params(), narrow.params(), strict=True
    )
  )
  assert needs.floor(cell) - needs.floor(narrow) == saved
  assert needs.memory(narrow) < needs.memory(cell)


def test_what_was_compiled_is_kept(monkeypatch, tmp_path):
  """By program: another batch is another; so is what does not fit."""
  made = []

  def compiled(lowered):
    made.append(lowered)
    raise jax.errors.JaxRuntimeError('(19.5G) exceeds available HBM (15.75G)')

  monkeypatch.setattr(fit, 'compiled', compiled)
  cell = _cell(_gemma, 2)
  found = fit.of(cell, tmp_path)
  assert found == {'fits': False, 'peak': 19.5 * 2**30, 'devices': 4}
  assert fit.of(cell, tmp_path) == found
  assert len(made) == 1
  fit.of(dataclasses.replace(cell, batch=16), tmp_path)
  assert len(made) == 2


@pytest.mark.parametrize(
  'told',
  [
    'INTERNAL: no space left on device',
    'Ran out of memory in memory space vmem. Used 32.42M of 16.00M vmem.',
  ],
)
def test_what_failed_is_no_size_and_is_tried_again(told, monkeypatch, tmp_path):
  made = []

  def compiled(lowered):
    made.append(lowered)
    raise jax.errors.JaxRuntimeError(told)

  monkeypatch.setattr(fit, 'compiled', compiled)
  for _ in range(2):
    found = fit.of(_cell(_gemma, 2), tmp_path)
    assert found == {'fits': False, 'error': told, 'devices': 4}
  assert len(made) == 2


def test_what_is_kept_hangs_on_the_flags_of_the_compiler(monkeypatch, tmp_path):
  lowered, made = jax.jit(jnp.sin).lower(1.0), []

  def needs_of(_):
    made.append(1)
    return {'fits': True}

  for flags, calls in (
    ('', 1),
    ('--xla_tpu_scoped_vmem_limit_kib=1024', 2),
    ('--xla_gpu_enable_command_buffer=', 2),  # It does not concern a TPU.
  ):
    monkeypatch.setenv('LIBTPU_INIT_ARGS', flags)
    fit._kept(lowered, 'v5e:2x2', tmp_path, needs_of)
    assert len(made) == calls


def test_layers_that_are_not_stacked_tell_a_drafter_step(libtpu, tmp_path):
  """Of one row, too, whose step has no loop within it."""
  del libtpu
  cell = dataclasses.replace(
    _cell(_gemma, 1), drafter=_gemma(1), verifier=_gemma(2),
    topology='v5e:1x1', batch=1, prompt=128, stacked=False,
  )  # fmt: skip
  found = fit.of(cell, tmp_path)
  assert found['fits']
  step = needs.weights(cell.params()[0])
  assert 0.5 * step < found['drafter_step'] < 1.5 * step
  assert found['drafter_collectives'] == {}


def test_flops_are_those_of_a_device():
  """Of what none divides each computes all."""
  cell = _cell(_gemma, 1)
  whole = needs.flops(dataclasses.replace(cell, topology='v5e:1x1'))
  assert needs.flops(cell) == {k: v / 4 for k, v in whole.items()}
  own = needs.flops(dataclasses.replace(cell, drafter_devices=1))
  assert own['drafter_step'] == whole['drafter_step']
  assert own['block'] == whole['block'] / 4
  three = dataclasses.replace(cell, batch=3)
  rows = needs.flops(dataclasses.replace(three, data=2))
  assert rows == {k: 2 * v for k, v in needs.flops(three).items()}
  # A GPU takes a lone token eight times.
  one = needs.flops(dataclasses.replace(cell, batch=1))
  assert one['verifier_step'] < one['block'] / 3


def test_times_are_those_of_what_is_moved_computed_and_sent():
  chip = chips.Chip(0, bandwidth=1e9, flops=1e12, links=1e9, slices=())
  found = {
    'iteration': 10e6, 'drafter_step': 1e6,
    'flops': {'drafter_step': 1e6, 'verifier_step': 1e9, 'block': 9e9},
    'collectives': {'all-reduce': [7, 3e6]},
    'drafter_collectives': {'all-reduce': [2, 1e6]},
  }  # fmt: skip
  step, rest = 1.0 + 0.002 + 1.0, 0.001 + 0.0
  times = predict.times(found, chip, gamma=2)
  # Three steps; a block of 7 MB, of which products take longer; one more sum.
  assert times.drafter_step == pytest.approx(step)
  assert times.iteration == pytest.approx(3 * step + 9.0 + rest)
  assert times.verifier_token == pytest.approx(7.0 + rest)


def test_both_cores_of_a_chip_of_v4_are_a_device(libtpu):
  del libtpu
  assert len(program.devices('v4:2x2x1')) == 4


def test_slots_fit_if_their_peak_does(monkeypatch, tmp_path):
  """Not if it is over the memory of a chip, nor if what they begin with is."""
  cell = _cell(_gemma, 2)
  lowered = jax.jit(jnp.sin).lower(1.0)
  most = chips.CHIPS['v5e'].hbm
  found = {'fits': True, 'peak': most}
  monkeypatch.setattr(program, 'served', lambda *_: lowered)
  monkeypatch.setattr(fit, 'memory', lambda _: found)
  assert fit.slots(cell, 32, tmp_path) == found
  found = {'fits': True, 'peak': most + 1}
  assert fit.slots(cell, 32, tmp_path)['fits']  # As it was kept.
  assert not fit.slots(cell, 32, tmp_path / 'other')['fits']

  def served(*_):
    raise jax.errors.JaxRuntimeError('(19.5G) exceeds available HBM (15.75G)')

  monkeypatch.setattr(program, 'served', served)
  found = fit.slots(cell, 32, tmp_path)
  assert found == {'fits': False, 'peak': 19.5 * 2**30}


@pytest.mark.large
def test_logits_are_made_once_where_a_chip_is_nearly_full(tmp_path):
  """Of those that are made for each use, the table is read each time."""
  pair = [presets.get(x, dtype='bfloat16') for x in ('qwen3_0_6b', 'qwen3_14b')]
  cell = program.Cell(
    *pair, 'v6e:1x1', 1, batch=8, prompt=1024, new_tokens=128, gamma=5
  )
  found = fit.of(cell, tmp_path)
  assert found['peak'] > 0.95 * chips.of(cell.topology)[1].hbm
  assert found['iteration'] < 1.02 * found['floor']


@pytest.mark.thorough
def test_a_prompt_is_looked_up_in_a_table_that_half_fills_fast_memory():
  """libtpu would take two of them into it, of T5 XL's size on eight devices."""
  size = dict(num_layers=1, num_decoder_layers=1)
  xl = presets.get('t5_v1_1_xl', dtype='bfloat16', **size)
  small = dataclasses.replace(xl, embed_dim=512, num_heads=8, hidden_dim=512)
  cell = program.Cell(
    small, xl, 'tpu7x:2x2x1', 1, batch=1, prompt=1024, new_tokens=8, gamma=1
  )
  assert fit.compiled(program.cascade(cell))


def test_flops_of_products_count_loops_and_the_largest_branch():
  x = jnp.ones((8, 16))

  def f(x, flag):
    def turn(x, _):
      return x @ jnp.ones((16, 16)), None

    x, _ = jax.lax.scan(turn, x, None, length=5)
    return jax.lax.cond(
      flag, lambda x: x @ jnp.ones((16, 3)), lambda x: x[:, :3], x
    )

  assert needs.of_products(f, x, True) == 5 * 2 * 8 * 16 * 16 + 2 * 8 * 16 * 3


def test_an_unknown_slice_is_told():
  with pytest.raises(ValueError, match='topology v5e:9x9: '):
    program.mesh('v5e:9x9', 1)
  with pytest.raises(ValueError, match='data=3 must divide the 4 devices'):
    program.mesh('v5e:2x2', 3)


def test_the_platform_is_that_of_the_chips():
  """Not of the host that compiles: what a program has hangs on it."""
  assert sharding.platform() == 'cpu'
  with jax.set_mesh(program.mesh('v5e:2x2', 1)):
    assert sharding.platform() == 'tpu'
    assert blocks.widths(9, schedules.LOAD, 1) == (9,)
  assert blocks.widths(9, schedules.LOAD, 1) == (1, 2, 3, 5, 7, 9)
