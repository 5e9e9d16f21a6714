"""Training on a mesh of up to eight devices is training on one.

In double precision. Sums of at most 16 x 13 x 17 terms, each of relative error
2**-53, differ in another order by 4e-13 of their size; losses and gradients
pass through some tens of such sums: 1e-11. Adam divides a gradient by its size
plus 1e-8: where it is nothing but an error, of entries below 1e-2 some 1e-13, a
step at rate 1e-2 moves a parameter by 1e-7 more or less.
"""

import functools
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from speccascade import checkpoints as checkpoints_lib
from speccascade import sharding
from speccascade.runs import process
from speccascade.training import (
  batches,
  checkpoints,
  config,
  data,
  distillation,
  loop,
  loss,
  metrics,
)
from speccascade.training import step as step_lib
from tests.training import stand_ins, sums

pytestmark = [
  pytest.mark.usefixtures('float64'),
  pytest.mark.skipif(jax.device_count() < 8, reason='needs 8 devices'),
]
MESHES = (8, 1), (2, 4), (1, 8), (2, 1)
SUM, MOVED = 1e-11, 3e-7  # Three steps.


def _model(family, seed=0, **overrides):
  model = stand_ins.model(family, num_layers=2, dtype='float64', **overrides)
  params = stand_ins.params(model, seed)
  return model, jax.tree.map(lambda x: x.astype(jnp.float64), params)


@functools.cache
def _batches(family):
  encoder = dict(input_length=8) if family == 't5' else {}
  rows = data.tokenize(
    sums.Sums(), sums.Characters(), 'train', 50, 13, **encoder
  )
  made = batches.shuffled(rows, 16, seed=3)
  return [next(made) for _ in range(3)]


def _optimizer():
  """Without clipping, which would hide the size of a gradient."""
  settings = config.Optimizer(
    peak_learning_rate=1e-2, warmup_steps=1, clip_norm=1e6
  )
  return step_lib.make_optimizer(settings, num_steps=10)


def _run(family, mesh, stacked, distilled):
  """(losses of three steps, the state after them)."""
  model, start = _model(family)
  mesh, objective, frozen = sharding.of_config(mesh), loss.next_token, ()
  if distilled:
    teacher, frozen = _model(family, seed=1, hidden_dim=96)
    objective = distillation.objective(teacher, 'jsd', 'drafter', 4, (1,))
    frozen = teacher.stack(frozen) if stacked else frozen
    placed = step_lib.place(teacher, jax.eval_shape(lambda: frozen), mesh)
    frozen = jax.tree.map(
      lambda x, like: jax.device_put(x, like.sharding), frozen, placed
    )
  own = step_lib.Step(model, objective, *_optimizer(), mesh, stacked)
  whole = jax.NamedSharding(mesh, jax.P())
  rows = jax.NamedSharding(mesh, sharding.BATCH)
  key = jax.device_put(jax.random.key(5), whole)
  state, losses, step = own.init(key, start), [], None
  for batch in _batches(family):
    args = state, frozen, batches.place(batch, rows), key
    step = step or own.lower(*args).compile()
    state, values = step(*args)
    assert values['finite']
    losses.append(float(values['loss']))
  return losses, state


_CASES = {
  'decoder': ('gemma2', False, False),
  'stacked decoder': ('gemma2', True, False),
  'distilled decoder': ('gemma2', True, True),
  'distilled encoder-decoder': ('t5', True, True),
}


@functools.cache
def _on_one(name):
  family, stacked, distilled = _CASES[name]
  return _run(family, (1, 1), stacked, distilled)


def _check_equal(name, mesh):
  family, stacked, distilled = _CASES[name]
  losses, state = _run(family, mesh, stacked, distilled)
  wanted_losses, wanted = _on_one(name)
  np.testing.assert_allclose(losses[0], wanted_losses[0], rtol=SUM)
  np.testing.assert_allclose(losses, wanted_losses, rtol=MOVED)
  close = functools.partial(np.testing.assert_allclose, rtol=0, atol=MOVED)
  jax.tree.map(close, state, wanted)
  return state


@pytest.mark.parametrize('mesh', MESHES, ids=str)
def test_a_step_on_a_mesh_is_one_on_a_device(mesh, monkeypatch):
  """Also with logits of few tokens at a time, where one device has all."""
  _on_one('stacked decoder')
  monkeypatch.setattr(loss, '_LOGITS', 4 * 16 * 17 * 3 // np.prod(mesh))
  _check_held(_check_equal('stacked decoder', mesh), np.prod(mesh))


@pytest.mark.parametrize(
  'name',
  [
    'distilled encoder-decoder',
    *(
      pytest.param(name, marks=pytest.mark.thorough)
      for name in ('decoder', 'distilled decoder')
    ),
  ],
)
def test_so_are_those_of_others(name):
  _check_held(_check_equal(name, (2, 4)), 8)


def _check_held(state, devices):
  """Each device holds its part alone, and numbers that are not split."""
  leaves = jax.tree.leaves(state)
  held = dict.fromkeys(jax.devices()[:devices], 0)
  for x in leaves:
    for shard in x.addressable_shards:
      held[shard.device] += shard.data.nbytes
  numbers = sum(x.nbytes for x in leaves if x.ndim == 0)
  total = sum(x.nbytes for x in leaves) - numbers
  assert total > 100 * numbers
  assert set(held.values()) == {total // devices + numbers}


def _train(workdir, mesh=None, **overrides):
  model, start = _model('gemma2')
  train, valid = (
    data.tokenize(sums.Sums(), sums.Characters(), split, count, 13)
    for split, count in (('train', 50), ('validation', 16))
  )
  settings = stand_ins.settings(
    mesh=mesh, num_steps=10, log_every=4, eval_every=8, save_every=8,
    stacked=True, **overrides,
  )  # fmt: skip
  return loop.train(settings, model, train, valid, workdir, start=start)


@pytest.fixture(scope='module')
def whole(tmp_path_factory, float64):
  """The lines of a run on one device that was never stopped."""
  workdir = tmp_path_factory.mktemp('whole')
  _train(workdir)
  return metrics.read(workdir)


def _terminate(monkeypatch, step):
  """Sends SIGTERM when a step takes its batch."""
  place, taken = batches.place, iter(range(-1, step))  # -1 is an example.

  def instead(*args, **kwargs):
    if next(taken, None) == step - 1:
      signal.raise_signal(signal.SIGTERM)
    return place(*args, **kwargs)

  monkeypatch.setattr(batches, 'place', instead)


def test_a_run_goes_on_where_it_was_terminated_on_another_mesh(
  tmp_path, monkeypatch, whole
):
  handler = signal.getsignal(signal.SIGTERM)
  with monkeypatch.context() as patch:
    _terminate(patch, 6)
    with pytest.raises(process.Terminated, match='step 6 is saved'):
      _train(tmp_path, (2, 4))
  assert signal.getsignal(signal.SIGTERM) is handler
  assert [x['step'] for x in metrics.read(tmp_path)] == [4]
  assert (tmp_path / 'checkpoints' / '6.json').exists()
  params = _train(tmp_path, (8, 1))
  lines = metrics.read(tmp_path)
  assert [x['step'] for x in lines] == [4, 8, 10]
  for line, wanted in zip(lines, whole, strict=True):
    for name in wanted.keys() - {'tokens_per_second'}:
      np.testing.assert_allclose(line[name], wanted[name], rtol=1e-6)
  _, exported = checkpoints_lib.load(tmp_path / 'tiny.safetensors')
  assert {'layers_0', 'layers_1'} < exported.keys()  # As it is elsewhere.
  assert 'stack_0' in params


def test_a_run_of_before_rates_were_saved_goes_on(tmp_path, monkeypatch):
  with monkeypatch.context() as patch:
    _terminate(patch, 9)
    with pytest.raises(process.Terminated):
      _train(tmp_path)
  restore = checkpoints.restore

  def without(*args):
    state, found = restore(*args)
    del found['rate']
    return state, found

  monkeypatch.setattr(checkpoints, 'restore', without)
  _train(tmp_path)
  told = metrics.read(tmp_path)
  assert [x['step'] for x in told] == [4, 8, 10]
  assert all(x['tokens_per_second'] > 0 for x in told)


@pytest.mark.parametrize(
  ('taken', 'step', 'told', 'again'),
  [
    (6, 6, [4], False),
    (8, 8, [4], False),
    (9, 8, [4], True),  # Amid its validation, which takes one batch.
    (11, 10, [4, 8], False),
    (12, 10, [4, 8], True),
  ],
)
def test_a_run_that_was_terminated_and_resumed_has_equal_losses(
  tmp_path, monkeypatch, whole, taken, step, told, again
):
  with monkeypatch.context() as patch:
    _terminate(patch, taken)
    with pytest.raises(process.Terminated, match=f'step {step} is saved'):
      _train(tmp_path)
  assert [x['step'] for x in metrics.read(tmp_path)] == told
  if again:
    with monkeypatch.context() as patch:
      _terminate(patch, 1)  # The next batch, of the validation.
      with pytest.raises(process.Terminated, match=f'step {step} is saved'):
        _train(tmp_path)
    assert [x['step'] for x in metrics.read(tmp_path)] == told
  _train(tmp_path)
  saved = [x.name for x in (tmp_path / 'checkpoints').iterdir()]
  assert not [x for x in saved if 'damaged' in x]
  assert len([x for x in saved if x.endswith('.json')]) == 2
  assert (tmp_path / 'tiny.safetensors').exists()
  for line, wanted in zip(metrics.read(tmp_path), whole, strict=True):
    assert line.pop('tokens_per_second') > 0
    assert line == {k: x for k, x in wanted.items() if k in line}
    assert len(line) == len(wanted) - 1
