"""The schema of a sweep: one line that names the field for a wrong value."""

import importlib.util
import pathlib

import ml_collections
import pydantic
import pytest

from speccascade import tasks
from speccascade.sweeps import config, points
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
    ('methods', {'chow': ('0.1',)}, "methods.chow.0='0.1': it must be a num"),
    ('methods', {'chow': (1e39,)}, 'methods.chow.0=1e.39: it must be a number'),
    ('methods', {'lossy_beta': ((0.5, None),)}, 'methods.lossy_beta.0='),
    ('methods', {'chow': (True,)}, 'methods.chow.0=True: it must be a number'),
    ('methods', [('chow', (0.1,))], 'methods=.*: it must be a valid dict'),
    ('gammas', (100_000,), 'gammas.0=100000: it must be less than or equal'),
    ('schedules', {'confidence': (1e-50,)}, 'schedules.confidence.0=1e-50: it'),
    ('temperatures', (1e-50,), 'temperatures.0=1e-50: .*can tell from 0'),
    ('temperatures', (0.0, -0.0), 'temperatures=.* must be distinct'),
    ('top_ps', (1e-45,), 'top_ps.0=1e-45: .*can tell from 0'),
    ('top_k', 2**31, 'top_k=2147483648: it must be less'),
    ('seed', -1, 'seed=-1: it must be greater'),
    ('seed', 2**32, 'seed=4294967296: it must be less'),
    ('seed', 2**63, 'seed=9223372036854775808: it must be less'),
    ('batch_size', 2**63, 'batch_size=9223372036854775808: it must be less'),
    ('num_examples', 100_000_000, 'num_examples=100000000: it must be less'),
    ('trials', 2**63 - 1, 'trials=9223372036854775807: it must be less'),
    ('task_args', {'seed': ()}, r'task_args.seed=\(\): it must be a text'),
    ('pair', 3, 'pair=3: it must be a valid string'),
    ('ruless', (), 'unknown config field ruless; known: pair, drafter, '),
  ],
)
def test_a_wrong_value_is_one_line(field, value, message):
  with pytest.raises(ValueError, match=message) as error:
    _parse(**{field: value})
  assert '\n' not in str(error.value)


@pytest.mark.parametrize(
  'changes',
  [
    dict(num_examples=10**6, latency_examples=10**6, trials=1_000),
    dict(latency_examples=10, trials=1_000, gammas=tuple(range(200))),
    dict(temperatures=tuple(x / 100 for x in range(20_000)), trials=60),
    dict(methods={'chow': tuple(x / 10_000 for x in range(9_999))}, trials=60),
  ],
)
def test_lists_of_timed_answers_are_bounded(changes):
  told = r'latency_examples=\d+ x trials=\d+ x up to \d+ points are \d+ timed'
  with pytest.raises(ValueError, match=told):
    _parse(**changes)


def test_no_fewer_points_are_counted_than_there_are():
  every = dict(verifier_alone=(), strict=(), chow=(0.1, 0.2))
  for given in (every, {}, {'token_v3': (0.1,)}):
    sweep = _parse(methods=given, schedules={'cost': ()}, schedule_gamma=4)
    settings = points.settings(sweep)
    found = points.points(settings, points.plans(sweep))
    assert len(found) <= sweep._most_points()


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
  with pytest.raises(ValueError, match='field seed; known: cells'):
    config.parse({'cells': {'one': cell}, 'seed': 0})


@pytest.mark.parametrize(
  ('names', 'told'),
  [
    ((), 'at least one'),
    (('../evil',), 'must be a name for a file'),
    (('a/b',), 'must be a name for a file'),
    (('',), 'must be a name for a file'),
    (('.',), 'must be a name for a file'),
    (('one', 'One'), 'must differ in more than case'),
    ((1,), 'cells.1'),
  ],
)
def test_the_names_of_cells_are_names_of_folders(names, told):
  cell = tiny_pair.config('any').to_dict()
  with pytest.raises(ValueError, match=told) as error:
    config.parse({'cells': dict.fromkeys(names, cell)})
  assert '\n' not in str(error.value)


@pytest.mark.parametrize('value', [None, 3, (), {'cells': 3}, {'cells': None}])
def test_what_is_no_config_is_one_line(value):
  with pytest.raises(ValueError, match='must be a valid dictionary') as error:
    config.parse(value)
  assert '\n' not in str(error.value)


@pytest.mark.parametrize(
  ('changes', 'told'),
  [
    (dict(gammas=(3, 128)), None),
    (dict(gammas=(3, 129)), 'gammas=129 must not exceed 128, the most tokens'),
    (dict(schedule_gamma=200), 'schedule_gamma=200 must not exceed 128'),
  ],
)
def test_no_draft_is_longer_than_any_answer(changes, told):
  task = tasks.load('word_problems', {})
  sweep = _parse(**changes)
  if told is None:
    config.check_gammas(sweep, task)
    return
  with pytest.raises(ValueError, match=told):
    config.check_gammas(sweep, task)


@pytest.mark.parametrize(
  ('name', 'arguments'),
  [
    ('quickstart', ()),
    ('table2', ()),
    ('schedules', ()),
    ('headline', ()),
    ('drafters', ()),
    ('drafters', ('translation,/tmp/a.safetensors,b/c.safetensors',)),
    ('tradeoff', ()),
    ('tradeoff', ('word_problems,top_p',)),
  ],
)
def test_shipped_configs_are_valid(name, arguments):
  spec = importlib.util.spec_from_file_location(name, _CONFIGS / f'{name}.py')
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  assert config.parse(module.get_config(*arguments))


def test_drafters_have_cells_of_their_own():
  spec = importlib.util.spec_from_file_location(
    'drafters', _CONFIGS / 'drafters.py'
  )
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  cells = config.parse(module.get_config('word_problems,/tmp/weak.safetensors'))
  assert {name: cell.drafter for name, cell in cells.items()} == {
    'word_problems': None,
    'weak': '/tmp/weak.safetensors',
  }
  for arg, told in (
    ('x', 'the pair is'),
    ('translation,a,b/a', "'b/a': the n"),
  ):
    with pytest.raises(ValueError, match=told):
      module.get_config(arg)
