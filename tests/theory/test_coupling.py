"""No way to draw x ~ q and y ~ pi together parts them less often than D_TV.

That what the decoder does parts them exactly so often is tested where it is
done: docs/theory.md names those tests.
"""

import numpy as np
import pytest
from scipy import optimize

from speccascade import rules
from speccascade.sampling import draws, probabilities
from tests.theory import cases

pytestmark = pytest.mark.usefixtures('float64')

SLACK = 1e-10  # Of the solver, in each constraint.


def _least_disagreement(q_V, pi_V):
  """min P(x != y) over all joint laws of x ~ q and y ~ pi."""
  V = len(q_V)
  cost_VxV = 1 - np.eye(V)
  of_x = np.kron(np.eye(V), np.ones(V))
  of_y = np.kron(np.ones(V), np.eye(V))
  result = optimize.linprog(
    cost_VxV.ravel(),
    # The last constraint follows from the others.
    A_eq=np.concatenate([of_x, of_y])[:-1],
    b_eq=np.concatenate([q_V, pi_V])[:-1],
    method='highs',
    options={
      'primal_feasibility_tolerance': SLACK,
      'dual_feasibility_tolerance': SLACK,
    },
  )
  assert result.status == 0, result.message
  return result.fun


@pytest.mark.parametrize('name', rules.RULES)
def test_no_coupling_rejects_less(name):
  case = cases.pairs(0)
  q, pi = case[0], cases.target(name, case, *cases.values(name))
  at = np.arange(0, cases.T, cases.T // 3)
  least = [
    [_least_disagreement(*pair) for pair in zip(*rows, strict=True)]
    for rows in zip(q[:, at], pi[:, at], strict=True)
  ]
  # Prices of the constraints lie in [-1, 1] and there are 2 V; each of the
  # V^2 masses may be SLACK below 0 at a reduced cost of at most 3.
  bound = (2 * cases.V + 3 * cases.V**2) * SLACK
  np.testing.assert_allclose(
    least, probabilities.total_variation(pi, q)[:, at], rtol=0, atol=bound
  )


@pytest.mark.parametrize('name', rules.RULES)
def test_a_rejected_draft_is_not_drawn_again(name):
  """So a rejection is a disagreement of draft and output, and no other is."""
  case = cases.pairs(1)
  q, pi = case[0], cases.target(name, case, *cases.values(name))
  rejected = np.maximum(q - pi, 0)
  redrawn = np.asarray(draws.residual(pi, q))
  # Rounding leaves no more than V eps / 2 to reject where pi = q.
  assert (rejected * redrawn <= cases.V * np.finfo(float).eps / 2).all()


def test_independent_draws_part_more_often():
  q, p, *_ = cases.pairs(0)
  apart = 1 - (q * p).sum(-1)
  least = probabilities.total_variation(p, q)
  # Sums of V products, and of V differences.
  assert (apart >= least - 2 * cases.V * np.finfo(float).eps).all()
  assert (apart - least)[-2].mean() > 0.1  # At temperature 1.
