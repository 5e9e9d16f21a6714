"""The table of what a verifier keeps of its drafters' tokens."""

import dataclasses
import json
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest

from speccascade import acceptance, pairs, tasks
from tests.sweeps import tiny_pair

_ROOT = pathlib.Path(__file__).parents[1]
_ROLES = ('drafter', 'verifier')


def _counts(token_N, call_N, accepted_N=None, divergence_N=None):
  token_N = np.array(token_N)
  accepted_N = token_N - call_N if accepted_N is None else np.array(accepted_N)
  divergence_N = token_N / 8 if divergence_N is None else divergence_N
  return acceptance.Counts(
    token_N, np.array(call_N), accepted_N, np.array(divergence_N)
  )


def test_a_row_by_hand():
  first = _counts([6, 10, 4], [3, 4, 3])
  counts = _counts([6, 9, 3], [2, 3, 1], [5, 7, 3], [1.0, 0.5, 0.3])
  got = acceptance.row(counts, first)
  assert got['acceptance'] == pytest.approx(15 / 18)
  assert got['divergence'] == pytest.approx(1.8 / 18)
  assert got['block_efficiency'] == pytest.approx(3.0)
  assert got['change'] == pytest.approx(0.5)  # From 2 tokens a call.
  same = acceptance.row(first, first)
  assert (same['change'], same['change_stderr']) == (0, 0)


def test_standard_errors_are_those_of_the_examples():
  # Independent examples of 10 calls: the efficiency is a mean.
  N, calls = 400, np.full(400, 10)
  token_N = 2 * np.random.default_rng(0).integers(10, 30, N)
  got = acceptance.row(_counts(token_N, calls), _counts(token_N // 2, calls))
  expected = token_N.std() / 10 / N**0.5
  assert got['block_efficiency_stderr'] == pytest.approx(expected, rel=0.1)
  # Both drafters meet the same examples, so their ratio does not vary.
  assert got['change'] == pytest.approx(1)
  assert got['change_stderr'] < 1e-9


@pytest.fixture(scope='module', autouse=True)
def _compile_fast():
  flag = 'jax_disable_most_optimizations'
  before = jax.config.values[flag]
  jax.config.update(flag, True)
  yield
  jax.config.update(flag, before)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  return tiny_pair.save(tmp_path_factory.mktemp('acceptance') / 'pair')


def _compare(folder, named, **settings):
  pair, task = pairs.load(folder), tasks.load('word_problems', {})
  task = dataclasses.replace(task, max_new_tokens=24)
  rows = acceptance.compare(
    pair,
    acceptance.load_drafters(named, pair),
    task,
    task.examples('test', 5),
    **dict(gamma=3, temperatures=(0, 1), batch_size=5, seed=0) | settings,
  )
  return list(rows)


def test_a_verifier_accepts_all_that_it_drafts_itself(folder):
  named = [f'{role}={folder}/{role}.safetensors' for role in _ROLES]
  rows = _compare(folder, named)
  assert [(x['drafter'], x['temperature']) for x in rows] == [
    ('drafter', 0), ('verifier', 0), ('drafter', 1), ('verifier', 1),
  ]  # fmt: skip
  for before, after in zip(rows[::2], rows[1::2], strict=True):
    assert before['acceptance'] < 0.95
    assert before['divergence'] > 0.05
    assert after['acceptance'] == 1
    assert after['divergence'] == pytest.approx(0, abs=1e-5)
    # Blocks are full but for an answer's last.
    assert 3.5 < after['block_efficiency'] <= 4
    ratio = after['block_efficiency'] / before['block_efficiency']
    assert after['change'] == pytest.approx(ratio - 1)
  # Neither the batch nor what else is compared changes a row.
  (again,) = _compare(folder, named[:1], temperatures=(1,), batch_size=2)
  assert again.pop('drafter') == rows[2].pop('drafter')
  assert again == pytest.approx(rows[2], rel=1e-3, abs=1e-5)


def test_without_names_the_drafter_is_the_pair_s_own(folder):
  pair = pairs.load(folder)
  ((label, (model, params)),) = acceptance.load_drafters([], pair).items()
  assert (label, model) == ('drafter', pair.drafter)
  jax.tree.map(np.testing.assert_array_equal, params, pair.drafter_params)


@pytest.mark.parametrize('named', [['after'], ['=x'], ['a=x', 'a=y'], ['a=']])
def test_a_mistaken_drafter_is_one_line(folder, monkeypatch, named):
  pair = pairs.load(folder)
  own = pair.drafter.config, pair.drafter_params
  monkeypatch.setattr(acceptance.checkpoints, 'load', lambda *_: own)
  with pytest.raises(ValueError, match='must be label=checkpoint, each once'):
    acceptance.load_drafters(named, pair)


def test_the_table_compares_with_the_first_drafter():
  row = {
    'acceptance': 0.9512, 'divergence': 0.0488, 'block_efficiency': 6.954,
    'block_efficiency_stderr': 0.144, 'change_stderr': 0.0,
  }  # fmt: skip
  rows = [
    {**row, 'drafter': 'before', 'temperature': 0.0, 'change': 0.0},
    {**row, 'drafter': 'after', 'temperature': 0.0, 'change': 0.1234,
     'change_stderr': 0.0111},
  ]  # fmt: skip
  assert acceptance.table(rows).splitlines()[2:] == [
    '| before | 0 | 95.1% | 0.0488 | 6.95 ± 0.14 | – |',
    '| after | 0 | 95.1% | 0.0488 | 6.95 ± 0.14 | +12.3% ± 1.1% |',
  ]


@pytest.mark.slow
def test_the_command_prints_a_table_and_keeps_its_rows(folder, tmp_path):
  out = tmp_path / 'rows.jsonl'
  command = [
    sys.executable, _ROOT / 'experiments' / 'acceptance.py',
    f'--pair={folder}', '--num_examples=3', '--gamma=2', '--temperature=0.5',
    f'--drafter=own={folder}/drafter.safetensors', f'--out={out}',
  ]  # fmt: skip
  done = subprocess.run(
    command, capture_output=True, text=True, check=True, cwd=tmp_path
  )
  assert '| own | 0.5 |' in done.stdout
  assert 'pair pair, strict, γ = 2, 3 examples' in done.stdout
  (row,) = map(json.loads, out.read_text().splitlines())
  assert (row['gamma'], row['drafter'], row['temperature']) == (2, 'own', 0.5)
  kept = out.read_bytes()
  for extra, told in (
    ([], f'{out} exists; choose another --out or delete it'),
    (
      [f'--out={out}.again', '--drafter=x'],
      "drafter 'x' must be label=checkpoint, each once",
    ),
  ):
    failed = subprocess.run(
      [*command, *extra], capture_output=True, text=True, cwd=tmp_path
    )
    assert failed.returncode == 1
    assert failed.stderr.strip() == f'acceptance: {told}'
  assert out.read_bytes() == kept
