import pytest

from speccascade import benchmark, pairs
from tests.sweeps import tiny_pair


def test_parts_and_table_of_a_known_row():
  row = benchmark.Row(
    batch=3,
    gamma=5,
    drafter_step=0.5,
    verifier_step=6.0,
    verifier_block=7.0,
    iteration=11.0,
    compile_seconds=2.0,
  )
  assert row.parts == 10.0
  assert '| 10.00 ms | 11.00 ms | 1.10 | 2.0 s |' in benchmark.table([row])


@pytest.mark.slow
def test_every_part_of_a_tiny_pair_is_timed(tmp_path):
  pair = pairs.load(tiny_pair.save(tmp_path / 'pair'))
  row = benchmark.measure(pair, batch=3, gamma=2, rounds=3)
  assert row.compile_seconds > 0
  for time in (row.drafter_step, row.verifier_block, row.iteration):
    assert time > 0
