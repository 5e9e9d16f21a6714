"""Lengths beside the verifier's, and speed-ups with them counted."""

import pytest

from speccascade.reports.sections import lengths
from tests.reports import synthetic


def _record(method, alpha, gamma, latency, tokens, timed, **changes):
  return synthetic.record(
    method,
    alpha,
    gamma,
    latency,
    [1] * len(tokens),
    example_tokens=tokens,
    output_length=sum(tokens) / len(tokens),
    timed_tokens=timed,
    max_new_tokens=40,
    **changes,
  )


@pytest.fixture
def records():
  timed = [10, 20, 30, 40]
  return [
    _record('verifier_alone', None, None, 1.0, timed, timed),
    _record('strict', None, 3, 0.8, timed, timed),
    _record('strict', None, 5, 0.5, timed, timed),
    # Twice as long, half the time: four times the tokens a second.
    _record('long', 0.1, 5, 0.5, [20, 40, 40, 40], [20, 40, 60, 80]),
    # Half as long and half the time: as many tokens a second.
    _record('short', 0.1, 5, 0.5, [5, 10, 15, 20], [5, 10, 15, 20]),
  ]


def _speeds(row):
  """What comes before the intervals."""
  return [cell.split(' ')[0] for cell in row[5:9]]


def test_no_credit_for_length(records):
  rows = {row[0]: row[1:] for row in lengths.table(records).rows}
  assert _speeds(rows['verifier_alone']) == ['1.00×', '1.00×', '1.00×', '0.50×']
  assert rows['strict'][1:3] == ['5', '25.0']
  assert _speeds(rows['strict']) == ['2.00×', '2.00×', '2.00×', '1.00×']
  assert _speeds(rows['long']) == ['2.00×', '4.00×', '2.00×', '1.00×']
  assert _speeds(rows['short']) == ['2.00×', '1.00×', '1.00×', '0.50×']
  assert [rows[name][4] for name in ('verifier_alone', 'long', 'short')] == (
    ['25.0%', '75.0%', '0.0%']
  )


def test_intervals_are_paired(records):
  """Methods have the same error, which their ratio does not."""
  for record in records[1:]:
    scale = record['example_seconds'][0]
    record['example_seconds'] = [scale * x for x in (0.1, 0.3, 1.0, 2.6)]
  rows = {row[0]: row[1:] for row in lengths.table(records).rows}
  low, high = rows['long'][5].split('[')[1].rstrip(']').split(', ')
  assert float(low) < 1.3
  assert float(high) > 4
  assert rows['long'][8] == '1.00× [1.00, 1.00]'


def test_a_lone_timed_prompt_has_no_interval(records):
  lone = [record | {'latency_examples': 1} for record in records]
  for row in lengths.table(lone).rows:
    assert all('[' not in cell for cell in row[6:])
    assert '[' in row[4]  # Of the tokens, which all examples have.
  assert all('[' in cell for cell in lengths.table(records).rows[1][6:9])


def test_beside_the_control_at_the_same_quality(records):
  """The fastest control is too poor; strict is one, too."""
  timed = [10, 20, 30, 40]
  records += [
    _record('top_p', 0.9, 5, 0.4, timed, timed),
    _record('top_p', 0.5, 5, 0.2, timed, timed)
    | {'example_statistics': [[0, 1]] * 4, 'quality': 0.0},
    # As poor as that control.
    _record('poor', 0.1, 5, 0.1, timed, timed)
    | {'example_statistics': [[0, 1]] * 4, 'quality': 0.0},
  ]
  rows = {row[0]: row[1:] for row in lengths.table(records).rows}
  over = {name: row[9].split(' ')[0] for name, row in rows.items()}
  assert over['long'] == '0.80×'
  assert over['strict'] == '0.80×'
  assert over['top_p'] == '1.00×'
  assert over['poor'] == '2.00×'


def test_the_ratio_is_paired(records):
  verifier, *_, long, short = records
  assert lengths.ratio(short, verifier) == (0.5, 0.5, 0.5)  # In each resample.
  middle, low, high = lengths.ratio(long, verifier)
  assert middle == 1.4
  assert 1.0 <= low < 1.3 < 1.5 < high <= 2.0


def test_what_old_records_do_not_tell(records):
  for record in records:
    record |= {'timed_tokens': None, 'max_new_tokens': None}
  rows = {row[0]: row[1:] for row in lengths.table(records).rows}
  assert rows['long'][4] == '–'
  assert _speeds(rows['long']) == ['2.00×', '–', '2.00×', '1.00×']


def test_without_the_verifier_there_is_nothing_beside_it(records):
  assert lengths.section(records[1:]) is None
  warm = [r | {'temperature': 1.0} for r in records]
  section = lengths.section([*records, *warm[1:]])
  assert section.heading == 'Lengths: task word_problems, pair word_problems'
  assert section.body[0] == 'Temperature 0:'
  assert len(section.body) == 3
