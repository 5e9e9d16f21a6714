import importlib.util
import pathlib

import jax
import pytest

from speccascade.models import checkpoints, gemma

_CONFIGS = pathlib.Path(__file__).parents[2] / 'configs'


def _config(name, arg=''):
  path = _CONFIGS / f'train_{name}.py'
  spec = importlib.util.spec_from_file_location(name, path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module.get_config(arg)


@pytest.mark.parametrize('arg', ['', 'smoke'])
def test_a_pair_shares_its_corpus_and_tokenizer(arg):
  drafter, verifier = _config('drafter', arg), _config('verifier', arg)
  for field in ('task', 'task_args', 'tokenizer', 'num_train', 'length'):
    assert drafter[field] == verifier[field], field
  assert drafter.model.vocab_size == verifier.model.vocab_size
  assert drafter.keys() == verifier.keys()


@pytest.mark.parametrize(
  ('name', 'count'), [('drafter', 476_288), ('verifier', 12_890_496)]
)
def test_models_have_the_size_the_config_tells(name, count):
  config = _config(name)
  model = gemma.Gemma(gemma.GemmaConfig(**config.model))
  params = jax.eval_shape(model.init, jax.random.key(0))
  assert sum(x.size for x in jax.tree.leaves(params)) == count


def test_an_unknown_argument_is_one_clear_error():
  with pytest.raises(ValueError, match='the only argument is smoke'):
    _config('verifier', 'smok')


@pytest.mark.parametrize(
  ('arg', 'count'), [('drafter', 599_168), ('verifier', 14_188_800)]
)
def test_translation_models_have_the_size_of_the_shipped_ones(arg, count):
  config = _config('translation', arg)
  model = checkpoints.make_model(
    checkpoints.make_config(config.family, **config.model)
  )
  params = jax.eval_shape(model.init, jax.random.key(0))
  assert sum(x.size for x in jax.tree.leaves(params)) == count
  assert config.name == arg
  assert config.task_args.get('plain', False) == (arg == 'drafter')
