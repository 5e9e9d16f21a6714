"""Splits of records whose truth is known."""

import numpy as np
import pytest

from speccascade.reports.stats import points
from speccascade.studies import promises
from tests.reports import synthetic


def _records(n, losses, seed=0, **changes):
  """The verifier, strict, and rules that are the faster the lossier."""
  rng = np.random.default_rng(seed)
  right = rng.random(n) < 0.8
  texts = [('verifier_alone', None, None, right), ('strict', None, 5, right)]
  for n_, loss in enumerate(losses):
    text = right & (rng.random(n) >= loss)
    texts.append(('opt', float(n_), 5, text))
  return [
    synthetic.record(
      name, alpha, gamma, 1 / (1 + i), text.astype(int).tolist(), **changes
    )
    for i, (name, alpha, gamma, text) in enumerate(texts)
  ]


def test_advice_holds_on_what_it_has_not_seen():
  records = _records(1000, [0.0, 0.002, 0.01, 0.03, 0.06])
  kept = promises.measure(records, records[0], splits=40, seed=0)
  assert all(x.held >= 0.9 for x in kept.values())
  assert kept[0.0].sharper == 0
  assert kept[0.0].speedup == pytest.approx(2)  # That of strict.
  assert kept[0.05].sharper > 0.9
  assert kept[0.05].over_strict == pytest.approx(kept[0.05].speedup / 2)
  assert kept[0.05].over_strict > 1.4


def test_a_choice_without_a_bound_would_break_it(monkeypatch):
  """The study sees what it is for."""
  from speccascade.reports.stats import promise

  def bounds(own, rows, others=None):
    loss_K = promise.loss(own, rows)
    return promise.Bounds(loss_K, loss_K, loss_K, 0.0, 1.0)

  monkeypatch.setattr(promise, 'bounds', bounds)
  records = _records(400, np.linspace(0, 0.06, 20))
  kept = promises.measure(records, records[0], splits=60, seed=0)
  assert kept[0.02].held < 0.75


def test_a_row_for_each_cell_sampling_and_loss():
  records = _records(40, [0.1])
  warm = [r | {'temperature': 1.0} for r in records]
  other = [r | {'task': 'translation'} for r in records]
  table = promises.table([*records, *warm, *other], splits=3, seed=1)
  assert len(table.rows) == 3 * 4
  assert table.rows[0][:6] == (
    ['word_problems', 'word_problems', 'temperature 0', '40', '0%', '100.0%']
  )
  assert {row[2] for row in table.rows} == {'temperature 0', 'temperature 1'}


def test_splits_follow_from_the_seed():
  records = _records(60, [0.02, 0.05])
  a, b, c = (
    promises.measure(records, records[0], 5, seed) for seed in (0, 0, 1)
  )
  assert a == b
  assert a[0.05] is not c[0.05]


def test_without_the_verifier_there_is_nothing_to_hold():
  records = [r for r in _records(9, [0.1]) if r['method'] != points.VERIFIER]
  with pytest.raises(ValueError, match='no pair and task has a record of veri'):
    promises.table(records, 3, 0)
