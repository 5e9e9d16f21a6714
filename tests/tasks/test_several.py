"""pass@k against all subsets, and votes."""

import itertools

import pytest

from speccascade.tasks import several


@pytest.mark.parametrize(('number', 'right'), [(1, 1), (5, 0), (6, 2), (7, 7)])
def test_pass_at_k_is_the_share_of_subsets_with_a_right_answer(number, right):
  answers = [True] * right + [False] * (number - right)
  for k in range(1, number + 1):
    subsets = list(itertools.combinations(answers, k))
    want = sum(map(any, subsets)) / len(subsets)
    assert several.pass_at(k, number, right) == pytest.approx(want, abs=1e-12)


@pytest.mark.parametrize('k', [0, 4])
def test_a_k_that_cannot_be_is_refused(k):
  with pytest.raises(ValueError, match=f'k={k} must be in 1..3'):
    several.pass_at(k, 3, 1)


@pytest.mark.parametrize(
  ('answers', 'at'),
  [
    (['7'], 0),
    (['3', '7', '7'], 1),
    (['3', '7', '7', '3'], 0),  # As many: the first.
    (['', '', '9'], 2),  # None was found in most.
    (['', ''], 0),
  ],
)
def test_the_majority(answers, at):
  assert several.majority(answers) == at
