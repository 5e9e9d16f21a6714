import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest

from speccascade import benchmark, distributions, overhead, pairs, rules
from speccascade.decoding import cascade, results, schedules
from speccascade.tasks import tokenizer as tokenizer_lib
from tests.sweeps import tiny_pair

N = 6  # Most new tokens: every row ends within the timed turns.
GAMMA = 4
_ROOT = pathlib.Path(__file__).parents[1]


def test_parts_and_table_of_a_known_row():
  row = overhead.Row(
    schedule='cost',
    batch=3,
    gamma=24,
    drafter_step=0.5,
    verifier_step=6.0,
    steps=6.0,
    width=6.4,
    block=7.0,
    overhead=1.1,
    tokens=5.5,
    compile_seconds=2.0,
  )
  assert row.parts == 10.0
  assert row.iteration == pytest.approx(11.0)
  table = overhead.table([row])
  assert '| cost | 24 | 0.500 | 6.00 | 6.0 | 6.4 | 7.00 | 10.00 ' in table
  assert '| 11.00 | 1.10 | 5.50 | 0.67 | 2.00 | 2.0 s |' in table
  assert len({line.count('|') for line in table.splitlines()}) == 1


@pytest.fixture(scope='module')
def pair(tmp_path_factory):
  return pairs.load(tiny_pair.save(tmp_path_factory.mktemp('tiny') / 'pair'))


def _prompts(examples):
  token_PxS = np.random.default_rng(examples[0]).integers(4, 700, (3, 5))
  return results.Prompts(token_PxS, np.array([5, 1, 3]), np.array(examples))


def _cascade(pair, name):
  return cascade.Cascade(
    pair.drafter,
    pair.verifier,
    GAMMA,
    N,
    tokenizer_lib.EOS,
    rules=(rules.token_v3,),
    schedule=schedules.SCHEDULES[name],
  )


def _one_by_one(made, pair, parameter):
  """Prompts -> (drafted, committed) of each block of each row's answer."""

  @jax.jit
  def step(state, prompts):
    return cascade.iterate(
      made,
      pair.params,
      distributions.Sampling(np.ones(3), np.ones(3)),
      0,
      np.full(3, 0.5),
      cascade.uniforms(made, prompts, jax.random.key(0)),
      parameter,
      state,
    )

  def run(prompts):
    prompts = jax.tree.map(jax.numpy.asarray, prompts)
    state, told = (
      cascade.init(made, pair.params, prompts, parameter),
      [[], [], []],
    )
    while not state.done_B.all():
      old, state = state, step(state, prompts)
      for b in np.flatnonzero(~old.done_B):
        drafted = state.tally.drafted_B[b] - old.tally.drafted_B[b]
        told[b].append((drafted, state.length_B[b] - old.length_B[b]))
    return told

  return run


@pytest.mark.parametrize(
  ('name', 'parameter'), [('fixed', ()), ('cost', 1 + 0.02 * np.arange(5))]
)
def test_the_loop_decodes_each_answer_again_and_again(pair, name, parameter):
  made = _cascade(pair, name)
  groups = [_prompts([0, 1, 2]), _prompts([3, 4, 5])]
  loop = overhead._loop(made, pair.params, parameter, groups, 1.0, 0.5)
  one_by_one = _one_by_one(made, pair, parameter)
  for r in (0, 1, 2):
    drafted_KxB, committed_KxB = loop(benchmark.LONG, r)
    blocks = one_by_one(groups[r % 2])
    for b, own in enumerate(blocks):
      again = np.array((own * benchmark.LONG)[: benchmark.LONG])
      np.testing.assert_array_equal(drafted_KxB[:, b], again[:, 0])
      np.testing.assert_array_equal(committed_KxB[:, b], again[:, 1])
    assert len({len(own) for own in blocks}) > 1  # They end apart.


def test_parts_are_what_ran():
  """Turns 2.. count; the longest draft of the batch takes the block."""
  drafted_KxB = np.full((benchmark.LONG, 3), 1)
  drafted_KxB[2:10, 1] = 3
  drafted_KxB[10:, 2] = 5
  committed_KxB = np.minimum(drafted_KxB, 2)
  ran = overhead._ran(lambda *_: (drafted_KxB, committed_KxB), 0, (2, 3, 6))
  assert ran.steps == 4.0
  assert ran.blocks == {2: 0, 3: 0.5, 6: 0.5}
  assert ran.tokens == pytest.approx(4 / 3)
  part_times = {
    ('drafter', 1): np.array([1.0, 2.0, 9.0]),
    ('verifier', 1): np.array([7.0, 7.0, 7.0]),
    ('verifier', 2): np.array([8.0, 8.0, 8.0]),
    ('verifier', 3): np.array([10.0, 20.0, 90.0]),
    ('verifier', 6): np.array([14.0, 28.0, 126.0]),
  }
  # Parts of the rounds: 16, 32, 144; a slow round is slow for all.
  got = overhead._summary([ran], np.array([17.6, 32.0, 288.0]), part_times)
  assert got['overhead'] == pytest.approx(1.1)
  assert got['block'] == pytest.approx(24.0)
  assert (got['steps'], got['width']) == (4.0, 4.5)


@pytest.mark.slow
def test_every_schedule_of_a_tiny_pair_is_timed(pair):
  plans = {'fixed': (1, ()), 'cost': (2, ())}
  groups = [_prompts([0, 1, 2]), _prompts([3, 4, 5])]
  rows = overhead.measure(pair, groups, plans, N, rounds=2)
  assert [row.schedule for row in rows] == list(plans)
  for row in rows:
    assert row.batch == 3
    assert 1 <= row.tokens <= row.steps <= row.width <= row.gamma + 1
    assert row.compile_seconds > 0
    assert np.isfinite((row.parts, row.iteration)).all()
  assert rows[0].steps == rows[0].width == 2


@pytest.mark.parametrize(
  ('changed', 'told'),
  [
    ({'temperature': float('nan')}, 'temperature=nan must be 0 or more'),
    ({'new_tokens': 9000}, 'prompt 0 is too long: 5 tokens'),
    ({'plans': {'fixed': (-1, ())}}, 'gamma=-1 must be 0 or more'),
  ],
)
def test_bad_arguments_are_told_before_any_compile(
  pair, monkeypatch, changed, told
):
  monkeypatch.setattr(overhead, '_loop', None)
  arguments = {'plans': {'fixed': (1, ())}, 'new_tokens': N, 'rounds': 1}
  with pytest.raises(ValueError, match=told) as error:
    overhead.measure(pair, [_prompts([0, 1, 2])], **arguments | changed)
  assert '\n' not in str(error.value)


def test_the_command_ends_with_one_line():
  expected = {
    '--pair=nobody': "benchmark: no pair 'nobody'",
    '--task=gsm8k': 'benchmark: task_args {}: missing a required',
    '--temperature=inf': 'benchmark: temperature=inf must be',
  }
  runs = [
    subprocess.Popen(
      [sys.executable, _ROOT / 'experiments' / 'benchmark.py', flag],
      env=os.environ | {'JAX_PLATFORMS': 'cpu', 'PYTHONPATH': str(_ROOT)},
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
    )
    for flag in expected
  ]
  for run, message in zip(runs, expected.values(), strict=True):
    _, error = run.communicate(timeout=120)
    assert run.returncode == 1
    assert error.startswith(message)
    assert error.count('\n') == 1
