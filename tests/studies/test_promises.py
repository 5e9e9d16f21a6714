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
  kept = promises.measure(records, splits=40, seed=0)
  assert all(x.held >= 0.9 for x in kept.values())
  assert kept[0.0].sharper == 0
  assert kept[0.0].speedup == pytest.approx(2)  # That of strict.
  assert kept[0.05].sharper > 0.9
  assert kept[0.05].over_strict == pytest.approx(kept[0.05].speedup / 2)
  assert kept[0.05].over_strict > 1.4


def _sampled(scores, metric='exact_match', **changes):
  """The verifier, strict and a rule, each the faster, of samples of a law."""
  return [
    synthetic.record(
      name,
      alpha,
      gamma,
      1 / (1 + i),
      [1] * len(own),
      example_statistics=own,
      metric=metric,
      **changes,
    )
    for i, (name, alpha, gamma, own) in enumerate(
      zip(
        ['verifier_alone', 'strict', 'opt'],
        [None, None, 0.1],
        [None, 5, 5],
        scores,
        strict=True,
      )
    )
  ]


def test_noise_of_samples_is_told_from_a_loss():
  """At temperature 1 strict loses as often as not, beside another sample."""
  rng = np.random.default_rng(3)
  share_N = rng.random(800)
  worlds = []
  for _ in range(10):
    own = [[[int(x), 1] for x in rng.random(800) < share_N] for _ in range(3)]
    records = _sampled(own, temperature=1.0)
    worlds.append(promises.measure(records, splits=10, seed=0))
  kept = [world[0.0] for world in worlds]
  assert all((x.held, x.sharper) == (1, 0) for x in kept)
  assert 0.2 < np.mean([x.as_sampled for x in kept]) < 0.8
  for allowed in (0.01, 0.02, 0.05):
    assert np.mean([world[allowed].held for world in worlds]) >= 0.9


@pytest.mark.parametrize('right', [0, 1])
def test_ties_alone_promise_what_so_many_examples_can(right):
  """Where all are right, or wrong, 100 examples tell no loss under 3 %."""
  few, many = (
    promises.measure(_sampled([[[right, 1]] * n] * 3), splits=10, seed=0)
    for n in (200, 2000)
  )
  assert all(x.held == 1 for x in [*few.values(), *many.values()])
  if right:
    assert (few[0.01].sharper, many[0.01].sharper) == (0, 1)


def _bleu(rng, n, wrong):
  """Statistics of sentences of 20 words, a share of them wrong."""
  words = rng.random((n, 20)) >= wrong
  rows = []
  for row in words:
    grams = [
      np.lib.stride_tricks.sliding_window_view(row, k).all(1).sum()
      for k in (1, 2, 3, 4)
    ]
    rows.append([20, 20, *map(int, grams), 20, 19, 18, 17])
  return rows


def test_bleu_keeps_its_promises_too():
  rng = np.random.default_rng(4)
  base = _bleu(rng, 1200, 0.02)
  lossy = [*_bleu(rng, 120, 0.04), *base[120:]]
  kept = promises.measure(_sampled([base, base, lossy], 'bleu'), 20, 0)
  assert all(x.held >= 0.9 for x in kept.values())
  assert (kept[0.0].sharper, kept[0.05].sharper) == (0, 1)


def test_speed_is_of_examples_that_took_no_part():
  """A rule that is fast on half of the timed examples by chance."""
  records = _sampled([[[1, 1]] * 400] * 3, latency_examples=16)
  rng = np.random.default_rng(5)
  rules = [
    records[2]
    | {'example_seconds': rng.exponential(0.5, 16).tolist(), 'id': f'opt-{a}'}
    | {'parameters': {'alpha': float(a)}}
    for a in range(30)
  ]
  records = [*records[:2], *rules]
  own = [16 / sum(r['example_seconds']) for r in rules]
  kept = promises.measure(records, splits=40, seed=0)
  assert kept[0.05].sharper == 1
  assert kept[0.05].speedup < max(own)


def test_a_choice_without_a_bound_would_break_it(monkeypatch):
  """The study sees what it is for."""
  from speccascade.reports.stats import promise

  def bounds(own, rows, others=None):
    loss_K = promise.loss(own, rows)
    return promise.Bounds(loss_K, loss_K, loss_K, loss_K, 0.0, 1.0)

  monkeypatch.setattr(promise, 'bounds', bounds)
  records = _records(400, np.linspace(0, 0.06, 20))
  kept = promises.measure(records, splits=60, seed=0)
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
  a, b, c = (promises.measure(records, 5, seed) for seed in (0, 0, 1))
  assert a == b
  assert a[0.05] is not c[0.05]


def test_without_the_verifier_there_is_nothing_to_hold():
  records = [r for r in _records(9, [0.1]) if r['method'] != points.VERIFIER]
  with pytest.raises(ValueError, match='no pair and task has a record of veri'):
    promises.table(records, 3, 0)
