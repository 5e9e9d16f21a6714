"""The schema of training, and the configs that ship."""

import functools
import importlib.util
import json
import pathlib

import jax
import pytest

from speccascade import config, pairs
from speccascade.models import registry
from speccascade.training import config as training_config
from speccascade.training import distillation
from tests.training import stand_ins

_CONFIGS = pathlib.Path(__file__).parents[2] / 'configs'
_PAIRS = pathlib.Path(pairs.__file__).parent
_ROLES = [
  f'{pair},{role}'
  for pair in ('word_problems', 'translation')
  for role in ('verifier', 'drafter')
]


@functools.cache
def _file(name):
  path = _CONFIGS / f'{name}.py'
  spec = importlib.util.spec_from_file_location(name, path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def _parse(name, arg):
  """The settings as an entry point has them, by way of a locked config."""
  return config.parse(training_config.Train, _file(name).get_config(arg).lock())


@pytest.mark.parametrize('smoke', ['', ',smoke'])
@pytest.mark.parametrize('arg', _ROLES)
def test_every_train_config_is_in_range(arg, smoke):
  settings = _parse('train', arg + smoke)
  pair, role = arg.split(',')
  assert (settings.task, settings.name) == (pair, role)
  assert settings.num_steps == 20 or not smoke


@pytest.mark.parametrize('smoke', ['', ',smoke'])
@pytest.mark.parametrize('pair', ['word_problems', 'translation'])
def test_every_distill_config_is_in_range(pair, smoke):
  for loss in distillation.LOSSES:
    for samples in distillation.SAMPLES:
      settings = _parse('distill', f'{pair},{loss},{samples}{smoke}')
      assert settings.distill.model_dump() == {
        'pair': pair,
        'loss': loss,
        'samples': samples,
      }


@pytest.mark.parametrize('arg', _ROLES)
def test_the_shipped_models_were_trained_with_the_shipped_configs(arg):
  pair, role = arg.split(',')
  told = json.loads((_PAIRS / pair / 'provenance.json').read_text())[role]
  settings = _parse('train', arg)
  values = {k: v for k, v in settings.to_dict().items() if v is not None}
  assert {'family': 'gemma2', **told['config']} == values
  model = registry.make_model(settings.architecture())
  params = jax.eval_shape(model.init, jax.random.key(0))
  count = sum(x.size for x in jax.tree.leaves(params))
  assert told['num_params'] == count
  assert f'{count / 1e6:.1f}M' in _line(_file('train').__doc__, arg)


def _line(text, start):
  (line,) = (x for x in text.splitlines() if x.strip().startswith(start))
  return line


@pytest.mark.parametrize('pair', ['word_problems', 'translation'])
def test_a_drafter_is_distilled_on_the_corpus_of_its_verifier(pair):
  distilled = _parse('distill', f'{pair},forward_kl,targets')
  trained = _parse('train', f'{pair},verifier')
  for field in ('task', 'task_args', 'length', 'input_length', 'seed'):
    assert getattr(distilled, field) == getattr(trained, field), field
  assert distilled.num_train == distilled.batch_size * distilled.num_steps
  assert distilled.num_train <= trained.num_train


def test_values_of_the_smallest_settings_are_as_given():
  settings = stand_ins.settings()
  assert settings.optimizer.weight_decay == 0.1
  assert settings.input_length is settings.distill is None
  assert settings.architecture() == stand_ins.model().config
  with pytest.raises(ValueError, match='frozen'):
    settings.seed = 1


_DISTILLED = dict(
  family=None,
  model=None,
  tokenizer=None,
  dtype='float32',
  distill=dict(pair='translation', loss='jsd', samples='targets'),
)


def _optimizer(**values):
  values = dict(peak_learning_rate=1e-2, warmup_steps=4) | values
  return dict(optimizer=values)


def _model(**values):
  return dict(model=stand_ins.GEMMA | values)


def _distill(**values):
  return _DISTILLED | dict(distill=_DISTILLED['distill'] | values)


@pytest.mark.parametrize(
  ('values', 'told'),
  [
    (dict(log_every=0), 'log_every=0: it must be greater'),
    (dict(eval_every=0), 'eval_every=0: it must be greater'),
    (dict(save_every=-5), 'save_every=-5: it must be greater'),
    (dict(num_steps=0), 'num_steps=0: it must be greater'),
    (dict(num_steps=2.5), 'num_steps=2.5: it must be a valid integer'),
    (dict(batch_size=0), 'batch_size=0: it must be greater'),
    (dict(num_train=0), 'num_train=0: it must be greater'),
    (dict(num_valid=0), 'num_valid=0: it must be greater'),
    (dict(length=0), 'length=0: it must be greater'),
    (dict(input_length=0), 'input_length=0: it must be greater'),
    (dict(seed=-1), 'seed=-1: it must be greater'),
    (dict(seed=2**31), 'seed=2147483648: it must be less'),
    (dict(name='../x'), "name='../x': it must be a name for"),
    (dict(steps=3), 'unknown config field steps; known: name, seed'),
    (
      dict(log_every=2, save_every=5),
      'save_every=5 must be a multiple of log_every=2',
    ),
    (
      dict(log_every=2, eval_every=5),
      'eval_every=5 must be a multiple of log_every=2',
    ),
    (
      dict(num_steps=4),
      'optimizer.warmup_steps=4 must be less than num_steps=4',
    ),
    (_optimizer(warmup_steps=-1), 'optimizer.warmup_steps=-1: it must be gre'),
    (_optimizer(peak_learning_rate=0), 'optimizer.peak_learning_rate=0: it'),
    (_optimizer(b1=1.0), 'optimizer.b1=1.0: it must be less than 1'),
    (_optimizer(b2=-0.1), 'optimizer.b2=-0.1: it must be greater'),
    (_optimizer(weight_decay=-1.0), 'optimizer.weight_decay=-1.0: it must'),
    (_optimizer(clip_norm=0.0), 'optimizer.clip_norm=0.0: it must be greater'),
    (_optimizer(clip_norm=float('nan')), 'optimizer.clip_norm=nan: it must'),
    (
      dict(tokenizer=None),
      'must set either family, model, tokenizer or distill, dtype, got family',
    ),
    (dict(dtype='float32'), 'must set either family, model, tokenizer or dis'),
    (_DISTILLED | dict(dtype=None), 'must set either family, model, tokenizer'),
    (_DISTILLED | dict(dtype='half'), "dtype='half': it must be 'float32' or"),
    (_distill(loss='kl'), "distill.loss='kl' must be one of forward_kl"),
    (_distill(samples='own'), "distill.samples='own' must be one of targets"),
    (dict(family='gpt'), "unknown model family 'gpt'; known: gemma2, gemma3"),
    (_model(dtype='int'), "model.dtype='int' must be one of float32, bfloat16"),
    (_model(depth=1), 'wrong settings of a gemma2 model: .*depth'),
    (dict(length=9000), 'length=9000 must not exceed context_length=8192'),
    (
      dict(input_length=8),
      'input_length=8 must not be set: a gemma2 model reads the prompt as',
    ),
    (
      dict(family='t5', model=stand_ins.T5),
      'input_length must be set: a t5 model encodes its inputs',
    ),
  ],
)
def test_a_field_out_of_range_is_one_line(values, told):
  with pytest.raises(ValueError, match=told) as error:
    stand_ins.settings(**values)
  assert '\n' not in str(error.value)


def test_settings_of_a_distillation_and_of_an_encoder_decoder_are_in_range():
  assert stand_ins.settings(**_DISTILLED).model is None
  stand_ins.settings(family='t5', model=stand_ins.T5, input_length=8)


def test_a_config_of_something_else_is_one_line():
  with pytest.raises(
    ValueError,
    match='no name, task, num_train, length, optimizer, batch_size, .*; a tr',
  ):
    config.parse(training_config.Train, {'pair': 'translation', 'trials': 3})


@pytest.mark.parametrize(
  ('name', 'arg', 'told'),
  [
    ('train', 'word_problems', r'the argument is pair,role\[,smoke\]'),
    ('train', 'word_problems,verifier,smok', 'the argument is pair,role'),
    ('train', 'verifier', 'pairs: word_problems, translation; roles: veri'),
    ('distill', '', 'the argument is pair,loss,samples'),
    ('distill', 'word_problems,jsd', 'the argument is pair,loss,samples'),
    ('distill', 'word_problems,jsd,drafter,tiny', 'the argument is pair,loss'),
    ('distill', 'wordproblems,jsd,drafter', 'the pair is one of word_problem'),
  ],
)
def test_a_mistaken_argument_is_one_line(name, arg, told):
  with pytest.raises(ValueError, match=told) as error:
    _file(name).get_config(arg)
  assert '\n' not in str(error.value)
