"""Acceptance, classes and verifier calls, by hand and against the replay."""

import itertools
import json

import numpy as np
import pytest

from speccascade.decoding import replay
from speccascade.studies.tokens import measure, summary
from speccascade.sweeps import points
from speccascade.tasks import bootstrap


def _answers(kept, method='strict', divergence=None, classes=None, **changes):
  """Answers of strings such as 'ddv': d an accepted draft, v a rejection."""
  kept_T = np.array([c == 'd' for c in ''.join(kept)])
  T = len(kept_T)
  rng = np.random.default_rng(0)
  values = (0.5,) if method == 'token_v3' else ()
  return measure.Answers(
    setting=points.Setting(
      method, values, changes.get('temperature', 1.0), 1.0, 0, 0
    ),
    quality=changes.get('quality', 0.9),
    length_E=np.array([len(row) for row in kept]),
    kept_T=kept_T,
    class_T=np.array(
      rng.choice(measure.CLASSES[:5], T) if classes is None else classes
    ),
    divergence_T=rng.uniform(size=T) if divergence is None else divergence,
    gap_T=rng.uniform(size=T),
    entropy_T=rng.uniform(size=T),
    confidence_T=rng.uniform(size=T),
  )


def _random(seed, rate=0.3, rows=5, **changes):
  rng = np.random.default_rng(seed)
  return _answers(
    [
      ''.join(rng.choice(['v', 'd'], rng.integers(1, 40), p=[rate, 1 - rate]))
      for _ in range(rows)
    ],
    **changes,
  )


def _table(rows, table, **where):
  return [
    r
    for r in rows
    if r['table'] == table and all(r[k] == v for k, v in where.items())
  ]


# --- Blocks.


def test_accepted_before_by_hand():
  answers = _answers(['ddvdd', 'd', 'vvd'])
  got = summary.accepted_before(answers).tolist()
  assert got == [0, 1, 2, 0, 1] + [0] + [0, 0, 0]


@pytest.mark.parametrize('gamma', [0, 1, 2, 5, 50])
def test_calls_are_the_replay_s(gamma):
  answers = _random(0)
  got = summary.calls(answers, gamma)
  for e, calls in enumerate(got):
    kept_N = answers.kept_T[answers.example_T == e]
    assert calls == replay.accepted_lengths(kept_N, gamma).sum()


def test_acceptance_by_position_by_hand():
  # Blocks of gamma = 1: dd v | dd v d | d v; by place: d d, v, d d, v, d, d v.
  rows = summary.rows([_answers(['ddv', 'ddvd', 'dv'])], gamma=1, gammas=[1])
  first, second = _table(rows, 'draft')
  assert (first['position'], second['position']) == (1, 2)
  assert (first['reached'], first['accepted']) == (6, pytest.approx(4 / 6))
  assert (second['reached'], second['accepted']) == (3, pytest.approx(2 / 3))
  assert first['independent'] == second['independent'] == pytest.approx(6 / 9)
  (calls,) = _table(rows, 'calls', method='strict')
  assert calls['block_efficiency'] == pytest.approx(9 / 6)


def test_positions_never_reached_have_no_row():
  rows = summary.rows([_answers(['dv', 'v', 'd'])], 6, [1])
  assert [r['reached'] for r in _table(rows, 'draft')] == [3, 1]


# --- The independence prediction.


def test_independent_calls_enumerated():
  a, N, length_E = 0.8, 6, np.array([6, 1, 4])
  for gamma in (0, 1, 2, 7):
    expected_E = np.zeros(len(length_E))
    for mask in itertools.product([True, False], repeat=N):
      probability = np.prod([a if kept else 1 - a for kept in mask])
      expected_E += probability * np.array(
        [replay.accepted_lengths(mask[:n], gamma).sum() for n in length_E]
      )
    got_E = summary.independent_calls(a, gamma, length_E)
    np.testing.assert_allclose(got_E, expected_E)


def test_independent_calls_at_the_ends():
  length_E = np.array([1, 4, 9])
  calls = summary.independent_calls
  np.testing.assert_allclose(calls(1.0, 3, length_E), [1, 1, 3])
  np.testing.assert_allclose(calls(0.0, 3, length_E), length_E)
  long_E = np.array([20_000])
  leviathan = (1 - 0.9**6) / (1 - 0.9)
  np.testing.assert_allclose(
    long_E / calls(0.9, 5, long_E), leviathan, rtol=1e-3
  )


# --- Rates and their errors.


def test_errors_are_over_resampled_examples():
  """Of every number, from the same resamples."""
  strict = _random(2, rate=0.4, rows=9)
  method = _random(3, rate=0.1, rows=9, method='token_v3')
  rows = summary.rows([strict, method], 3, [2])
  rejected_E = np.bincount(method.example_T, ~method.kept_T)
  divergence_E = np.bincount(method.example_T, method.divergence_T)
  (overall,) = _table(rows, 'overall', method='token_v3')
  of = lambda row, name: (row[name], row[f'{name}_stderr'])  # noqa: E731
  assert of(overall, 'rejected') == bootstrap.ratio(rejected_E, method.length_E)
  assert of(overall, 'divergence') == bootstrap.ratio(
    divergence_E, method.length_E
  )
  (calls,) = _table(rows, 'calls', method='token_v3')
  own_E, strict_E = summary.calls(method, 2), summary.calls(strict, 2)
  assert of(calls, 'over_strict') == bootstrap.ratio(strict_E, own_E)
  assert of(calls, 'block_efficiency') == bootstrap.ratio(
    method.length_E, own_E
  )
  best = overall['bound_gamma']
  assert of(overall, 'bound') == bootstrap.ratio(
    summary.calls(strict, best), summary.calls(method, best)
  )


def test_classes_and_tenths_partition_the_tokens():
  answers = _random(1)
  rows = summary.rows([answers], 3, [1])
  (overall,) = _table(rows, 'overall')
  for table in ('class', 'answer'):
    found = _table(rows, table)
    tokens = np.array([r['tokens'] for r in found])
    assert tokens.sum() == answers.length_E.sum()
    for name in ('rejected', 'divergence'):
      mean = tokens @ [r[name] for r in found] / tokens.sum()
      assert mean == pytest.approx(overall[name])
  found = _table(rows, 'class')
  assert len(found) == 5
  assert sum(r['share'] for r in found) == pytest.approx(1)
  assert sum(r['share_of_rejections'] for r in found) == pytest.approx(1)


def test_a_class_by_hand():
  rows = summary.rows(
    [
      _answers(
        ['dvd', 'vd', 'd'],
        divergence=np.array([0.1, 0.6, 0.2, 0.4, 0.0, 0.0]),
        classes=['digit', 'digit', 'end', 'digit', 'end', 'end'],
      )
    ],
    3,
    [1],
  )
  digit, end = _table(rows, 'class')
  assert (digit['class'], digit['tokens'], digit['share']) == ('digit', 3, 0.5)
  assert digit['divergence'] == pytest.approx(1.1 / 3)
  assert digit['rejected'] == pytest.approx(2 / 3)
  _, error = bootstrap.ratio([1, 1, 0], [2, 1, 0])  # Of the digits.
  assert digit['rejected_stderr'] == error > 0.1
  assert digit['share_of_rejections'] == 1
  assert (end['rejected'], end['share_of_rejections']) == (0, 0)


def test_tenths_by_hand():
  rows = summary.rows([_answers(['v' + 'd' * 19, 'dv'])], 3, [1])
  tenths = _table(rows, 'answer')
  assert [r['decile'] for r in tenths] == list(range(1, 11))
  assert [r['tokens'] for r in tenths] == [3, 2, 2, 2, 2, 3, 2, 2, 2, 2]
  rates = {r['decile']: r['rejected'] for r in tenths if r['rejected']}
  assert rates == {1: pytest.approx(1 / 3), 6: pytest.approx(1 / 3)}


# --- Over strict.


def test_over_strict_by_hand():
  strict = _answers(['vvvv', 'dddd', 'ddv'])
  own = _answers(['dddd', 'dddd', 'ddv'], method='token_v3')
  rows = summary.rows([strict, own], 3, [0, 1, 3])
  got = {
    r['gamma']: r['over_strict']
    for r in _table(rows, 'calls', method='token_v3')
  }
  assert got == {0: 1, 1: 8 / 6, 3: 2}  # (4 + 2 + 2) / 6, (4 + 1 + 1) / 3
  (overall,) = _table(rows, 'overall', method='token_v3')
  assert (overall['bound'], overall['bound_gamma']) == (2, 3)
  assert overall['longest_gamma'] == 3
  nothing = _table(rows, 'calls', method=summary.NOTHING_REJECTED)
  assert [r['over_strict'] for r in nothing] == [1, 8 / 6, 2]
  assert [r['block_efficiency'] for r in nothing] == [1, 11 / 6, 11 / 3]


def test_the_bound_is_over_the_named_gammas_or_all():
  strict = _answers(['d' * 8 + 'v' + 'd' * 9] * 3)
  own = _answers(['d' * 18] * 3, method='token_v3')
  rows = summary.rows([strict, own], 3, [2, 4])
  (overall,) = _table(rows, 'overall', method='token_v3')
  # Calls at gamma = 0, 1, ...: 18, 10, 6, 6, 4, ... over 18, 9, 6, 5, 4, ...
  assert (overall['bound'], overall['bound_gamma']) == (1.2, 3)
  assert (overall['bound_any'], overall['bound_any_gamma']) == (2, 17)
  (same,) = _table(rows, 'overall', method='strict')
  assert (same['bound'], same['bound_any'], same['bound_any_gamma']) == (
    1,
    1,
    0,
  )


def test_the_prediction_is_of_the_mean_divergence_alone():
  strict = _answers(['d' * 9] * 3, divergence=np.full(27, 0.2))
  own = _answers(['d' * 9] * 3, divergence=np.full(27, 0.1), method='token_v3')
  rows = summary.rows([strict, own], 3, [1])
  (got,) = _table(rows, 'calls', method='token_v3')
  calls = [
    summary.independent_calls(a, 1, np.array([9])).item() for a in (0.8, 0.9)
  ]
  assert got['over_strict'] == 1
  assert got['over_strict_predicted'] == pytest.approx(calls[0] / calls[1])


def test_temperatures_are_held_against_their_own_strict():
  answers = [
    _answers(['vvvv', 'd', 'd'], temperature=0),
    _answers(['vdvd', 'd', 'd'], temperature=1),
    _answers(['dddd', 'd', 'd'], method='token_v3', temperature=0),
    _answers(['dddd', 'd', 'd'], method='token_v3', temperature=1),
  ]
  rows = summary.rows(answers, 3, [3])
  got = {
    r['temperature']: r['over_strict']
    for r in _table(rows, 'calls', method='token_v3')
  }
  assert got == {0: 6 / 3, 1: 5 / 3}
  with pytest.raises(
    ValueError, match='temperature 1 has no answers of strict'
  ):
    summary.rows([answers[0], answers[3]], 3, [3])


# --- JSON.


@pytest.mark.parametrize('rows', [1, 3])
def test_rows_are_json_whatever_is_missing(rows):
  answers = [_answers(['ddd'] * rows), _answers(['d'] * rows, method='drafter')]
  found = summary.rows(answers, 3, [1])
  assert json.loads(json.dumps(found, allow_nan=False)) == found
  assert _table(found, 'class')[0]['share_of_rejections'] is None
  overall = _table(found, 'overall')[0]
  assert (overall['rejected_stderr'] is None) == (rows == 1)
  tenths = _table(found, 'answer', method='drafter')
  assert [r['decile'] for r in tenths] == [1]
