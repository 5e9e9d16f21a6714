"""What holds of every registered rule, at the values that it brings."""

import re

import numpy as np
import pytest

from speccascade import rules
from speccascade.rules import base
from tests.rules import examples, rule_cases

pytestmark = pytest.mark.usefixtures('float64')


@pytest.mark.parametrize('name', rules.RULES)
def test_values_broadcast_over_leading_axes(name):
  """A value a row of blocks BxG, as the decoder has it."""
  case = [x.reshape(40, 30, 7) for x in rule_cases.cases()]
  values = [
    examples.over(x, 40)[np.random.default_rng(i).permutation(40)]
    for i, x in enumerate(rule_cases.parameters(name))
  ]
  together = rule_cases.COMPILED[name](*case, *(x[:, None] for x in values))
  assert together.shape == case[0].shape
  everywhere = rule_cases.apply(name, case, *(x[:, None] for x in values))
  np.testing.assert_allclose(together, everywhere, rtol=0, atol=1e-15)
  for b in range(40):
    alone = rule_cases.COMPILED[name](
      *(x[b] for x in case), *(x[b] for x in values)
    )
    np.testing.assert_allclose(together[b], alone, rtol=0, atol=1e-15)


@pytest.mark.parametrize('name', rules.RULES)
def test_pi_is_a_distribution(name):
  case = rule_cases.cases()
  q, p, q_raw, p_raw = case
  swapped = (q[::-1], p[::-1], q_raw, p_raw)
  for values in examples.every(rule_cases.parameters(name)):
    pi = rule_cases.apply(name, case, *values)
    assert pi.shape == q.shape
    assert (pi >= 0).all()
    np.testing.assert_allclose(pi.sum(-1), 1, rtol=0, atol=1e-13)
    if (rule_cases.apply(name, swapped, *values) == pi).all():
      continue  # It looks at raw probabilities alone.
    # Never a token that neither model would sample.
    assert (pi[(q == 0) & (p == 0)] == 0).all()


@pytest.mark.parametrize('name', rules.RULES)
def test_pi_is_a_distribution_in_float32(name):
  case = [x.astype(np.float32) for x in rule_cases.cases()]
  for values in examples.every(rule_cases.parameters(name), 3):
    values = (np.full(len(case[0]), x, np.float32) for x in values)
    pi = np.asarray(rule_cases.COMPILED[name](*case, *values))
    assert pi.dtype == np.float32
    assert (pi >= 0).all()
    np.testing.assert_allclose(pi.sum(-1), 1, rtol=0, atol=1e-5)


@pytest.mark.parametrize('name', rules.RULES)
def test_the_rule_changes_its_mind_between_its_examples(name):
  case, parameters = rule_cases.cases(), rule_cases.parameters(name)
  for k, parameter in enumerate(parameters):
    small, middle, large = parameter.examples
    assert small <= middle <= large
    pi = []
    for value in (small, large):
      values = list(examples.middle(parameters))
      values[k] = value
      pi.append(rule_cases.apply(name, case, *values))
    assert np.abs(pi[0] - pi[1]).max() > 0.1, parameter.name


@pytest.mark.parametrize('name', rules.RULES)
def test_values_are_checked(name):
  rule = rules.RULES[name]
  points = list(zip(*examples.every(rule.parameters), strict=True))
  for k, parameter in enumerate(rule.parameters):
    for value in points[k]:
      parameter.check(value, name)
    for value in examples.wrong(parameter):
      message = f'={value:g} is out of range for {name}: it must be a finite'
      with pytest.raises(ValueError, match=re.escape(message)) as error:
        parameter.check(value, name)
      assert str(error.value).startswith(parameter.name)
      assert '\n' not in str(error.value)


@pytest.mark.parametrize(
  ('opening', 'closing', 'shown'),
  [(False, False, '[0, 1]'), (True, False, '(0, 1]'), (False, True, '[0, 1)')],
)
def test_a_refusal_tells_the_range(opening, closing, shown):
  parameter = base.Parameter('x', 0, 1, opening, closing)
  for value in (0, 1):
    if value == 0 and opening or value == 1 and closing:
      with pytest.raises(ValueError, match=re.escape(shown)):
        parameter.check(value, 'y')
    else:
      parameter.check(value, 'y')
  with pytest.raises(ValueError, match=re.escape(f'number in {shown}')):
    parameter.check(-0.5, 'y')


@pytest.mark.parametrize('name', rules.RULES)
def test_names_and_docstrings(name):
  rule = rules.RULES[name]
  assert rule.__name__ == name
  assert 'pi' in rule.__doc__.lower() or 'A = {' in rule.__doc__
  if rule.parameters:
    assert re.search(r'Source:\s', rule.__doc__)
  names = [x.name for x in rule.parameters]
  assert len(set(names)) == len(names)
  hash(rule)


def _extremes(parameter):
  """Numbers at which float32 may fail, of those that the parameter takes."""
  ends = [x for x in (parameter.low, parameter.high) if np.isfinite(x)]
  near = [e + s * d for e in (0, *ends) for s in (1, -1) for d in _SMALL]
  for value in (0, *ends, *near, 1e30, -1e30, 1e300, -1e300):
    try:
      parameter.check(value, 'rule')
    except ValueError:
      continue
    yield float(value)


_SMALL = (1e-3, 1e-7, 1e-9, 1e-12, 1e-30, 1.2e-38, 1e-40, 1e-300)


@pytest.mark.parametrize('name', rules.RULES)
def test_values_that_are_taken_mean_in_float32_what_they_mean(name):
  """Pi is finite, and up to rounding that of float64 at the same value."""
  case = [x.astype(np.float32) for x in rule_cases.cases(rows=40)]
  wide = [x.astype(float) for x in case]
  parameters = rule_cases.parameters(name)
  for k, parameter in enumerate(parameters):
    for value in _extremes(parameter):
      values = list(examples.middle(parameters))
      values[k] = value
      pi = np.asarray(
        rule_cases.COMPILED[name](
          *case, *(np.full(len(case[0]), x, np.float32) for x in values)
        )
      )
      assert pi.dtype == np.float32
      assert np.isfinite(pi).all(), (parameter.name, value)
      exact = rule_cases.apply(name, wide, *map(np.float32, values))
      apart = np.abs(pi - exact).sum(-1) / 2
      assert apart.max() < 1e-3, (parameter.name, value)


@pytest.mark.parametrize('value', [1e-40, -1e-50, 1e39, -1e300])
def test_a_number_that_float32_does_not_hold_is_refused(value):
  parameter = base.Parameter('x')
  with pytest.raises(ValueError, match='too small, too large or too near'):
    parameter.check(value, 'y')
  for held in (0, 1.2e-38, -3e38):
    parameter.check(held, 'y')


@pytest.mark.parametrize('open_high', [False, True])
def test_a_number_that_float32_takes_for_an_end_is_refused(open_high):
  parameter = base.Parameter('x', -1, 1, open_high=open_high)
  for held in (-1, -1 + 1e-7, 1 - 1e-7):
    parameter.check(held, 'y')
  for value in (-1 + 1e-9, 1 - 1e-9):
    with pytest.raises(ValueError, match='of y is too small, too large or'):
      parameter.check(value, 'y')
