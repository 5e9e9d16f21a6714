"""A small sweep over everything beside the rules and fixed draft lengths."""

import json

import pytest

from speccascade import records
from speccascade.sweeps import run
from tests.sweeps import tiny_pair


@pytest.fixture(scope='module')
def sweep(tmp_path_factory):
  """(workdir, {id without sampling: record})."""
  folder = tmp_path_factory.mktemp('sweep')
  config = tiny_pair.config(tiny_pair.save(folder / 'pair'))
  with config.unlocked():
    config.rules = dict(
      strict=(),
      chow=(0.99,),
      bild=(5.0,),
      token_cascade=(0.99,),
      sequence_mean=(0.99,),
      bild_rollback=(5.0,),
    )
    config.schedules = dict(cost=())
  config.gammas, config.temperatures = (3,), (1.0,)
  config.num_examples, config.batch_size = 4, 1  # One shape to compile for.
  run.run(config, folder / 'run')
  kept = records.read(folder / 'run' / 'records.jsonl')
  return folder / 'run', {r['id'].removesuffix('-t1-p1-k0-s0'): r for r in kept}


def test_every_point_is_recorded(sweep):
  _, kept = sweep
  plans = ('g3', 'g4-cost')
  drafting = ('strict', 'chow-a0.99', 'bild-a5', 'bild_rollback-a5')
  alone = ('verifier_alone', 'drafter_alone')
  sequential = ('token_cascade-a0.99', 'sequence_mean-a0.99')
  assert set(kept) == {
    *alone, *sequential, *(f'{r}-{p}' for r in drafting for p in plans),
  }  # fmt: skip
  for record in kept.values():
    counts = record['counts']
    if record['rule'] not in alone:
      assert counts['accepted'] + counts['rejected'] == counts['tokens']
  assert kept['strict-g4-cost']['schedule'] == 'cost'
  assert kept['token_cascade-a0.99']['schedule'] is None


def test_a_schedule_changes_what_is_drafted_and_not_the_text(sweep):
  _, kept = sweep
  for rule in ('strict', 'chow-a0.99', 'bild_rollback-a5'):
    fixed, other = (kept[f'{rule}-{plan}'] for plan in ('g3', 'g4-cost'))
    for field in ('quality', 'output_length', 'rejection_rate'):
      assert other[field] == fixed[field]
    histogram = other['counts']['accepted_lengths']
    assert sum(histogram) == other['counts']['verifier_calls']
  drafted = {
    kept[f'strict-{p}']['counts']['drafted'] for p in ('g3', 'g4-cost')
  }
  assert len(drafted) == 2


def test_token_cascade_has_the_text_of_chow(sweep):
  _, kept = sweep
  for field in ('quality', 'output_length', 'rejection_rate'):
    assert kept['token_cascade-a0.99'][field] == kept['chow-a0.99-g3'][field]
  calls = kept['token_cascade-a0.99']['counts']['verifier_calls']
  assert 0 < calls <= kept['token_cascade-a0.99']['counts']['tokens']


def test_costs_are_measured_once(sweep):
  workdir, _ = sweep
  costs = json.loads((workdir / 'costs.json').read_text())
  assert {int(w) for w in costs['verifier_block']} >= {1, 4, 5}
