import functools
import itertools
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from speccascade import checkpoints, sharding
from speccascade.models import registry
from speccascade.runs import workdir as workdir_lib
from speccascade.timing import clock
from speccascade.training import (
  batches,
  data,
  distillation,
  loop,
  loss,
  metrics,
)
from speccascade.training import step as step_lib
from tests.training import stand_ins, sums


class _Killed(Exception):
  pass


@pytest.fixture(scope='module', autouse=True)
def _compile_once(tmp_path_factory):
  """Every run here has the same programs."""
  with stand_ins.compiled_once(tmp_path_factory.mktemp('cache')):
    yield


@pytest.fixture(scope='module', autouse=True)
def _tick():
  """A clock that goes on by a second at each look."""
  ticks = itertools.count()
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(clock, 'now', lambda: float(next(ticks)))
    yield


@functools.cache
def _examples(split, count):
  return data.tokenize(sums.Sums(), sums.Characters(), split, count, length=13)


def _train(workdir, count=50):
  return loop.train(
    stand_ins.settings(),
    stand_ins.model(),
    _examples('train', count),
    _examples('validation', 16),
    workdir,
  )


@pytest.fixture
def seen(monkeypatch):
  """The tokens of every batch drawn, in order."""
  seen = []
  make = batches.shuffled

  class Recording:
    def __init__(self, *args):
      self._batches = make(*args)
      self.get_state = self._batches.get_state
      self.set_state = self._batches.set_state

    def __next__(self):
      batch = next(self._batches)
      seen.append(batch['token_BxT'].tolist())
      return batch

  monkeypatch.setattr(batches, 'shuffled', Recording)
  return seen


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  """A run that was never stopped: (workdir, parameters)."""
  workdir = tmp_path_factory.mktemp('whole')
  return workdir, _train(workdir)


def test_resuming_equals_never_stopping(tmp_path, monkeypatch, whole, seen):
  write = metrics.Writer.write

  def die(self, step, *args):
    write(self, step, *args)
    if step == 17:  # The latest checkpoint is of step 12.
      raise _Killed

  with monkeypatch.context() as patch:
    patch.setattr(metrics.Writer, 'write', die)
    with pytest.raises(_Killed):
      _train(tmp_path)
  with (tmp_path / 'metrics.jsonl').open('a') as f:
    f.write('{"step": 18, "lo')  # Torn.
  killed, seen[:] = seen[:], []
  params = _train(tmp_path)
  resumed, seen[:] = seen[:], []

  expected = batches.shuffled(_examples('train', 50), 16, 3)
  expected = [next(expected)['token_BxT'].tolist() for _ in range(24)]
  assert killed == expected[:17]
  assert resumed == expected[12:]
  jax.tree.map(np.testing.assert_array_equal, params, whole[1])
  lines = metrics.read(tmp_path)
  assert [line['step'] for line in lines] == list(range(1, 25))
  assert lines == metrics.read(whole[0])


def test_training_learns_the_task(whole):
  lines = metrics.read(whole[0])
  first, last = lines[0], lines[-1]
  assert last['loss'] < 0.5 * first['loss']
  assert last['accuracy'] > first['accuracy']
  assert first['learning_rate'] == 0
  assert max(x['learning_rate'] for x in lines) == pytest.approx(1e-2)
  assert all(x['tokens_per_second'] == 16 * 13 for x in lines)
  valid = {x['step']: x['valid_loss'] for x in lines if 'valid_loss' in x}
  assert list(valid) == [12, 24]
  assert valid[24] < valid[12]


def test_a_run_exports_its_parameters_and_where_they_come_from(whole):
  workdir, params = whole
  config, loaded = checkpoints.load(workdir / 'tiny.safetensors')
  assert config == stand_ins.model().config
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=2**-8), loaded, params
  )
  told = json.loads((workdir / 'provenance.json').read_text())['tiny']
  last = metrics.read(workdir)[-1]
  assert told['data_hash'] == _examples('train', 50).data_hash
  assert told['steps'] == 24
  assert told['final']['loss'] == last['loss']
  assert told['final']['valid_loss'] == last['valid_loss']
  assert told['config']['optimizer']['warmup_steps'] == 4
  assert told['seconds'] == 24
  assert list(workdir.glob('events.out.tfevents.*'))


def test_a_finished_run_is_not_trained_again(whole, seen):
  workdir, params = whole
  again = _train(workdir)
  assert not seen
  jax.tree.map(np.testing.assert_array_equal, again, params)


def test_other_data_than_the_checkpoint_is_refused(whole):
  with pytest.raises(ValueError, match=r'\(data differ.*use a new --workdir'):
    _train(whole[0], count=49)


def test_a_damaged_checkpoint_is_not_exported_but_trained_again(
  tmp_path, whole, capsys
):
  workdir = shutil.copytree(whole[0], tmp_path / 'run')
  exported = workdir / 'tiny.safetensors'
  expected = exported.read_bytes()
  exported.unlink()
  newest = workdir / 'checkpoints' / '24'
  damaged = max(newest.rglob('*'), key=lambda path: path.stat().st_size)
  data = bytearray(damaged.read_bytes())
  data[-64:] = (x ^ 0xFF for x in data[-64:])
  damaged.write_bytes(data)
  params = _train(workdir)
  jax.tree.map(np.testing.assert_array_equal, params, whole[1])
  assert exported.read_bytes() == expected
  assert metrics.read(workdir) == metrics.read(whole[0])
  told = capsys.readouterr().out
  name = damaged.relative_to(newest)
  assert f'{newest}: its file {name} is damaged; it is now 24.damaged\n' in told
  assert 'going on from step 12\n' in told
  saved = {path.name for path in (workdir / 'checkpoints').iterdir()}
  names = {'12', '12.json', '24', '24.json'}
  assert saved == names | {'24.damaged', '24.json.damaged'}


def test_a_training_that_diverges_stops_before_it_saves(tmp_path):
  model = stand_ins.model()
  with pytest.raises(ValueError, match='diverged: at step 1 ') as error:
    loop.train(
      stand_ins.settings(),
      model,
      _examples('train', 50),
      _examples('validation', 16),
      tmp_path,
      start=stand_ins.params(model, scale=1e30),
    )
  assert '\n' not in str(error.value)
  assert not (tmp_path / 'checkpoints').exists()
  assert not list(tmp_path.glob('*.safetensors'))
  assert not metrics.read(tmp_path)


def _step(objective, *optimizer):
  """The function of a step of no model, on one device."""
  mesh = sharding.make_mesh(1, 1, jax.devices()[:1])
  own = step_lib.Step(None, objective, *optimizer, mesh)
  return functools.partial(
    step_lib._step, own, jax.NamedSharding(mesh, jax.P())
  )


@pytest.mark.parametrize('where', ['loss', 'gradient', 'parameter'])
def test_what_is_not_finite_is_told_of_its_step(where):
  start = 1e38 if where == 'parameter' else 1.0

  def objective(model, params, frozen, batch, key):
    loss = {
      'loss': params['w'] + jnp.inf,
      'gradient': 1e25 * params['w'],  # Its norm overflows; it is clipped to 0.
      'parameter': -params['w'],
    }[where]
    return {'loss': loss, 'weight': 1}

  optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(3e38))
  step = _step(objective, optimizer, lambda _: 0.1)
  params = {'w': jnp.float32(start)}
  state = step_lib.State(jnp.int32(0), params, optimizer.init(params))
  _, values = step(state, (), (), jax.random.key(0))
  assert not values['finite']
  ahead = [{'finite': True, 'loss': 1.0}] * 2 + [values]
  with pytest.raises(ValueError, match='at step 7 '):
    loop._read(ahead, 7)


def test_a_validation_that_is_not_finite_is_one_line():
  with pytest.raises(ValueError, match='validation is not finite'):
    loop._evaluate(
      lambda *_: {'loss': jnp.float32(np.nan), 'weight': jnp.float32(3)},
      (),
      frozen=(),
      examples=_examples('validation', 16),
      batch_size=16,
      place=jax.device_put,
      ended=bool,
    )


def test_nothing_is_written_through_a_link(tmp_path):
  (tmp_path / 'run').mkdir()
  (tmp_path / 'elsewhere').mkdir()
  (tmp_path / 'run' / 'checkpoints').symlink_to(tmp_path / 'elsewhere')
  with pytest.raises(ValueError, match='checkpoints is a link'):
    _train(tmp_path / 'run')
  assert not list((tmp_path / 'elsewhere').iterdir())


def test_one_process_at_a_time_trains_in_a_folder(tmp_path):
  with workdir_lib.lock(tmp_path):
    with pytest.raises(ValueError, match='another process'):
      _train(tmp_path)


def test_an_encoder_decoder_learns(tmp_path):
  model = stand_ins.model('t5')
  examples = data.tokenize(
    sums.Sums(), sums.Characters(), 'train', 50, 9, input_length=8
  )
  settings = stand_ins.settings(
    family='t5',
    model=stand_ins.T5,
    input_length=8,
    num_steps=20,
    save_every=20,
  )
  loop.train(settings, model, examples, examples, tmp_path)
  lines = metrics.read(tmp_path)
  assert lines[-1]['valid_loss'] < 0.5 * lines[0]['loss']
  config, _ = checkpoints.load(tmp_path / 'tiny.safetensors')
  assert config == model.config


def test_another_config_in_the_same_folder_is_refused(whole):
  settings = stand_ins.settings(batch_size=8)
  with pytest.raises(ValueError, match=r'different config \(changed: batch_'):
    loop.train(
      settings,
      stand_ins.model(),
      _examples('train', 50),
      _examples('validation', 16),
      whole[0],
    )


def test_validation_counts_every_example_once():
  def objective(params, frozen, batch, key):
    assert key is None
    weight_BxT = batch['weight_BxT'].astype(float)
    by_token = params * jnp.sum(weight_BxT * batch['token_BxT'])
    return {'loss': by_token + frozen, 'weight': jnp.sum(weight_BxT)}

  examples = _examples('validation', 16)
  values = loop._evaluate(
    jax.jit(objective),
    2.0,
    frozen=3.0,
    examples=examples,
    batch_size=6,
    ended=bool,
    place=jax.device_put,
  )
  by_token = np.sum(examples.weight_ExT * examples.token_ExT.astype(float))
  expected = (2 * by_token + 3 * 3) / np.sum(examples.weight_ExT.astype(int))
  assert values == {'valid_loss': pytest.approx(expected, rel=1e-6)}


_FORMS = [
  pytest.param(config, id=f'{family.name}-{i}')
  for family in registry.FAMILIES.values()
  for i, config in enumerate(family.examples)
]


@pytest.mark.parametrize('config', _FORMS)
def test_scales_and_biases_are_not_decayed(config):
  settings = stand_ins.settings().optimizer
  optimizer, _ = step_lib.make_optimizer(settings, 24)

  @jax.jit
  def decay(params):  # Without a gradient, what moves is decayed.
    state = optimizer.init(params)
    zeros = jax.tree.map(jnp.zeros_like, params)
    _, state = optimizer.update(zeros, state, params)  # At learning rate 0.
    return optimizer.update(zeros, state, params)[0]

  model, key = registry.make_model(config), jax.random.key(0)
  biases = {f'{name}_bias' for name in ('query', 'key', 'value')}
  kept = {
    path[-1].key
    for path, x in jax.tree.leaves_with_path(jax.eval_shape(model.init, key))
    if x.ndim < 2 or path[-1].key in biases
  }
  # Stacked layers have their scales in arrays of two dimensions.
  params = jax.eval_shape(lambda key: model.stack(model.init(key)), key)
  updates = decay(jax.tree.map(lambda x: np.ones(x.shape, x.dtype), params))
  for path, x in jax.tree.leaves_with_path(updates):
    assert x.any() == (path[-1].key not in kept), path


def test_a_student_starts_where_it_is_told_and_comes_near_its_teacher(
  tmp_path, whole
):
  model = stand_ins.model()
  start = stand_ins.params(model)
  objective = distillation.objective(model, 'forward_kl', 'targets', 5, (1,))
  loop.train(
    stand_ins.settings(num_steps=20, save_every=20),
    model,
    _examples('train', 50),
    _examples('validation', 16),
    tmp_path,
    objective=objective,
    frozen=whole[1],
    start=start,
  )
  lines = metrics.read(tmp_path)
  batch = next(batches.shuffled(_examples('train', 50), 16, seed=3))
  # The start is still there: its memory was not given to the first step.
  first = jax.jit(functools.partial(objective, model))(
    start, whole[1], batch, None
  )
  for name, value in loss.mean(first).items():
    np.testing.assert_allclose(lines[0][name], value, rtol=1e-4)
  assert lines[-1]['valid_loss'] < 0.5 * lines[0]['loss']
  assert lines[-1]['valid_acceptance'] > 1.5 * lines[0]['acceptance']


def test_each_step_draws_anew_by_its_number():
  def objective(model, params, frozen, batch, key):
    return {
      'loss': params['w'].sum(),
      'draw': jax.random.uniform(key),
      'weight': 1,
    }

  settings = stand_ins.settings().optimizer
  optimizer, schedule = step_lib.make_optimizer(settings, 24)
  step, key = jax.jit(_step(objective, optimizer, schedule)), jax.random.key(3)
  params = {'w': jnp.ones(2)}
  state = step_lib.State(jnp.int32(5), params, optimizer.init(params))
  for number in (5, 6, 7):
    state, values = step(state, (), (), key)
    expected = jax.random.uniform(jax.random.fold_in(key, number))
    np.testing.assert_array_equal(values['draw'], expected)
  assert state.step == 8
