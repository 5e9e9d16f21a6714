"""configs/distill.py end to end, on pairs of tiny random models."""

import dataclasses
import functools
import importlib.util
import json
import pathlib
import shutil

import jax
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

from speccascade import pairs, tasks
from speccascade.models import checkpoints, gemma, t5
from speccascade.training import answers, data, loop, metrics, run

_ROOT = pathlib.Path(__file__).parents[2]


class _Killed(Exception):
  pass


@pytest.fixture(scope='module', autouse=True)
def _compile_little(tmp_path_factory):
  """Each program once, and fast rather than well."""
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


def _gemma(width):
  return gemma.Gemma(
    gemma.GemmaConfig(
      vocab_size=768,
      num_layers=1,
      embed_dim=width,
      num_heads=2,
      num_kv_heads=1,
      head_dim=8,
      hidden_dim=16,
      attention_pattern=('global',),
    )
  )


def _t5(width):
  return t5.T5(
    t5.T5Config(
      vocab_size=512,
      num_layers=1,
      embed_dim=width,
      num_heads=2,
      head_dim=8,
      hidden_dim=16,
    )
  )


@pytest.fixture(scope='module', autouse=True)
def _answer_briefly():
  """Random models go on to the last token allowed."""
  load = tasks.load

  def brief(name, args):
    return dataclasses.replace(load(name, args), max_new_tokens=12)

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(tasks, 'load', brief)
    yield


_FAMILIES = {'word_problems': _gemma, 'translation': _t5}


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
  """A tiny pair in a folder, by the name of the one it stands for."""
  made = {}
  for name, make in _FAMILIES.items():
    folder = made[name] = tmp_path_factory.mktemp(name)
    for role, width in (('drafter', 8), ('verifier', 16)):
      model = make(width)
      params = jax.jit(model.init)(jax.random.key(width))
      checkpoints.save(folder / f'{role}.safetensors', model.config, params)
    shipped = pathlib.Path(pairs.__file__).parent / name / 'tokenizer.model'
    shutil.copy(shipped, folder / 'tokenizer.model')
  return made


@functools.cache
def _config_file(name='distill'):
  spec = importlib.util.spec_from_file_location(
    name, _ROOT / 'configs' / f'{name}.py'
  )
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def _config(folders, arg):
  config = _config_file().get_config(f'{arg},smoke')
  config.distill.pair = str(folders[arg.split(',')[0]])
  return config.lock()


@pytest.mark.parametrize(
  ('pair', 'trained', 'arg'),
  [
    ('word_problems', 'train_verifier', ''),
    ('translation', 'train_translation', 'verifier'),
  ],
)
def test_a_drafter_is_distilled_on_the_corpus_of_its_verifier(
  pair, trained, arg
):
  config = _config_file().get_config(f'{pair},forward_kl,targets')
  old = _config_file(trained).get_config(arg)
  for field in ('task', 'task_args', 'length', 'input_length', 'seed'):
    assert config.get(field) == old.get(field), field
  assert config.num_train == config.batch_size * config.num_steps
  assert config.num_train <= old.num_train


_ON_POLICY = 'word_problems,jsd,drafter'


@pytest.fixture(scope='module')
def whole(folders, tmp_path_factory):
  """A run that was never stopped: (workdir, parameters)."""
  workdir = tmp_path_factory.mktemp('whole')
  return workdir, run.run(_config(folders, _ON_POLICY), workdir)


def _check_exported(workdir, folder):
  lines = metrics.read(workdir)
  assert [line['step'] for line in lines] == [1, 2, 3, 4]
  assert [('valid_loss' in line) for line in lines] == [False, True] * 2
  for line in lines:
    assert 0 < line['loss'] < 10
    assert 0 < line['acceptance'] < 1
  config, exported = checkpoints.load(workdir / 'drafter.safetensors')
  old_config, old = checkpoints.load(folder / 'drafter.safetensors')
  assert config == old_config
  moved = jax.tree.map(lambda a, b: abs(a - b).max(), exported, old)
  assert 1e-4 < max(jax.tree.leaves(moved)) < 1e-1  # It started from the old.
  told = json.loads((workdir / 'provenance.json').read_text())['drafter']
  assert told['final']['valid_loss'] == lines[-1]['valid_loss']
  assert told['origin'].keys() == {'drafter_hash', 'verifier_hash'}
  return told


def test_a_decoder_is_distilled_on_its_own_answers(whole, folders):
  told = _check_exported(whole[0], folders['word_problems'])
  assert told['config']['distill'] == {
    'loss': 'jsd',
    'pair': str(folders['word_problems']),
    'samples': 'drafter',
  }


def test_an_encoder_decoder_is_distilled_on_its_verifier_s(tmp_path, folders):
  config = _config(folders, 'translation,total_variation,verifier')
  run.run(config, tmp_path)
  told = _check_exported(tmp_path, folders['translation'])
  assert told['config']['input_length'] == 112


def test_resuming_draws_the_same_answers(tmp_path, monkeypatch, whole, folders):
  write = metrics.Writer.write

  def die(self, step, *args):
    write(self, step, *args)
    if step == 3:  # The latest checkpoint is of step 2.
      raise _Killed

  config = _config(folders, _ON_POLICY)
  with monkeypatch.context() as patch:
    patch.setattr(metrics.Writer, 'write', die)
    with pytest.raises(_Killed):
      run.run(config, tmp_path)
  params = run.run(config, tmp_path)
  jax.tree.map(np.testing.assert_array_equal, params, whole[1])


@pytest.mark.parametrize(
  ('field', 'value', 'message'),
  [
    ('distill.loss', 'kl', "distill.loss='kl' must be one of forward_kl"),
    ('distill.samples', 'own', "distill.samples='own' must be one of targets"),
    ('distill.pair', 'no_such', "no pair 'no_such': neither shipped"),
    ('batch_size', 6, 'batch_size=6 must be a multiple of the 8 devices'),
  ],
)  # fmt: skip
def test_a_mistaken_field_is_one_line_before_any_data(
  tmp_path, monkeypatch, folders, field, value, message
):
  monkeypatch.setattr(data, 'tokenize', None)
  config = _config(folders, _ON_POLICY)
  config.update_from_flattened_dict({field: value})
  with pytest.raises(ValueError, match=message) as error:
    run.run(config, tmp_path)
  assert '\n' not in str(error.value)


def test_a_pair_of_another_family_is_one_line(tmp_path, folders):
  config = _config(folders, _ON_POLICY)
  config.distill.pair = str(folders['translation'])
  with pytest.raises(ValueError, match='T5 takes inputs apart: set input_len'):
    run.run(config, tmp_path)
  config = _config(folders, 'translation,jsd,targets')
  config.distill.pair = str(folders['word_problems'])
  with pytest.raises(ValueError, match='Gemma takes whole rows: leave out'):
    run.run(config, tmp_path)


def test_a_row_without_room_for_an_answer_is_told_before_training(
  tmp_path, monkeypatch, folders
):
  def no_room(examples, max_new_tokens):
    assert len(examples) == 64
    raise ValueError(f'no room for {max_new_tokens}')

  monkeypatch.setattr(answers, 'check', no_room)
  monkeypatch.setattr(loop, 'train', None)
  with pytest.raises(ValueError, match='no room for 12'):
    run.run(_config(folders, _ON_POLICY), tmp_path)


@pytest.mark.parametrize(
  ('arg', 'message'),
  [
    ('', 'the argument is pair,loss,samples'),
    ('word_problems,jsd', 'the argument is pair,loss,samples'),
    ('word_problems,jsd,drafter,tiny', 'the argument is pair,loss,samples'),
    ('wordproblems,jsd,drafter', "'wordproblems': the pair is one of word_p"),
  ],
)
def test_a_mistaken_argument_is_one_line(arg, message):
  with pytest.raises(ValueError, match=message) as error:
    _config_file().get_config(arg)
  assert '\n' not in str(error.value)
