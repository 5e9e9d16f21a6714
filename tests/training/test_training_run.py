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

from speccascade import checkpoints, config, pairs, tasks
from speccascade.training import answers, data, loop, metrics, run
from speccascade.training import config as training_config
from tests.training import stand_ins

_ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope='module', autouse=True)
def _compile_little(tmp_path_factory):
  """Each program once."""
  with stand_ins.compiled_once(tmp_path_factory.mktemp('cache')):
    yield


@pytest.fixture(scope='module', autouse=True)
def _answer_briefly():
  """Random models go on to the last token allowed."""
  load = tasks.load

  def brief(name, args):
    return dataclasses.replace(load(name, args), max_new_tokens=12)

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(tasks, 'load', brief)
    yield


_TINY = dict(num_layers=1, num_heads=2, head_dim=8, hidden_dim=16)
_FAMILIES = {
  'word_problems': ('gemma2', 768, dict(num_kv_heads=1)),
  'translation': ('t5', 512, {}),
}


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
  """A tiny pair in a folder, by the name of the one it stands for."""
  made = {}
  for name, (family, vocab_size, own) in _FAMILIES.items():
    folder = made[name] = tmp_path_factory.mktemp(name)
    for role, width in (('drafter', 8), ('verifier', 16)):
      model = stand_ins.model(
        family, **_TINY, **own, vocab_size=vocab_size, embed_dim=width
      )
      params = stand_ins.params(model, seed=width)
      checkpoints.native.save(
        folder / f'{role}.safetensors', model.config, params
      )
    shipped = pathlib.Path(pairs.__file__).parent / name / 'tokenizer.model'
    shutil.copy(shipped, folder / 'tokenizer.model')
  return made


@functools.cache
def _config_file():
  spec = importlib.util.spec_from_file_location(
    'distill', _ROOT / 'configs' / 'distill.py'
  )
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def _settings(folders, arg, **fields):
  """Of a shipped config, with a tiny pair for the shipped one."""
  values = _config_file().get_config(f'{arg},smoke')
  values.distill.pair = str(folders[arg.split(',')[0]])
  values.optimizer.peak_learning_rate = 3e-2
  values.update_from_flattened_dict(fields)
  return config.parse(training_config.Train, values)


_ON_POLICY = 'word_problems,jsd,drafter'


@pytest.fixture(scope='module')
def whole(folders, tmp_path_factory):
  """A run that was never stopped: (workdir, parameters)."""
  workdir = tmp_path_factory.mktemp('whole')
  return workdir, run.run(_settings(folders, _ON_POLICY), workdir)


def _check_exported(workdir, folder):
  lines = metrics.read(workdir)
  assert [line['step'] for line in lines] == [1, 2, 3, 4]
  assert [('valid_loss' in line) for line in lines] == [False, True] * 2
  for line in lines:
    assert 0 < line['loss'] < 10
    assert 0 < line['acceptance'] < 1
  assert lines[3]['valid_loss'] < 0.95 * lines[1]['valid_loss']
  assert lines[3]['valid_acceptance'] > lines[1]['valid_acceptance']
  config, exported = checkpoints.load(workdir / 'drafter.safetensors')
  old_config, old = checkpoints.load(folder / 'drafter.safetensors')
  assert config == old_config
  moved = jax.tree.map(lambda a, b: abs(a - b).max(), exported, old)
  assert 1e-4 < max(jax.tree.leaves(moved)) < 2e-1  # It started from the old.
  told = json.loads((workdir / 'provenance.json').read_text())['drafter']
  assert told['final']['valid_loss'] == lines[-1]['valid_loss']
  assert told['origin'].keys() == {'drafter', 'verifier', 'tokenizer'}
  # The pair takes it in place of the old one, with what is told of it.
  pair = shutil.copytree(folder, workdir / 'pair')
  for file in ('drafter.safetensors', 'provenance.json'):
    shutil.copy(workdir / file, pair)
  pairs.load(pair)
  return told


def test_a_decoder_is_distilled_on_its_own_answers(whole, folders):
  told = _check_exported(whole[0], folders['word_problems'])
  assert told['config']['distill'] == {
    'loss': 'jsd',
    'pair': str(folders['word_problems']),
    'samples': 'drafter',
  }


def test_an_encoder_decoder_is_distilled_on_its_verifier_s(tmp_path, folders):
  settings = _settings(folders, 'translation,total_variation,verifier')
  run.run(settings, tmp_path)
  told = _check_exported(tmp_path, folders['translation'])
  assert told['config']['input_length'] == 112


def test_resuming_draws_the_same_answers(tmp_path, whole, folders):
  # What a run leaves that is killed before its checkpoint of step 4.
  workdir = shutil.copytree(whole[0], tmp_path / 'run')
  shutil.rmtree(workdir / 'checkpoints' / '4')
  (workdir / 'checkpoints' / '4.json').unlink()
  (workdir / 'drafter.safetensors').unlink()
  lines = metrics.read(workdir)
  params = run.run(_settings(folders, _ON_POLICY), workdir)
  jax.tree.map(np.testing.assert_array_equal, params, whole[1])
  again = metrics.read(workdir)
  assert [x['loss'] for x in again] == [x['loss'] for x in lines]
  assert (workdir / 'drafter.safetensors').exists()


@pytest.mark.parametrize(
  ('field', 'value', 'message'),
  [
    ('distill.pair', 'no_such', "no pair 'no_such'"),
    ('mesh', (4, 4), r'mesh=\(4, 4\) needs 16 devices, and there are 8'),
  ],
)  # fmt: skip
def test_what_is_not_there_or_does_not_fit_is_one_line_before_any_data(
  tmp_path, monkeypatch, folders, field, value, message
):
  monkeypatch.setattr(data, 'tokenize', None)
  settings = _settings(folders, _ON_POLICY, **{field: value})
  with pytest.raises(ValueError, match=message) as error:
    run.run(settings, tmp_path / 'run')
  assert '\n' not in str(error.value)
  assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    (dict(model=stand_ins.GEMMA), 'model.vocab_size=17 must be 768, the pie'),
    (dict(tokenizer='no_such'), 'no_such'),
    (
      dict(
        family='t5',
        input_length=8,
        model=stand_ins.T5 | {'vocab_size': 768, 'start_token': 3},
      ),
      'tokenizer.model pads with 0, but the decoder starts from token 3; set',
    ),
  ],
)
def test_a_tokenizer_that_does_not_fit_is_one_line_before_any_data(
  tmp_path, monkeypatch, folders, fields, message
):
  monkeypatch.setattr(data, 'tokenize', None)
  tokenizer = str(folders['word_problems'] / 'tokenizer.model')
  fields = {'tokenizer': tokenizer, 'task': 'word_problems'} | fields
  with pytest.raises(ValueError, match=message) as error:
    run.run(stand_ins.settings(**fields), tmp_path / 'run')
  assert '\n' not in str(error.value)
  assert not (tmp_path / 'run').exists()


def test_a_model_from_scratch_is_trained_on_the_corpus_named(
  tmp_path, monkeypatch, folders
):
  seen = {}

  def train(settings, model, *rest, **teaching):
    seen.update(model=model, rest=rest, teaching=teaching)
    return 'params'

  monkeypatch.setattr(loop, 'train', train)
  model = stand_ins.T5 | {'vocab_size': 512}
  settings = stand_ins.settings(
    task='translation',
    tokenizer=str(folders['translation'] / 'tokenizer.model'),
    family='t5',
    model=model,
    length=112,
    input_length=112,
  )
  assert run.run(settings, tmp_path) == 'params'
  assert seen['model'] == stand_ins.model('t5', vocab_size=512)
  assert seen['teaching'].keys() == {'origin'}
  assert seen['teaching']['origin'].keys() == {'tokenizer'}
  train_examples, valid_examples, workdir = seen['rest']
  assert (len(train_examples), len(valid_examples)) == (50, 16)
  assert train_examples.token_ExT.shape == (50, 112)
  assert train_examples.input_ExS.shape == (50, 112)
  assert (train_examples.token_ExT[:16] != valid_examples.token_ExT).any()
  assert workdir == tmp_path


def test_both_models_of_a_distillation_compute_in_its_dtype(
  tmp_path, monkeypatch, folders
):
  seen = {}

  def train(settings, model, *rest, objective, frozen, start, origin):
    # The first argument of the objective is the verifier.
    seen.update(models=(model, objective.args[0]), frozen=frozen, start=start)

  monkeypatch.setattr(loop, 'train', train)
  monkeypatch.setattr(data, 'tokenize', lambda *_: None)
  arg = 'word_problems,jsd,targets'
  run.run(_settings(folders, arg, dtype='bfloat16'), tmp_path)
  assert {model.config.dtype for model in seen['models']} == {'bfloat16'}
  assert {x.dtype.name for x in jax.tree.leaves(seen['frozen'])} == {'bfloat16'}
  assert {x.dtype.name for x in jax.tree.leaves(seen['start'])} == {'float32'}


def test_a_distillation_draws_no_row_that_pads_the_vocabulary(
  tmp_path, monkeypatch, folders
):
  seen, pieces = [], 700
  monkeypatch.setattr(pairs.vocabulary, 'common', lambda *_: (pieces, 768))
  monkeypatch.setattr(data, 'tokenize', lambda *_: None)
  monkeypatch.setattr(
    loop, 'train',
    lambda settings, model, *_, objective, **rest: seen.extend(
      [(model, rest['start']), (objective.args[0], rest['frozen'])]
    ),
  )  # fmt: skip
  run.run(_settings(folders, 'word_problems,jsd,targets'), tmp_path)
  for model, params in seen:
    assert model.vocab_size == 768
    logits_BxTxV = model.forward(params, jax.numpy.array([[5, 699]]))
    probs_BxTxV = jax.nn.softmax(logits_BxTxV)
    assert probs_BxTxV[..., :pieces].min() > 0
    assert not probs_BxTxV[..., pieces:].any()


def test_a_pair_of_another_family_is_one_line(tmp_path, folders):
  pair = {'distill.pair': str(folders['translation'])}
  settings = _settings(folders, _ON_POLICY, **pair)
  with pytest.raises(
    ValueError, match="'translation.*: input_length must be set: a t5 model"
  ):
    run.run(settings, tmp_path)
  settings = _settings(folders, 'word_problems,jsd,targets', length=8193)
  with pytest.raises(ValueError, match='length=8193 must not exceed context_l'):
    run.run(settings, tmp_path)
  pair = {'distill.pair': str(folders['word_problems'])}
  settings = _settings(folders, 'translation,jsd,targets', **pair)
  with pytest.raises(
    ValueError, match='input_length=112 must not be set: a gemma2 model'
  ):
    run.run(settings, tmp_path)


def test_a_row_without_room_for_an_answer_is_told_before_training(
  tmp_path, monkeypatch, folders
):
  def no_room(examples, max_new_tokens):
    assert len(examples) == 64
    raise ValueError(f'no room for {max_new_tokens}')

  monkeypatch.setattr(answers, 'check', no_room)
  monkeypatch.setattr(loop, 'train', None)
  with pytest.raises(ValueError, match='no room for 12'):
    run.run(_settings(folders, _ON_POLICY), tmp_path)
