import pytest

from speccascade import methods
from speccascade.decoding import schedules
from speccascade.sweeps import points
from tests.sweeps import tiny_pair


def test_every_combination_of_method_values_and_temperature_once():
  found = points.settings(tiny_pair.sweep('any'))
  assert list(dict.fromkeys(s.method for s in found)) == [
    'verifier_alone', 'drafter_alone', 'strict', 'chow', 'token_v3',
  ]  # fmt: skip
  assert [s.id() for s in found if s.method == 'token_v3'] == [
    'token_v3-alpha0.2-t0-p1-k0-s0',
    'token_v3-alpha0.6-t0-p1-k0-s0',
    'token_v3-alpha0.2-t1-p1-k0-s0',
    'token_v3-alpha0.6-t1-p1-k0-s0',
  ]
  strict = next(s for s in found if s.method == 'strict')
  assert strict.id(schedules.Plan(5)) == 'strict-g5-t0-p1-k0-s0'
  assert (strict.values, strict.parameters) == ((), {})


def test_a_method_of_two_parameters_has_both_in_its_name():
  sweep = tiny_pair.sweep('any', methods={'lossy_beta': ((0.2, 1.0), (0.5, 2))})
  own = [s for s in points.settings(sweep) if s.method == 'lossy_beta']
  assert own[1].parameters == {'alpha': 0.5, 'beta': 2.0}
  assert own[1].id() == 'lossy_beta-alpha0.5-beta2-t0-p1-k0-s0'
  assert points.like(own[1], methods.STRICT).id() == 'strict-t0-p1-k0-s0'


def test_strict_is_measured_though_the_config_leaves_it_out():
  sweep = tiny_pair.sweep('any', methods={'chow': (0.3,)})
  assert 'strict' in {s.method for s in points.settings(sweep)}


def test_plans_are_the_gammas_and_then_the_schedules():
  sweep = tiny_pair.sweep(
    'any', schedules={'cost': (), 'confidence': (0.3, 0.6)}
  )
  ids = {plan.id() for plan in points.plans(sweep)}
  assert ids == {'g1', 'g3', 'g4-confidence0.3', 'g4-confidence0.6', 'g4-cost'}
  assert [plan.id() for plan in points.plans(sweep)][:2] == ['g1', 'g3']


@pytest.mark.parametrize('name', methods.METHODS)
def test_a_text_is_named_by_the_plan_where_it_depends_on_it(name):
  method = methods.METHODS[name]
  values = tuple(float(x.examples[1]) for x in method.parameters)
  setting = points.Setting(name, values, 1.0, 0.9, 4, 7)
  plan = schedules.Plan(2)
  expected = setting.id(plan) if method.plan_changes_text else setting.id()
  assert setting.text_id(plan) == expected
  assert setting.sampling == (1.0, 0.9)
