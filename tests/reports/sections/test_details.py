"""Tests of the section of a pair and task."""

import pytest

from speccascade.reports.render import tables
from speccascade.reports.sections import details
from speccascade.reports.stats import choice


def _cells(table):
  """Returns the cells of each row, by its first."""
  return {row[0]: list(row[1:]) for row in table.rows}


def _markdown(records):
  blocks = details.tabulated(records)
  return '\n\n'.join(
    tables.markdown(x) if isinstance(x, tables.Table) else x for x in blocks
  )


def test_both_numbers_exactly(make_record):
  records = [
    make_record('verifier_alone', quality=0.9),
    make_record('drafter_alone', quality=0.4, latency=0.0625),
    # Slower with gamma 1; at gamma 5 one alpha is as good as the verifier, a
    # faster one is not, and a slower one is better.
    make_record('opt', 0.0, 1, quality=0.9, latency=0.8),
    make_record('opt', 0.1, 5, quality=0.95, latency=0.625),
    make_record(
      'opt',
      0.25,
      5,
      quality=0.9,
      latency=[0.36, 0.4, 0.44],
      block_efficiency=3.456,
      rejection_rate=0.0625,
      output_length=70.04,
    ),
    make_record('opt', 0.5, 5, quality=0.89, latency=0.25),
    # The best point of all is slower than the verifier.
    make_record('chow', 0.1, 3, quality=1.0, latency=1.25),
    make_record('chow', 0.9, 3, quality=0.8, latency=0.5),
  ]
  cells = _cells(details.table(records))
  assert list(cells) == ['verifier_alone', 'drafter_alone', 'opt', 'chow']
  assert cells['verifier_alone'] == (
    ['1.00× ± 0.0%', '–', '–', '–', '0.600', '4.00', '0.125', '61.2']
    + ['0.900 ± 0.020', '–', '–', '1.00×']
  )
  assert cells['drafter_alone'] == (
    ['loses more', *'–––––––', '0.400 ± 0.020', '–', '–'] + ['16.00×']
  )
  assert cells['opt'] == (
    ['2.50× ± 5.8%', '–', 'α 0.25', '5', '0.600', '3.46', '0.062', '70.0']
    + ['0.950 ± 0.020', 'α 0.1', '5', '1.60×']
  )
  assert cells['chow'] == (
    ['0.80× ± 0.0%', '–', 'α 0.1', '3', '0.600', '4.00', '0.125', '61.2']
    + ['0.800 ± 0.020', 'α 0.9', '3', '2.00×']
  )


def test_all_parameters_are_named(make_record):
  two = {'alpha': 0.25, 'beta': 2}
  records = [
    make_record('verifier_alone', quality=0.9),
    make_record('two', two, 5, quality=0.9, latency=0.5),
  ]
  table = details.table(records)
  named = [i for i, c in enumerate(table.columns) if c == 'parameters']
  assert named == [3, 10]
  assert table.rows[1][3] == table.rows[1][10] == 'α 0.25, β 2'


def test_neither_reached(make_record):
  records = [
    make_record('verifier_alone', quality=0.9),
    make_record('opt', 0.5, 5, quality=0.89, latency=1.01),
  ]
  assert _cells(details.table(records))['opt'] == (
    ['loses more', *'–––––––', 'not reached', *'–––']
  )


def test_ties(make_record):
  group = [
    make_record('opt', 0.0, 5, quality=0.9, latency=0.5),
    make_record('opt', 0.1, 5, quality=0.95, latency=0.5),
    make_record('opt', 0.2, 5, quality=0.95, latency=0.5),
    make_record('opt', 0.3, 5, quality=0.95, latency=0.75),
  ]

  def fastest(quality):
    alone = make_record('verifier_alone', quality=quality)
    return choice.fastest(group, choice.tested([alone, *group]))

  assert fastest(0.9)['parameters'] == {'alpha': 0.1}  # the better, the earlier
  assert fastest(0.95)['parameters'] == {'alpha': 0.1}  # equal is reached
  assert fastest(0.951) is None
  assert choice.tested(group) is choice.fastest(group, None) is None
  assert choice.best(group[::-1])['parameters'] == {
    'alpha': 0.2
  }  # the faster, the earlier


@pytest.mark.parametrize('quality', [0.91, 0.89])
def test_strict_above_and_below_the_verifier(make_record, quality):
  """By its law it is neither."""
  records = [
    make_record('verifier_alone', quality=0.9),
    make_record('strict', None, 5, quality=quality, latency=0.5),
  ]
  row = _cells(details.table(records))['strict']
  assert row[0] == '2.00× ± 0.0%'
  assert row[8:] == [f'{quality:.3f} ± 0.020', '–', '5', '2.00×']


def test_over_strict_at_its_fastest(make_record):
  records = [
    make_record('verifier_alone', quality=0.9),
    make_record('strict', None, 3, quality=0.9, latency=0.8),
    make_record('strict', None, 5, quality=0.9, latency=0.5),
    make_record('opt', 0.5, 3, quality=0.9, latency=0.4),
  ]
  cells = _cells(details.table(records))
  assert [row[1] for row in cells.values()] == ['0.50×', '1.00×', '1.25×']


def test_each_sampling_has_its_own_verifier(make_record):
  records = [
    make_record('verifier_alone', quality=0.9, temperature=0.0),
    make_record('verifier_alone', quality=0.7, temperature=1.0),
    make_record('opt', 0.5, 5, quality=0.8, latency=0.5, temperature=0.0),
    make_record('opt', 0.5, 5, quality=0.8, latency=0.5, temperature=1.0),
  ]
  greedy, sampled = _markdown(records).split('Temperature ')[1:]
  assert greedy.startswith('0:\n')
  assert 'loses more' in greedy
  assert sampled.startswith('1:\n')
  assert 'loses more' not in sampled


def test_by_plan(make_record):
  records = [
    make_record('verifier_alone', quality=0.9),
    make_record('opt', 0.1, 1, quality=0.9, latency=0.8),
    make_record('opt', 0.5, 1, quality=0.8, latency=0.1),
    make_record('opt', 0.1, 5, quality=0.9, latency=[0.5]),
    make_record('opt', 0.2, 5, quality=0.9, latency=[0.4]),
    make_record('drafter', None, 5, quality=0.4, latency=0.2),
  ]
  assert _cells(details.by_plan(records)) == {
    'opt': ['1.25× ± 0.0%', '2.50×'],
    'drafter': ['–', 'loses more'],
  }
  assert 'γ = 1' in _markdown(records)
  scheduled = make_record(
    'opt', 0.1, 16, quality=0.9, latency=0.25, schedule='confidence'
  ) | {'schedule_parameter': 0.3}
  cells = _cells(details.by_plan([*records, scheduled]))
  assert cells['opt'][2] == '4.00× ± 0.0%'
  assert 'γ = confidence 0.3 ≤ 16' in _markdown([*records, scheduled])
  one_gamma = [r for r in records if r['gamma'] != 1]
  assert 'γ = 5' not in _markdown(one_gamma)


def test_columns_are_aligned(sweep):
  for section in _markdown(sweep).split('\n\n'):
    if section.startswith('|'):
      assert len({len(line) for line in section.splitlines()}) == 1


def test_header_names_what_was_run(make_record):
  record = make_record('strict', gamma=5, git_revision='0123456789abcdef-dirty')
  elsewhere = record | {'device': 'TPU v5e × 8', 'seconds': [1.0]}
  header = details.header([record, record, elsewhere])
  for part in (
    'Task word_problems, pair word_problems: exact_match on 100 examples',
    'batch 1 on 10 × 3 trials or 10 × 1 trials.',
    'cpu (AMD EPYC), 2 cores or TPU v5e × 8, float32, seed 0',
    'revision 0123456789ab-dirty;\npython 3.11.7, jax 0.10.2.',
  ):
    assert part in header


@pytest.mark.parametrize('field', ['task', 'pair', 'metric', 'dtype'])
def test_what_does_not_compare_is_refused(make_record, field):
  records = [make_record('strict'), make_record('strict', **{field: 'other'})]
  with pytest.raises(ValueError, match=f'different {field} .*other'):
    _markdown(records)


def test_an_unfinished_sweep_says_so(make_record):
  records = [make_record('strict', None, 5, quality=0.9, latency=0.5)]
  text = _markdown(records)
  assert 'verifier alone has no record here yet' in text
  assert 'unknown' in text


def test_the_margin_is_told(make_record):
  records = [
    make_record('verifier_alone', quality=0.9),
    make_record('opt', 0.1, 5, quality=0.8999, latency=0.5),
  ]
  assert _cells(details.table(records))['opt'][0] == 'loses more'
  caption = ' '.join(details.tabulated(records)[-1].split())
  assert "shown to lose at most 2% of the verifier's exact_match" in caption


def test_what_was_timed_is_told(make_record):
  make = lambda differs, spread: make_record(  # noqa: E731
    'strict', gamma=5, timed_differs=differs, cost_spread=spread
  )
  assert details.timing([make(None, None)]) == []
  assert details.timing([make(None, 2.0), make(0.0, 1.0)]) == [
    'Every timed answer is the scored one.'
  ]
  differs = make(0.25, 3.25)
  sentences = details.timing([make(0.0, 1.0), differs, make(0.125, 3.0)])
  assert sentences == [
    'Timed answers that are not the scored ones: at most 25.0% of a point, of '
    f'{differs["id"]}.',
    'The measured costs differ up to 3.2× between rounds, so predicted '
    'latencies are uncertain.',
  ]
  assert details.tabulated([differs])[1:3] == sentences
