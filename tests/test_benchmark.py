import numpy as np
import pytest

from speccascade import benchmark, pairs
from speccascade.decoding import results
from tests.sweeps import tiny_pair


def test_parts_and_table_of_a_known_row():
  row = benchmark.Row(
    batch=3,
    gamma=5,
    drafter_step=0.5,
    verifier_step=6.0,
    verifier_block=7.0,
    iteration=11.0,
    tokens=5.5,
    compile_seconds=2.0,
  )
  assert row.parts == 10.0
  table = benchmark.table([row])
  assert '| 10.00 | 11.00 | 1.10 | 5.50 | 0.67 | 2.00 | 2.0 s |' in table


@pytest.mark.slow
def test_every_part_of_a_tiny_pair_is_timed(tmp_path):
  pair = pairs.load(tiny_pair.save(tmp_path / 'pair'))
  prompts = results.Prompts(
    np.full((3, 4), 9), np.array([4, 1, 2]), np.arange(3)
  )
  row = benchmark.measure(pair, prompts, gamma=2, rounds=3)
  assert row.batch == 3
  assert row.compile_seconds > 0
  assert 1 <= row.tokens <= 3
  # Differences of short loops; a busy machine may turn one around.
  times = (row.drafter_step, row.verifier_block, row.iteration)
  assert np.isfinite(times).all()
