"""Tests of the quality of lossless methods, and of all that shows it."""

import copy
import csv

import pytest

from speccascade.reports import report
from speccascade.reports.render import page, tables
from speccascade.reports.sections import advice, details, table2
from speccascade.reports.stats import law
from speccascade.tasks import metrics
from tests.reports import synthetic

_ALONE = [1, 1, 0, 1, 0, 1, 1, 1]
_DRAFTED = [1, 0, 0, 1, 0, 1, 1, 0]  # Strict's luck is worse.
_TOGETHER = 10 / 16


@pytest.fixture
def records():
  """At temperature 1 a rule lies between the verifier's two samples."""
  make = synthetic.record
  warm = dict(temperature=1.0)
  return [
    make('verifier_alone', scores=_ALONE),
    make('strict', None, 5, 0.5, _ALONE),
    make('verifier_alone', scores=_ALONE, **warm),
    make('strict', None, 5, 0.5, _DRAFTED, **warm),
    make('strict', None, 9, 0.4, _DRAFTED, **warm),
    make('opt', 0.1, 5, 0.25, [1, 1, 0, 1, 0, 1, 1, 0], **warm),
  ]


def test_statistics_add_up_example_by_example(records):
  greedy, strict_greedy, *pooled, opt = law.pooled(records)
  assert (greedy, strict_greedy) == tuple(records[:2])  # One text.
  assert opt == records[5]
  statistics = [[a + b, 2] for a, b in zip(_ALONE, _DRAFTED, strict=True)]
  for got, raw in zip(pooled, records[2:5], strict=True):
    assert got['example_statistics'] == statistics
    assert got['quality'] == _TOGETHER
    # Scores of 1, 0.5, 0, 1, 0, 1, 1 and 0.5: their deviation over sqrt(8) is
    # 0.143, itself known to 4% from 400 resamples.
    assert got['quality_stderr'] == pytest.approx(0.143, rel=0.15)
    changed = {k for k in raw if raw[k] != got[k]}
    assert changed == {'quality', 'quality_stderr', 'example_statistics'}


def test_bleu_is_of_both_corpora_together():
  texts = ['a b c d e f', 'a b c d x f'], ['a b c d e f', 'a b y d x f']
  reference = ['a b c d e f']
  one, other = (
    [metrics.get('bleu').statistics(text, reference) for text in sample]
    for sample in texts
  )
  make = lambda method, statistics: synthetic.record(  # noqa: E731
    method, example_statistics=statistics, metric='bleu', num_examples=2
  )
  pooled = law.pooled([make('verifier_alone', one), make('strict', other)])
  want = metrics.quality('bleu', [*one, *other])
  assert [r['quality'] for r in pooled] == pytest.approx([want, want])


def test_pooling_again_changes_nothing_and_records_are_left_alone(records):
  before = copy.deepcopy(records)
  once = law.pooled(records)
  assert records == before
  assert law.pooled(once) == once


def test_nothing_to_pool(records):
  alone = [r for r in records if r['method'] != 'strict']
  assert law.pooled(alone) == alone
  # Of other pairs, tasks and samplings, and of other examples.
  elsewhere = [
    records[2] | changes
    for changes in (
      dict(pair='x'), dict(task='x'), dict(top_p=0.5), dict(top_k=3)
    )
  ] + [records[3]]  # fmt: skip
  assert law.pooled(elsewhere) == elsewhere
  fewer = [records[2], records[3] | dict(num_examples=7)]
  assert law.pooled(fewer) == fewer


def test_traits_say_what_is_lossless(records):
  # By its trait, not its name; each plan of a text that plans change is a
  # sample of its own.
  warm = dict(temperature=1.0, lossless=True, plan_changes_text=True)
  more = [
    synthetic.record('other', None, 5, 0.5, [1] * 8, **warm),
    synthetic.record('other', None, 9, 0.5, [0] * 8, **warm),
  ]
  lossy = records[3] | {'traits': synthetic.traits('strict', lossless=False)}
  pooled = law.pooled([records[2], lossy, *more])
  assert pooled[1] == lossy
  for record in (pooled[0], *pooled[2:]):
    assert record['quality'] == (6 + 8 + 0) / 24


def _row(table, method):
  return next(list(row) for row in table.rows if method in row)


def test_all_tables_have_the_pooled_quality(records, tmp_path, monkeypatch):
  # Raw, the rule falls short of the verifier.
  _, raw = table2.summary(records).values()
  assert _row(raw, 'opt')[1] == 'loses more'
  found = {s.heading: s.body for s in report.sections(records)}
  summary = [b for b in found['Table 2'] if isinstance(b, tables.Table)][1]
  assert _row(summary, 'strict')[1] == '2.50× [2.50, 2.50]'  # All resamples.
  assert _row(summary, 'opt')[1].startswith('4.00× ')
  for method in ('verifier_alone', 'strict'):
    assert _row(summary, method)[2].startswith('0.625 [')
  own = found['Task word_problems, pair word_problems']
  table = [b for b in own if isinstance(b, tables.Table)][1]
  assert _row(table, 'strict')[1] == '2.50× ± 0.0%'
  assert _row(table, 'verifier_alone')[9].startswith('0.625 ±')
  chosen = found['Which method, parameters and draft plan'][1]
  warm = [row for row in chosen.rows if 'temperature 1' in row]
  # Of the odd examples 4 and 2 of 4 are right.
  (strict,) = [row for row in warm if 'strict' in row]
  assert strict[7] == strict[8] == '0.750'
  monkeypatch.setattr(page, 'png', lambda figure, dpi: b'')
  report.write(records, tmp_path)
  lines = (tmp_path / 'table2_temperature1.csv').read_text().splitlines()
  assert '2.50×' in next(x for x in lines if x.startswith('strict'))
  with open(tmp_path / 'points.csv') as f:
    qualities = [float(row['quality']) for row in csv.DictReader(f)]
  assert qualities == [r['quality'] for r in records]


def test_captions_say_so(records):
  (table, *_) = table2.summary(records).values()
  captions = [table.caption, advice.best(records).caption]
  captions += [details.tabulated(records[:2])[-1]]
  captions += [
    block.caption
    for section in report.sections(records)
    for block in section.body
    if getattr(block, 'name', '').startswith('quality_')
  ]
  assert len(captions) == 5
  for caption in captions:
    assert law.NOTE in ' '.join(caption.split())
