"""pass@k against all subsets, and votes."""

import itertools

import pytest

from speccascade import tasks
from speccascade.tasks import aime, gpqa, gsm8k, several


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
  ('answers', 'nothing', 'at'),
  [
    (['7'], None, 0),
    (['3', '7', '7'], None, 1),
    (['3', '7', '7', '3'], None, 0),  # As many: the first.
    (['', '', '9'], '', 2),  # None was found in most.
    (['', '', '9'], None, 0),  # As of a question that has no answer.
    (['', ''], '', 0),
  ],
)
def test_the_majority(answers, nothing, at):
  assert several.majority(answers, nothing) == at


@pytest.mark.parametrize('name', ['word_problems', 'gsm8k', 'aime', 'gpqa'])
def test_outputs_without_an_answer_have_no_say(name):
  if name == 'word_problems':
    task = tasks.load(name, {})
    extract, nothing = task.extract, task.nothing
  else:
    spec = {'gsm8k': gsm8k, 'aime': aime, 'gpqa': gpqa}[name].SPEC
    extract, nothing = spec.extract, spec.nothing
  right = {'aime': r'So \boxed{42}.', 'gpqa': 'The answer is (B).'}
  texts = ['Well ...', 'I do not know', right.get(name, 'It is so. #### 42')]
  assert several.majority([extract(x) for x in texts], nothing) == 2
