"""BiLD's own execution: the law of the rule `bild`, with more rejections."""

import numpy as np
import pytest

from speccascade import methods, rules
from speccascade.decoding import loop as loop_lib
from speccascade.decoding import results
from speccascade.sampling import keys, probabilities
from tests.decoding import table_model, tiny

pytestmark = pytest.mark.usefixtures('float64')

V, ROWS, ALPHA = 5, 20_000, 1.4
MODEL = table_model.TableModel(V)
TABLES = table_model.table(V, 2), table_model.table(V, 3)


def _decode(*names):
  """One token a row under each method."""
  prompts = results.Prompts(
    np.tile((2, 1), (ROWS, 1)), np.full(ROWS, 2), np.arange(ROWS), len(names)
  )
  ones = np.ones(prompts.rows)
  groups = tuple(loop_lib.Group(methods.get(name), ROWS) for name in names)
  result = loop_lib.decode(
    loop_lib.Loop(MODEL, MODEL, 1, 1, (-1,), groups),
    TABLES,
    results.Request(
      prompts,
      probabilities.Sampling(ones, ones),
      ((np.full(ROWS, ALPHA),),) * len(names),
      keys.make(3),
    ),
  )
  starts = range(0, prompts.rows, ROWS)
  return [tiny.row(result, slice(i, i + ROWS)) for i in starts]


def test_bild_emits_its_rule_and_rejects_outside_a():
  """Five standard deviations of a share among 20,000 rows: 6e-7 a cell."""
  q, p = (np.asarray(probabilities.raw(t[2, 1])) for t in TABLES)
  in_a = -np.log(p) <= ALPHA
  assert 0 < q[in_a].sum() < 1
  pi = np.asarray(rules.RULES['bild'](q, p, q, p, ALPHA))
  bild, star = _decode('bild_rollback', 'bild')
  for result in (bild, star):
    share = np.bincount(result.token_BxN[:, 0], minlength=V) / ROWS
    assert (abs(share - pi) <= 5 * np.sqrt(pi * (1 - pi) / ROWS)).all()
  rejected = q[~in_a].sum()
  bound = 5 * np.sqrt(rejected * (1 - rejected) / ROWS)
  assert abs(np.mean(bild.counts.rejected_B) - rejected) <= bound
  # The same target is rejected less often by the paper's sampling.
  fewer = np.maximum(pi - q, 0).sum()
  assert fewer < rejected - 0.05
  assert abs(np.mean(star.counts.rejected_B) - fewer) <= bound
