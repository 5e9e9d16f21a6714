"""A small sweep over every kind of method, rules of two parameters included."""

import contextlib
import io
import json

import jax
import pytest

from speccascade.runs import records
from speccascade.sweeps import run
from speccascade.timing import costs as costs_lib
from speccascade.timing import parts
from tests.sweeps import tiny_pair

_DRAFTING = (
  'strict', 'chow-alpha0.99', 'bild-alpha5', 'bild_rollback-alpha5',
  'lossy_beta-alpha0.5-beta1', 'lossy_beta-alpha0.5-beta2',
)  # fmt: skip
_ALONE = ('verifier_alone', 'drafter_alone')
_SEQUENTIAL = ('token_cascade-alpha0.99', 'sequence_mean-alpha0')
_PLANS = ('g3', 'g1-cost')
_SWEEP = dict(
  methods={
    'strict': (),
    'chow': (0.99,),
    'bild': (5.0,),
    'lossy_beta': ((0.5, 1.0), (0.5, 2.0)),
    'token_cascade': (0.99,),
    'sequence_mean': (0.0,),
    'bild_rollback': (5.0,),
  },
  schedules={'cost': ()},
  schedule_gamma=1,
  gammas=(3,),
  temperatures=(1.0,),
  num_examples=4,
  batch_size=16,
)


@pytest.fixture(scope='module')
def ran(tmp_path_factory):
  """(workdir, what was printed, the names of the programs compiled)."""
  folder = tmp_path_factory.mktemp('sweep')
  compiled, printed = [], io.StringIO()

  def listen(event, seconds, fun_name='', **kwargs):
    if event == '/jax/core/compile/backend_compile_duration':
      compiled.append(fun_name.removeprefix('jit(').removesuffix(')'))

  undo = tiny_pair.shorten(18)  # No other test's programs.
  jax.monitoring.register_event_duration_secs_listener(listen)
  with contextlib.redirect_stdout(printed):
    run.run(
      tiny_pair.sweep(tiny_pair.save(folder / 'pair'), **_SWEEP), folder / 'run'
    )
  undo()
  return folder / 'run', printed.getvalue(), tuple(compiled)


@pytest.fixture(scope='module')
def sweep(ran):
  """(workdir, {id without sampling: record})."""
  workdir, *_ = ran
  kept = records.read(workdir / 'records.jsonl')
  return workdir, {r['id'].removesuffix('-t1-p1-k0-s0'): r for r in kept}


def test_the_programs_are_counted_before_they_are_compiled(ran):
  _, printed, compiled = ran
  # Not those of a single operation.
  number = sum(
    name in vars(parts) or name in ('_decode', '_turns') for name in compiled
  )
  assert printed.startswith(f'{number} programs to compile\n')


def test_every_point_is_recorded(sweep):
  _, kept = sweep
  assert set(kept) == {
    *_ALONE, *_SEQUENTIAL, *(f'{m}-{p}' for m in _DRAFTING for p in _PLANS),
  }  # fmt: skip
  for record in kept.values():
    counts = record['counts']
    if record['method'] not in _ALONE:
      assert counts['accepted'] + counts['rejected'] == counts['tokens']
    assert sum(record['example_tokens']) == counts['tokens']
    assert sum(record['example_rejected']) == counts['rejected']
  assert kept['strict-g1-cost']['schedule'] == 'cost'
  assert kept['token_cascade-alpha0.99']['schedule'] is None
  two = kept['lossy_beta-alpha0.5-beta2-g3']
  assert two['parameters'] == {'alpha': 0.5, 'beta': 2.0}
  assert two['traits'] == {
    'drafts': True,
    'plan_changes_text': False,
    'divergence_rejects': True,
    'lossless': False,
  }


def test_a_schedule_changes_what_is_drafted_and_not_the_text(sweep):
  _, kept = sweep
  for method in _DRAFTING:
    fixed, other = (kept[f'{method}-{plan}'] for plan in _PLANS)
    for field in ('quality', 'output_length', 'rejection_rate'):
      assert other[field] == fixed[field]
    histogram = other['counts']['accepted_lengths']
    assert sum(histogram) == other['counts']['verifier_calls']
  drafted = {kept[f'strict-{p}']['counts']['drafted'] for p in _PLANS}
  assert len(drafted) == 2


def test_token_cascade_has_the_text_of_chow(sweep):
  _, kept = sweep
  cascade, chow = kept['token_cascade-alpha0.99'], kept['chow-alpha0.99-g3']
  for field in ('quality', 'output_length', 'rejection_rate'):
    assert cascade[field] == chow[field]
  calls = cascade['counts']['verifier_calls']
  assert 0 < calls <= cascade['counts']['tokens']


def test_costs_are_measured_once(sweep):
  workdir, _ = sweep
  costs = json.loads((workdir / 'costs.json').read_text())
  assert {int(w) for w in costs['verifier_block']} >= {1, 2, 4}


def test_a_record_has_the_costs_that_its_plan_weighed(sweep):
  workdir, kept = sweep
  costs = costs_lib.read(workdir / 'costs.json')
  for record in kept.values():
    measured = record['schedule'] == 'cost'
    assert (record['costs'] is None) != measured
    if measured:
      assert record['costs'] == list(costs.iteration_G((1, 2), 2))
      assert record['cost_spread'] == costs.spread


def test_timed_answers_are_the_scored_ones(sweep):
  _, kept = sweep
  for record in kept.values():
    assert record['timed_tokens'] == record['example_tokens'][:1]
    assert record['timed_differs'] == 0
