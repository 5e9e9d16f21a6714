"""The schema of a sweep: one line that names the field for a wrong value."""

import importlib.util
import pathlib

import ml_collections
import pydantic
import pytest

from speccascade.sweeps import config
from tests.sweeps import tiny_pair

_CONFIGS = pathlib.Path(__file__).parents[2] / 'configs'


def _parse(**changes):
  values = dict(tiny_pair.config('any').to_dict(), **changes)
  return config.parse(values)['']


def test_a_config_becomes_a_frozen_object():
  sweep = config.parse(tiny_pair.config('any'))['']
  assert sweep.methods == {'strict': (), 'chow': (0.3,), 'token_v3': (0.2, 0.6)}
  assert sweep.temperatures == (0.0, 1.0)
  with pytest.raises(pydantic.ValidationError):
    sweep.seed = 1
  again = config.parse(tiny_pair.config('any'))['']
  assert again == sweep
  assert again.to_dict()['gammas'] == [1, 3]


@pytest.mark.parametrize(
  ('field', 'value', 'message'),
  [
    ('methods', {'chew': (0.1,)}, "unknown method 'chew'; known: verifier_alo"),
    ('methods', {'chow': ()}, 'chow takes at least one value of alpha'),
    ('methods', {'strict': (0.1,)}, 'strict takes no values'),
    ('methods', {'lossy': (0.1, 1.0)}, 'alpha=1 is out of range for lossy'),
    (
      'methods',
      {'chow': (0.1, 0.1)},
      r'methods.chow=\(0.1, 0.1\) must be dist',
    ),
    ('methods', {'lossy': (0.9999991, 0.9999994)}, 'first six digits'),
    ('methods', {'token_cascade': (1.1,)}, 'alpha=1.1 is out of range'),
    ('methods', {'bild_rollback': (-0.1,)}, 'alpha=-0.1 is out of range for b'),
    ('methods', {'lossy_beta': (0.5,)}, r'each point must be \(alpha, beta\)'),
    ('methods', {'lossy_beta': ((0.5, 0.0),)}, 'beta=0 is out of range for lo'),
    ('methods', {'chow': ((0.1, 0.2),)}, 'each point must be a number, alpha'),
    ('methods', {'chow': (None,)}, 'methods.chow.0'),
    ('methods', {'token_v3': {'a': 1}}, 'methods.token_v3'),
    ('methods', {'chow': 0.1}, 'methods.chow=0.1: it must be a valid tuple'),
    ('gammas', (1, -2), r'gammas.1=-2: it must be greater than or equal to 0'),
    ('gammas', (1, 2.5), r'gammas.1=2.5: it must be a valid integer'),
    ('gammas', 8, 'gammas=8: it must be a valid tuple'),
    ('gammas', (), r'gammas=\(\) must have at least one value'),
    (
      'schedules',
      {'eager': ()},
      "unknown schedule 'eager'; known: fixed, conf",
    ),
    (
      'schedules',
      {'fixed': ()},
      'schedules.fixed: fixed draft lengths are gam',
    ),
    ('schedules', {'adaptive': (1,)}, 'adaptive takes no values'),
    ('schedules', {'confidence': ()}, 'confidence takes at least one value'),
    ('schedules', {'confidence': (1.5,)}, 'takes a probability, or one for'),
    (
      'schedules',
      {'confidence': (float('nan'),)},
      'schedules.confidence.0=nan',
    ),
    ('temperatures', (0.0, -1.0), 'temperatures.1=-1.0: it must be greater'),
    ('temperatures', (1.0, 1.0), 'must be distinct'),
    ('top_ps', (1.5,), 'top_ps.0=1.5: it must be less than or equal to 1'),
    ('top_ps', (0.0,), 'top_ps.0=0.0: it must be greater than 0'),
    ('top_ps', (), r'top_ps=\(\) must have at least one value'),
    ('top_k', -1, 'top_k=-1: it must be greater than or equal to 0'),
    ('dtype', 'float64', "dtype='float64': it must be 'float32' or 'bfloat16'"),
    ('seed', 2**31, 'seed=2147483648: it must be less than 2147483648'),
    ('seed', True, 'seed=True: it must be a valid integer'),
    ('trials', 0, 'trials=0: it must be greater than or equal to 1'),
    ('latency_examples', 11, 'latency_examples=11 must not exceed num_example'),
    ('pair', 3, 'pair=3: it must be a valid string'),
    ('ruless', (), 'unknown config field ruless; known: pair, task'),
  ],
)
def test_a_wrong_value_is_one_line(field, value, message):
  with pytest.raises(ValueError, match=message) as error:
    _parse(**{field: value})
  assert '\n' not in str(error.value)


def test_missing_fields_are_named_together():
  values = tiny_pair.config('any').to_dict()
  del values['methods'], values['trials']
  with pytest.raises(ValueError, match='config has no methods, trials'):
    config.parse(values)


def test_cells_are_named():
  cell = tiny_pair.config('any')
  cells = {'one': cell, 'two': tiny_pair.config('any', trials=0)}
  with pytest.raises(ValueError, match=r'cells.two: trials=0'):
    config.parse(ml_collections.ConfigDict({'cells': cells}))
  parsed = config.parse(ml_collections.ConfigDict({'cells': {'one': cell}}))
  assert parsed == {'one': config.parse(cell)['']}
  with pytest.raises(ValueError, match='no other field: seed'):
    config.parse({'cells': {'one': cell}, 'seed': 0})
  with pytest.raises(ValueError, match='at least one'):
    config.parse({'cells': {}})


@pytest.mark.parametrize(
  ('name', 'arguments'),
  [
    ('quickstart', ()),
    ('table2', ()),
    ('schedules', ()),
    ('headline', ()),
    ('tradeoff', ()),
    ('tradeoff', ('word_problems,top_p',)),
  ],
)
def test_shipped_configs_are_valid(name, arguments):
  spec = importlib.util.spec_from_file_location(name, _CONFIGS / f'{name}.py')
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  assert config.parse(module.get_config(*arguments))
