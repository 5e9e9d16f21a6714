"""Strict beside the verifier alone, whose law it has."""

import numpy as np

from speccascade.reports.sections import control
from tests.reports import synthetic


def _records(strict, alone, tokens=None, **changes):
  rng = np.random.default_rng(0)
  base = rng.integers(20, 40, len(alone)).tolist()
  made = []
  for name, gamma, scores, own in (
    ('verifier_alone', None, alone, base),
    ('strict', 5, strict, tokens or base),
    ('opt', 5, [0] * len(alone), base),
  ):
    made.append(
      synthetic.record(
        name, None, gamma, 1.0, scores, example_tokens=own, **changes
      )
    )
  return made


def _row(records):
  ((row,),) = [t.rows for t in control.section(records).body]
  return row


def test_samples_of_one_law_show_nothing_but_in_1_of_20():
  shown, rng = 0, np.random.default_rng(0)
  for _ in range(100):
    strict, alone = (rng.random((2, 200)) < 0.7).astype(int).tolist()
    *_, difference, ratio, shows = _row(_records(strict, alone))
    assert difference.startswith(f'{(sum(strict) - sum(alone)) / 200:+.3f} [')
    assert ratio == '1.000 [1.000, 1.000]'
    shown += shows != 'nothing'
  assert 1 <= shown <= 12  # 5 are expected, ± 2.2.


def test_another_law_is_seen():
  rng = np.random.default_rng(0)
  alone = (rng.random(400) < 0.7).astype(int).tolist()
  strict = (rng.random(400) < 0.5).astype(int).tolist()
  assert _row(_records(strict, alone))[-1] == 'a difference in quality'
  longer = [50] * 400
  assert _row(_records(alone, alone, longer))[-1] == 'a difference in length'
  both = _row(_records(strict, alone, longer))[-1]
  assert both == 'a difference in quality and length'


def test_both_are_needed():
  records = _records([1, 0, 1], [1, 0, 1])
  assert control.section(records[:1] + records[2:]) is None
  assert control.section([]) is None
  warm = [r | {'temperature': 1.0} for r in records]
  (table,) = control.section([*records, *warm]).body
  assert [row[2] for row in table.rows] == ['temperature 0', 'temperature 1']
