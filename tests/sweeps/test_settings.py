import pytest

from speccascade.sweeps import settings
from tests.sweeps import tiny_pair


def test_every_combination_of_rule_alpha_and_temperature_once():
  by_rule = settings.by_rule(tiny_pair.config('any'))
  assert list(by_rule) == [
    'verifier_alone',
    'drafter_alone',
    'strict',
    'chow',
    'token_v3',
  ]
  ids = [s.id() for s in by_rule['token_v3']]
  assert ids == [
    'token_v3-a0.2-t0-p1-k0-s0',
    'token_v3-a0.6-t0-p1-k0-s0',
    'token_v3-a0.2-t1-p1-k0-s0',
    'token_v3-a0.6-t1-p1-k0-s0',
  ]
  assert by_rule['strict'][0].id(settings.Plan(5)) == 'strict-g5-t0-p1-k0-s0'
  assert by_rule['strict'][0].alpha is None


def test_strict_is_measured_though_the_config_leaves_it_out():
  config = tiny_pair.config('any')
  del config.rules['strict']
  assert 'strict' in settings.by_rule(config)


def test_plans_are_the_gammas_and_then_the_schedules():
  config = tiny_pair.config('any')
  config.schedules = dict(cost=(), confidence=(0.3, 0.6))
  ids = [plan.id() for plan in settings.plans(config)]
  assert ids == ['g1', 'g3', 'g4-confidence0.3', 'g4-confidence0.6', 'g4-cost']


@pytest.mark.parametrize(
  ('field', 'value', 'message'),
  [
    ('rules', {'chew': (0.1,)}, "unknown rule 'chew'; known: strict, drafter"),
    ('rules', {'chow': ()}, 'chow takes at least one alpha'),
    ('rules', {'strict': (0.1,)}, 'strict takes no alpha'),
    ('rules', {'lossy': (0.1, 1.0)}, r'alpha=1 is out of range for lossy'),
    ('gammas', (1, -2), 'gamma=-2 must be 0 or more'),
    ('gammas', (1, 2.5), 'gamma=2.5 must be 0 or more, and whole'),
    (
      'rules',
      {'chow': (0.1, 0.1)},
      r'rules.chow=\(0.1, 0.1\) must be distinct',
    ),
    ('rules', {'lossy': (0.9999991, 0.9999994)}, 'first six digits'),
    ('rules', {'token_cascade': (1.1,)}, 'alpha=1.1 is out of range'),
    (
      'rules',
      {'bild_rollback': (-0.1,)},
      'alpha=-0.1 is out of range for bild',
    ),
    ('schedules', {'eager': ()}, "unknown schedule 'eager'; known: confidence"),
    (
      'schedules',
      {'adaptive': (1,)},
      'confidence takes thresholds, the others',
    ),
    ('schedules', {'confidence': ()}, 'confidence takes thresholds'),
    ('schedules', {'confidence': (1.5,)}, 'takes a probability, not 1.5'),
    ('rules', {'chow': 0.1}, r'rules.chow=0.1 must be a tuple: \(0.1,\)'),
    ('gammas', (), r'gammas=\(\) must have at least one value'),
    ('temperatures', (0.0, -1.0), 'temperature=-1 must be 0 or more'),
    ('top_ps', (1.5,), 'top_p=1.5..1.5 not in'),
    ('top_ps', (), r'top_ps=\(\) must have at least one value'),
    ('top_k', -1, 'top_k=-1 must be 0'),
    ('dtype', 'float64', "dtype='float64' must be one of .'float32'"),
    ('temperatures', (1.0, 1.0), 'must be distinct'),
    ('trials', 0, 'trials=0 must be at least 1'),
    ('latency_examples', 11, 'latency_examples=11 exceeds num_examples=10'),
  ],
)
def test_a_config_out_of_range_is_one_line(field, value, message):
  config = tiny_pair.config('any')
  with config.unlocked():
    del config[field]
    config[field] = value
  with pytest.raises(ValueError, match=message) as error:
    settings.by_rule(config)
  assert '\n' not in str(error.value)


def test_a_config_of_something_else_is_one_line():
  config = tiny_pair.config('any')
  with config.unlocked():
    del config.rules, config.trials
  with pytest.raises(ValueError, match='no rules, trials: it is none of a sw'):
    settings.by_rule(config)
