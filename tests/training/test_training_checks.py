import importlib.util
import pathlib

import pytest

from speccascade.training import data, loop, run

_CONFIGS = pathlib.Path(__file__).parents[2] / 'configs'


def _config(name, arg):
  path = _CONFIGS / f'{name}.py'
  spec = importlib.util.spec_from_file_location(name, path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module.get_config(arg)


_TRAIN = ('train_verifier', 'smoke')
_DISTILL = ('distill', 'word_problems,forward_kl,targets,smoke')


@pytest.mark.parametrize(
  ('config', 'field', 'value', 'told'),
  [
    (_TRAIN, 'log_every', 0, 'log_every=0 must be at least 1'),
    (_TRAIN, 'eval_every', 0, 'eval_every=0 must be at least 1'),
    (_TRAIN, 'save_every', -5, 'save_every=-5 must be at least 1'),
    (_TRAIN, 'num_steps', 0, 'num_steps=0 must be at least 1'),
    (_TRAIN, 'batch_size', 0, 'batch_size=0 must be at least 1'),
    (_TRAIN, 'num_train', 0, 'num_train=0 must be at least 1'),
    (_TRAIN, 'num_valid', 0, 'num_valid=0 must be at least 1'),
    (_TRAIN, 'length', 0, 'length=0 must be at least 1'),
    (_TRAIN, 'seed', -1, r'seed=-1 must be in 0\.\.'),
    (_TRAIN, 'num_steps', 5, 'warmup_steps=5 must be 0 or more and'),
    (_TRAIN, 'model.dtype', 'int', r"model\.dtype='int' must be one of"),
    (_DISTILL, 'dtype', 'half', "^dtype='half' must be one of .'float32"),
    (_DISTILL, 'num_valid', 0, 'num_valid=0 must be at least 1'),
  ],
)  # fmt: skip
def test_a_field_out_of_range_is_one_line_before_any_data(
  tmp_path, monkeypatch, config, field, value, told
):
  monkeypatch.setattr(data, 'tokenize', None)
  config = _config(*config)
  config.update_from_flattened_dict({field: value})
  with pytest.raises(ValueError, match=told) as error:
    run.run(config, tmp_path / 'run')
  assert '\n' not in str(error.value)
  assert not (tmp_path / 'run').exists()


def test_a_config_of_something_else_is_one_line(tmp_path):
  config = _config('tradeoff', 'translation')
  with pytest.raises(
    ValueError,
    match='no num_train, num_valid, .* model, tokenizer: it is none of tr',
  ):
    run.run(config, tmp_path / 'run')
  assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize('config', [_TRAIN, _DISTILL])
def test_the_configs_that_ship_are_in_range(tmp_path, monkeypatch, config):
  monkeypatch.setattr(data, 'tokenize', lambda *_: 'examples')
  monkeypatch.setattr(loop, 'train', lambda *args, **_: args[2:4])
  assert run.run(_config(*config), tmp_path) == ('examples', 'examples')
