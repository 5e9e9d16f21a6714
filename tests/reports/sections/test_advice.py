"""Tests of the section on what to choose."""

import numpy as np
import pytest

from speccascade.reports.sections import advice
from speccascade.reports.stats import promise
from tests.reports import synthetic

_record = synthetic.record
_NAMES = ['word_problems', 'word_problems', 'temperature 0']


def _scores(even, odd, count=20):
  """Scores of 2 * count examples: so many right of the even and odd ones."""
  halves = [[1] * right + [0] * (count - right) for right in (even, odd)]
  return [score for both in zip(*halves, strict=True) for score in both]


def _point(rule, alpha, latency, even, odd, gamma=5, **changes):
  return _record(rule, alpha, gamma, latency, _scores(even, odd), **changes)


def _certain(row):
  """The cells of a row up to the speed-up, without how sure that is."""
  *cells, speedup = row[:12]
  return [*cells, speedup.split(' ± ')[0]]


@pytest.fixture
def records():
  """The halves disagree on what keeps quality."""
  return [
    _record('verifier_alone', scores=_scores(20, 16)),
    _record('drafter_alone', latency=0.05, scores=_scores(10, 10)),
    _point('strict', None, 0.625, 20, 16),
    _point('opt', 0.1, 0.5, 20, 15),  # on the even half as good, then not
    _point('opt', 0.2, 0.4, 18, 20),  # better on the odd half alone
    _point('opt', 0.3, 0.25, 19, 16, gamma=7),  # 5% worse on the even half
  ]


def test_the_best_point_for_each_loss(records):
  table = advice.best(records)
  assert table.columns == [
    *['pair', 'task', 'sampling', 'allowed loss', 'method', 'parameters', 'γ'],
    *['quality', "verifier's", 'loss', 'held', 'speed-up'],
    'faster with',
  ]
  opt = ['opt', 'α 0.1', '5', '0.750', '0.800', '6.2%', 'no', '2.00×']
  assert list(map(_certain, table.rows)) == [
    [*_NAMES, '0%', *opt],
    [*_NAMES, '1%', *opt],
    [*_NAMES, '2%', *opt],
    [*_NAMES, '5%', 'opt', 'α 0.3', '7', '0.800', '0.800', '0.0%']
    + ['yes', '4.00×'],
  ]


def test_each_method_at_one_percent(records):
  drafter, *rows = advice.by_method(records).rows
  assert drafter == (
    [*_NAMES, '1%', 'drafter_alone', '–', '–', 'loses more', *'––––']
  )
  assert list(map(_certain, rows)) == [
    [*_NAMES, '1%', 'strict', '–', '5', '0.800', '0.800', '0.0%']
    + ['yes', '1.60×'],
    [*_NAMES, '1%', 'opt', 'α 0.1', '5', '0.750', '0.800', '6.2%']
    + ['no', '2.00×'],
  ]


def _swap(record):
  """The record with each even example in the place of the odd one after it."""
  changed = dict(record)
  for field in ('example_statistics', 'example_seconds'):
    values = record[field]
    changed[field] = [values[i ^ 1] for i in range(len(values))]
  return changed


def test_the_choice_ignores_the_other_half(records):
  chosen = [row[4:7] for row in advice.best(records).rows]
  # The odd half may say what it will.
  for odd in (0, 20):
    for record in records[1:]:
      even = [score for score, _ in record['example_statistics'][::2]]
      record['example_statistics'] = [
        [score, 1]
        for both in zip(even, [odd > 0] * 20, strict=True)
        for score in both
      ]
      record['example_seconds'][1::2] = [7.0 + odd] * 20
    assert [row[4:7] for row in advice.best(records).rows] == chosen


def test_it_is_the_even_half_that_chooses(records):
  rows = advice.best(list(map(_swap, records))).rows
  assert _certain(rows[0])[4:] == (
    ['opt', 'α 0.3', '7', '0.950', '1.000', '5.0%', 'no', '4.00×']
  )


def test_the_loss_is_relative_and_its_bound_counts():
  verifier = _record('verifier_alone', scores=_scores(200, 200, 250))
  # 196 and 190 of 200 are 2% and 5% less; 0.8 of all is the verifier's.
  good = _record('opt', 0.1, 5, 0.5, _scores(196, 196, 250))
  fast = _record('opt', 0.2, 5, 0.25, _scores(190, 189, 250))
  rows = advice.best([good, fast, verifier]).rows
  assert [row[4:6] for row in rows] == [
    ['verifier_alone', '–'],
    ['verifier_alone', '–'],
    ['opt', 'α 0.1'],
    ['opt', 'α 0.2'],
  ]
  assert [_certain(row)[9:11] for row in rows[2:]] == [
    ['2.0%', 'yes'],
    ['5.5%', 'no'],
  ]


def test_all_parameters_are_named():
  records = [_record('verifier_alone', scores=_scores(20, 16))]
  records += [_point('two', {'alpha': 0.1, 'beta': 2}, 0.5, 20, 16)]
  for table in (advice.best(records), advice.by_method(records)):
    assert [row[4:6] for row in table.rows][-1] == ['two', 'α 0.1, β 2']


def test_ties():
  verifier = _record('verifier_alone', scores=_scores(10, 10))
  ties = [
    _point('a', 0.1, 0.5, 10, 10),
    _point('b', 0.2, 0.5, 12, 10),
    _point('c', 0.3, 0.5, 12, 12),
  ]
  (row, *_) = advice.best([verifier, *ties]).rows
  assert row[4] == 'b'  # the better, the earlier


@pytest.mark.parametrize(
  ('timed', 'choice', 'speedup'),
  [
    # Both halves timed: each by its own four.
    ([0.25, 1.0] * 4, 'uneven', '1.00×'),
    # Four even, three odd: chosen by the even ones, told of all seven.
    ([0.25, 1.0] * 3 + [0.25], 'uneven', '1.75×'),
    # Too few: 6 s over 6 * 0.625, slower than the other.
    ([0.25, 1.0] * 3, 'even', '1.67×'),
  ],
)
def test_latency_is_of_the_half_where_it_was_timed(timed, choice, speedup):
  scores, count = _scores(20, 20), len(timed)
  records = [
    _record('verifier_alone', scores=scores, latency=[1.0] * count),
    _record('uneven', 0.1, 5, timed, scores),
    _record('even', 0.1, 5, [0.6] * count, scores),
  ]
  (row, *_) = advice.best(records).rows
  assert (row[4], _certain(row)[11]) == (choice, speedup)


def test_quality_is_of_the_corpus():
  """BLEU of summed counts, not a mean over sentences."""

  def bleu(rule, gamma, latency, even):
    # Lengths, then matches and n-grams for n = 1 to 4; the odd are all right.
    right = [20, 20, 20, 19, 18, 17, 20, 19, 18, 17]
    rows = [row for e in even for row in (e, right)]
    return _record(
      rule,
      None,
      gamma,
      latency,
      [1] * 4,
      example_statistics=rows,
      metric='bleu',
    )

  # 10 of 20, 9 of 18, 8 of 16 and 7 of 14 match: BLEU 50. No sentence has 50.
  half = [
    [10, 10, 10, 9, 8, 7, 10, 9, 8, 7],
    [10, 10, 0, 0, 0, 0, 10, 9, 8, 7],
  ]
  full = [half[0], half[0]]
  # Matches of 19, 17, 15 and 13 of 20, 18, 16 and 14: about 94.
  almost = [half[0], [10, 10, 9, 8, 7, 6, 10, 9, 8, 7]]
  records = [bleu('verifier_alone', None, 1.0, full)]
  records += [bleu('almost', 5, 0.5, almost), bleu('half', 5, 0.25, half)]
  point = advice.split(records[2], records[0])
  assert point.even.quality == pytest.approx(50)
  assert point.odd.quality == pytest.approx(100)
  assert advice.split(records[1], records[0]).even.quality == pytest.approx(
    100 * (19 / 20 * 17 / 18 * 15 / 16 * 13 / 14) ** 0.25
  )
  points = [advice.split(r, records[0]) for r in records]
  own = promise.group(records, records[0])
  bounds = promise.bounds(own, np.arange(0, 4, 2), 2)
  for allowed, method in (
    (0.05, 'verifier_alone'),
    (0.07, 'almost'),
    (0.5, 'half'),
  ):
    choice = advice.choose(points, own, bounds, allowed)
    assert choice.record['method'] == method


@pytest.mark.bounds
def test_few_examples_promise_nothing_but_what_is_lossless():
  """As good as the verifier on all 40 examples, and twice as fast."""
  records = [
    _record('verifier_alone', scores=_scores(20, 16)),
    _point('strict', None, 0.625, 20, 16),
    _point('opt', 0.1, 0.5, 20, 16),
    _point('opt', 0.2, 0.4, 15, 16),
  ]
  rows = advice.best(records).rows
  assert [row[4] for row in rows] == ['strict'] * 4
  # Without any loss seen, some number would do; with 25 % lost none.
  assert rows[0][12] == '–'
  assert rows[3][12].startswith('opt, α 0.1, γ 5: ')
  number = int(rows[3][12].split()[-1].replace(',', ''))
  assert 60 < number < 150  # 3 to 7 over 5 %: see `promise.bounds`.
  opt = advice.by_method(records).rows[-1]
  assert opt[4:8] == ['opt', '–', '–', 'undecided: ' + _of(opt[7])]
  assert opt[8:] == [*'––––']


def _of(text):
  """What a point needs, of a cell that says it is undecided."""
  return text.removeprefix('undecided: ')


@pytest.mark.bounds
def test_many_examples_promise_a_faster_point():
  many = 4000
  records = [
    _record('verifier_alone', scores=_scores(3000, 3000, many), latency=[1.0]),
    _record('strict', None, 5, [0.625], _scores(3000, 3000, many)),
    _record('opt', 0.1, 5, [0.5], _scores(2998, 2990, many)),
    _record('opt', 0.2, 5, [0.4], _scores(2700, 3000, many)),
  ]
  for record in records:
    record['latency_examples'] = 1
  rows = advice.best(records).rows
  assert [row[4:6] for row in rows] == [
    ['strict', '–'],
    ['opt', 'α 0.1'],
    ['opt', 'α 0.1'],
    ['opt', 'α 0.1'],
  ]
  assert [row[9:11] for row in rows[1:]] == [['0.3%', 'yes']] * 3


@pytest.mark.parametrize(
  ('timed', 'seconds', 'error'),
  [
    ([0.5] * 40, [20.0] * 4, 0),
    ([0.5, 0.25, 0.5, 0.75] * 10, [20.0] * 4, 0.25 / 0.5 / 20**0.5),
    ([0.5, 0.5, 0.25, 0.5] * 10, [20.0] * 4, 0),  # Varied in the even half.
    ([0.5] * 40, [16.0, 24.0, 16.0, 24.0], 4 / 20 / 3**0.5),
  ],
)
def test_how_far_the_speed_up_may_be_off(timed, seconds, error):
  scores = _scores(20, 20)
  records = [
    _record('verifier_alone', scores=scores),
    _record('opt', 0.1, 5, timed, scores, seconds=seconds),
  ]
  (row, *_) = advice.best(records).rows
  speedup, own = row[11].split(' ± ')
  assert speedup == '2.00×'
  assert float(own.rstrip('%')) == pytest.approx(100 * error, rel=0.2)


def test_of_a_lone_timed_prompt_nobody_knows():
  scores = _scores(20, 20)
  records = [
    _record('verifier_alone', latency=[1.0], scores=scores),
    _record('opt', 0.1, 5, [0.5], scores),
  ]
  (row, *_) = advice.best(records).rows
  assert row[11] == '2.00×'


def test_bleu_has_one_decimal():
  right = [20, 20, 20, 19, 18, 17, 20, 19, 18, 17]
  records = [
    _record(
      rule,
      None,
      gamma,
      scores=[1] * 4,
      example_statistics=[right] * 4,
      metric='bleu',
    )
    for rule, gamma in (('verifier_alone', None), ('strict', 5))
  ]
  assert advice.best(records).rows[0][7:9] == ['100.0', '100.0']


def test_each_cell_and_sampling_has_its_own(records):
  warm = [r | {'temperature': 1.0} for r in records]
  other = [r | {'task': 'translation'} for r in records[:3]]
  rows = advice.best([*records, *warm, *other]).rows
  assert [row[1:3] for row in rows[::4]] == [
    ['word_problems', 'temperature 0'],
    ['word_problems', 'temperature 1'],
    ['translation', 'temperature 0'],
  ]
  assert [row[4] for row in rows[::4]] == ['opt', 'opt', 'strict']


@pytest.mark.parametrize(
  ('odd', 'cells'),
  [(0, ['0.000', '0.000', '0.0%']), (1, ['0.050', '0.000', '-inf%'])],
)
def test_a_verifier_that_is_never_right(odd, cells):
  records = [
    _record('verifier_alone', scores=_scores(0, 0)),
    _point('opt', 0.1, 0.25, 0, odd),
  ]
  (row, *_) = advice.best(records).rows
  assert row[5:12] == ['α 0.1', '5', *cells, 'yes', '4.00× ± 0.0%']


def test_no_loss_has_no_sign():
  verifier = _record('verifier_alone', example_statistics=[[5000, 10000]] * 2)
  gain = _record('opt', 0.1, 5, 0.5, example_statistics=[[5001, 10000]] * 2)
  assert advice.best([verifier, gain]).rows[0][9:11] == ['0.0%', 'yes']


def test_nothing_to_choose_by():
  lone = [
    _record('verifier_alone', scores=[1]),
    _record('opt', 0.1, 5, 0.5, [1]),
  ]
  for records in ([], lone, [_point('opt', 0.1, 0.5, 20, 20)]):
    assert advice.best(records).rows == []
    assert advice.by_method(records).rows == []


@pytest.mark.parametrize('field', ['num_examples', 'latency_examples'])
def test_other_examples_than_the_verifier_are_refused(records, field):
  records[3][field] = 30
  with pytest.raises(ValueError, match=f'opt.* {field} 30 but .* has 40'):
    advice.best(records)
