import pytest

from speccascade.reports.sections import table2
from tests.reports import synthetic

SCORES = [1, 1, 0, 1, 1, 1, 0, 1]


def _cell(pair, **changes):
  make = lambda *args, **kwargs: (  # noqa: E731
    synthetic.record(*args, scores=SCORES, **kwargs)
    | {'pair': pair, 'task': pair}
    | changes
  )
  return [
    make('verifier_alone'),
    make('strict', None, 5, latency=0.5),
    make('token_v3', 0.5, 5, latency=0.4),
    make('token_v3', 0.5, 8, latency=0.25),
  ]


def test_a_row_a_method_and_two_columns_a_cell():
  one, other = _cell('word_problems'), _cell('summaries')
  other = [r for r in other if r['method'] != 'token_v3']
  (table,) = table2.summary(one + other).values()
  assert table.columns == [
    'method',
    'word_problems: latency',
    'word_problems: exact_match',
    'summaries: latency',
    'summaries: exact_match',
  ]
  rows = {row[0]: row[1:] for row in table.rows}
  assert list(rows) == ['verifier_alone', 'strict', 'token_v3']
  assert rows['verifier_alone'][0] == '1.00× [1.00, 1.00]'
  assert rows['strict'][0] == rows['strict'][2] == '2.00× [2.00, 2.00]'
  assert rows['token_v3'][0] == '4.00× [4.00, 4.00]'
  assert rows['token_v3'][1].startswith('0.750 [0.')
  assert rows['token_v3'][2:] == ['–', '–']


def test_a_lone_timed_prompt_has_no_interval():
  table = lambda timed: list(  # noqa: E731
    table2.summary(_cell('word_problems', latency_examples=timed)).values()
  )[0]
  speeds = lambda table: [row[1] for row in table.rows]  # noqa: E731
  assert speeds(table(1)) == ['1.00×', '2.00×', '4.00×']
  assert all('[' in speed for speed in speeds(table(4)))
  assert all('[' in row[2] for row in table(1).rows)


def test_bleu_has_one_decimal():
  records = _cell(
    'translation',
    metric='bleu',
    quality=43.21,
    example_statistics=[[9, 9, 8, 6, 4, 2, 9, 8, 7, 6]] * len(SCORES),
  )
  (table,) = table2.summary(records).values()
  assert table.rows[1][2].startswith('43.2 [')


@pytest.mark.bounds
def test_what_is_not_shown_says_how_many_examples_would():
  records = _cell('word_problems')
  same = synthetic.record('chow', 0.1, 5, latency=0.5, scores=SCORES)
  never = synthetic.record('diff', 0.1, 5, latency=0.5, scores=[0] * 8)
  (table,) = table2.summary([*records, same, never]).values()
  rows = {row[0]: row[1:] for row in table.rows}
  assert rows['chow'][0].startswith('undecided: n ≈ ')
  assert rows['diff'][0] == 'loses more'


def test_samplings_apart_and_the_unfinished_left_out():
  records = _cell('word_problems') + _cell('word_problems', temperature=1.0)[1:]
  (sampling,) = table2.summary(records)
  assert sampling.temperature == 0


def test_the_largest_error_is_printed():
  records = _cell('word_problems')
  records[2] |= {'relative_latency': [0.36, 0.4, 0.44]}
  assert table2.largest_error(records) == pytest.approx(0.04 / 3**0.5 / 0.4)
  (table,) = table2.summary(records).values()
  assert table.caption.endswith('in those of the points: 5.8%.')
  # A point that no table shows does not count.
  (table,) = table2.summary(
    [
      *records,
      synthetic.record('token_v3', 0.9, 5, scores=[0] * 8)
      | {'relative_latency': [0.3, 0.6, 0.9]},
    ]
  ).values()
  assert table.caption.endswith('in those of the points: 5.8%.')


def test_the_caption_tells_what_intervals_are():
  (table,) = table2.summary(_cell('word_problems')).values()
  caption = table.caption
  for part in (
    'at most 2% of it, all bounds holding together with 95% confidence',
    'for a latency over timed examples and trials',
    'percentiles are over the resamples in which a point qualifies',
    'Choosing the fastest of many points biases it upwards a little; the '
    'interval includes the choice',
  ):
    assert part in caption
