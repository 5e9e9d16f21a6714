import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import stand_ins
from jax.experimental.compilation_cache import compilation_cache

from speccascade import sharding
from speccascade.models import checkpoints, gemma, t5
from speccascade.training import data, distillation, loop, loss, metrics


class _Killed(Exception):
  pass


@pytest.fixture(scope='module', autouse=True)
def _compile_once(tmp_path_factory):
  """Every run here has the same programs; compile them once, and fast."""
  settings = {
    'jax_compilation_cache_dir': str(tmp_path_factory.mktemp('cache')),
    'jax_persistent_cache_min_compile_time_secs': 0.0,
    'jax_disable_most_optimizations': True,
  }
  before = {name: jax.config.values[name] for name in settings}
  for name, value in settings.items():
    jax.config.update(name, value)
  compilation_cache.reset_cache()
  yield
  for name, value in before.items():
    jax.config.update(name, value)
  compilation_cache.reset_cache()


@functools.cache
def _examples(split, count):
  return data.tokenize(
    stand_ins.Sums(), stand_ins.Characters(), split, count, length=13
  )


def _train(workdir, count=50):
  return loop.train(
    stand_ins.config(),
    stand_ins.model(),
    _examples('train', count),
    _examples('validation', 16),
    workdir,
  )


def _params():
  return jax.jit(stand_ins.model().init)(jax.random.key(0))


@pytest.fixture
def seen(monkeypatch):
  """The tokens of every batch drawn, in order."""
  seen = []
  make = data.batches

  class Recording:
    def __init__(self, *args):
      self._batches = make(*args)
      self.get_state = self._batches.get_state
      self.set_state = self._batches.set_state

    def __next__(self):
      batch = next(self._batches)
      seen.append(batch['token_BxT'].tolist())
      return batch

  monkeypatch.setattr(data, 'batches', Recording)
  return seen


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  """A run that was never stopped: (workdir, parameters)."""
  workdir = tmp_path_factory.mktemp('whole')
  return workdir, _train(workdir)


def _drop_rates(lines):
  return [
    {k: v for k, v in line.items() if k != 'tokens_per_second'}
    for line in lines
  ]


def test_resuming_equals_never_stopping(tmp_path, monkeypatch, whole, seen):
  write = metrics.Writer.write

  def die(self, step, *args):
    write(self, step, *args)
    if step == 26:  # The latest checkpoint is of step 20.
      raise _Killed

  with monkeypatch.context() as patch:
    patch.setattr(metrics.Writer, 'write', die)
    with pytest.raises(_Killed):
      _train(tmp_path)
  with (tmp_path / 'metrics.jsonl').open('a') as f:
    f.write('{"step": 27, "lo')  # Torn.
  killed, seen[:] = seen[:], []
  params = _train(tmp_path)
  resumed, seen[:] = seen[:], []

  expected = data.batches(_examples('train', 50), 16, 3)
  expected = [next(expected)['token_BxT'].tolist() for _ in range(40)]
  assert killed == expected[:26]
  assert resumed == expected[20:]
  jax.tree.map(np.testing.assert_array_equal, params, whole[1])
  lines = metrics.read(tmp_path)
  assert [line['step'] for line in lines] == list(range(1, 41))
  assert _drop_rates(lines) == _drop_rates(metrics.read(whole[0]))


def test_training_learns_the_task(whole):
  lines = metrics.read(whole[0])
  first, last = lines[0], lines[-1]
  assert last['loss'] < 0.5 * first['loss']
  assert last['accuracy'] > first['accuracy']
  assert first['learning_rate'] == 0
  assert max(x['learning_rate'] for x in lines) == pytest.approx(1e-2)
  assert all(x['tokens_per_second'] > 0 for x in lines)
  valid = {x['step']: x['valid_loss'] for x in lines if 'valid_loss' in x}
  assert list(valid) == [20, 40]
  assert valid[40] < valid[20]


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
  assert told['steps'] == 40
  assert told['final']['loss'] == last['loss']
  assert told['final']['valid_loss'] == last['valid_loss']
  assert told['config']['optimizer']['warmup_steps'] == 4
  assert told['seconds'] > 0
  assert list(workdir.glob('events.out.tfevents.*'))


def test_a_finished_run_is_not_trained_again(whole, seen):
  workdir, params = whole
  again = _train(workdir)
  assert not seen
  jax.tree.map(np.testing.assert_array_equal, again, params)


def test_other_data_than_the_checkpoint_is_refused(whole):
  with pytest.raises(ValueError, match='trained on other data'):
    _train(whole[0], count=49)


def test_an_encoder_decoder_learns(tmp_path):
  model = t5.T5(
    t5.T5Config(
      vocab_size=stand_ins.Characters().vocab_size(),
      num_layers=1,
      embed_dim=32,
      num_heads=2,
      head_dim=16,
      hidden_dim=64,
    )
  )
  examples = data.tokenize(
    stand_ins.Sums(), stand_ins.Characters(), 'train', 50, 9, input_length=8
  )
  loop.train(stand_ins.config(), model, examples, examples, tmp_path)
  lines = metrics.read(tmp_path)
  assert lines[-1]['valid_loss'] < 0.5 * lines[0]['loss']
  config, _ = checkpoints.load(tmp_path / 'tiny.safetensors')
  assert config == model.config


def test_another_config_in_the_same_folder_is_refused(whole):
  config = stand_ins.config(batch_size=8)
  with pytest.raises(ValueError, match='a run with another batch_size'):
    loop.train(
      config,
      stand_ins.model(),
      _examples('train', 50),
      _examples('validation', 16),
      whole[0],
    )


def test_validation_counts_every_example_once():
  evaluate = functools.partial(
    loop._evaluate,
    jax.jit(functools.partial(loss.next_token, stand_ins.model())),
    _params(),
    frozen=(),
    examples=_examples('validation', 16),
    place=jax.devices()[0],
  )
  ragged, whole = evaluate(batch_size=6), evaluate(batch_size=16)
  for name, value in whole.items():
    np.testing.assert_allclose(ragged[name], value, rtol=1e-6)


def test_norm_scales_are_not_decayed():
  optimizer, _ = loop.make_optimizer(stand_ins.config())

  @jax.jit
  def decay(params):  # Without a gradient, what moves is decayed.
    state = optimizer.init(params)
    zeros = jax.tree.map(jnp.zeros_like, params)
    _, state = optimizer.update(zeros, state, params)  # At learning rate 0.
    return optimizer.update(zeros, state, params)[0]

  # Scanned layers stack their scales into arrays of two dimensions.
  scanned = dataclasses.replace(stand_ins.model().config, scan_layers=True)
  params = jax.eval_shape(gemma.Gemma(scanned).init, jax.random.key(0))
  updates = decay(jax.tree.map(lambda x: np.ones(x.shape, x.dtype), params))
  flat, _ = jax.tree_util.tree_flatten_with_path(updates)
  for path, x in flat:
    assert x.any() == (path[-1].key != 'scale'), path


def test_a_student_starts_where_it_is_told_and_comes_near_its_teacher(
  tmp_path, whole
):
  model = stand_ins.model()
  mesh = sharding.make_mesh(jax.device_count(), 1)
  start = jax.device_put(
    _params(), jax.NamedSharding(mesh, sharding.P()), may_alias=False
  )
  objective = distillation.objective(model, 'forward_kl', 'drafter', 5)
  loop.train(
    stand_ins.config(num_steps=20, save_every=20),
    model,
    _examples('train', 50),
    _examples('validation', 16),
    tmp_path,
    objective=objective,
    frozen=whole[1],
    start=start,
  )
  lines = metrics.read(tmp_path)
  batch = next(data.batches(_examples('train', 50), 16, seed=3))
  key = jax.random.fold_in(jax.random.key(3), 0)
  # The start is still there: its memory was not given to the first step.
  first = jax.jit(functools.partial(objective, model))(
    start, whole[1], batch, key
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

  optimizer, schedule = loop.make_optimizer(stand_ins.config())
  step = functools.partial(
    loop._train_step, None, objective, optimizer, schedule
  )
  step, key = jax.jit(step), jax.random.key(3)
  params = {'w': jnp.ones(2)}
  state = loop.State(jnp.int32(5), params, optimizer.init(params))
  for number in (5, 6, 7):
    state, values = step(state, (), (), key)
    expected = jax.random.uniform(jax.random.fold_in(key, number))
    np.testing.assert_array_equal(values['draw'], expected)
  assert state.step == 8


def test_intervals_must_be_multiples_of_log_every(tmp_path):
  config = stand_ins.config(log_every=2, save_every=5)
  with pytest.raises(ValueError, match='save_every=5 must be a multiple'):
    loop.train(config, stand_ins.model(), None, None, tmp_path)
