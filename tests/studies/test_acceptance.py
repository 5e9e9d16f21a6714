"""The table of what a verifier accepts of its drafters' tokens."""

import dataclasses
import json
import types

import jax
import numpy as np
import pytest

from speccascade import config, pairs, tasks
from speccascade.models import registry
from speccascade.studies import acceptance
from speccascade.sweeps import batches
from tests.runs import entry_point

_ROLES = ('drafter', 'verifier')


def _counts(token_E, call_E, accepted_E=None, divergence_E=None):
  token_E = np.array(token_E)
  accepted_E = token_E - call_E if accepted_E is None else np.array(accepted_E)
  divergence_E = token_E / 8 if divergence_E is None else divergence_E
  return acceptance.Counts(
    token_E, np.array(call_E), accepted_E, np.array(divergence_E)
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
  token_E = 2 * np.random.default_rng(0).integers(10, 30, N)
  got = acceptance.row(_counts(token_E, calls), _counts(token_E // 2, calls))
  expected = token_E.std() / 10 / N**0.5
  assert got['block_efficiency_stderr'] == pytest.approx(expected, rel=0.1)
  # Both drafters meet the same examples, so their ratio does not vary.
  assert got['change'] == pytest.approx(1)
  assert got['change_stderr'] < 1e-9


@pytest.fixture(scope='module', autouse=True)
def _short_answers():
  load = tasks.load
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(
      tasks,
      'load',
      lambda *args: dataclasses.replace(load(*args), max_new_tokens=24),
    )
    yield


@pytest.fixture(scope='module')
def folder(tiny_folder):
  return tiny_folder


def _study(folder, **changes):
  values = dict(pair=folder, task='word_problems', num_examples=5)
  values |= dict(gamma=3, batch_size=5)
  return config.parse(acceptance.Acceptance, values | changes)


def _compare(study):
  workload = study.workload(study.num_examples)
  drafters = acceptance.load_drafters(study, workload.pair)
  return list(acceptance.compare(study, workload, drafters))


def test_a_verifier_accepts_all_that_it_drafts_itself(folder):
  named = tuple(f'{role}={folder}/{role}.safetensors' for role in _ROLES)
  rows = _compare(_study(folder, drafters=named))
  assert [(x['drafter'], x['temperature']) for x in rows] == [
    *(('drafter', 0), ('verifier', 0), ('drafter', 1), ('verifier', 1)),
  ]
  for before, after in zip(rows[::2], rows[1::2], strict=True):
    assert before['acceptance'] < 0.95
    assert before['divergence'] > 0.05
    assert after['acceptance'] == 1
    assert after['divergence'] == pytest.approx(0, abs=1e-5)
    # Blocks are full but for an answer's last.
    assert 2 < after['block_efficiency'] <= 4
    ratio = after['block_efficiency'] / before['block_efficiency']
    assert after['change'] == pytest.approx(ratio - 1)
  # Neither the batch nor the other drafters change a row.
  (again,) = _compare(_study(folder, temperatures=(1.0,), batch_size=2))
  assert again.pop('drafter') == rows[2].pop('drafter')
  assert again == pytest.approx(rows[2], rel=1e-3, abs=1e-5)


def test_examples_of_any_length_stay_in_their_order(folder, monkeypatch):
  """Though those of one width are decoded together."""
  length_E = np.tile([30, 200, 40], 20)
  workload = types.SimpleNamespace(
    examples=[None] * 60, length_E=length_E, token_ExS=np.ones((60, 200), int)
  )
  widths = set()

  def decode(workload, prompts, settings, plan):
    widths.add(prompts.token_PxS.shape[1])
    example_B = prompts.example_P
    return types.SimpleNamespace(
      length_B=example_B,
      counts=types.SimpleNamespace(
        verifier_calls_B=example_B,
        accepted_B=example_B,
        divergence_B=prompts.length_P,
      ),
    )

  monkeypatch.setattr(batches, 'decode', decode)
  counts = acceptance._count(workload, None, _study(folder, batch_size=7))
  assert widths == {128, 256}
  np.testing.assert_array_equal(counts.token_E, np.arange(60))
  np.testing.assert_array_equal(counts.divergence_E, length_E)


def test_without_names_the_drafter_is_the_pair_s_own(folder):
  pair = pairs.load(folder)
  found = acceptance.load_drafters(_study(folder), pair)
  ((label, (model, params)),) = found.items()
  assert (label, model) == ('drafter', pair.drafter)
  jax.tree.map(np.testing.assert_array_equal, params, pair.drafter_params)


def test_a_drafter_takes_over_the_lengths_of_the_pair_s(folder):
  pair = pairs.load(folder)
  shorter = dataclasses.replace(pair.drafter.config, context_length=50)
  pair = dataclasses.replace(pair, drafter=registry.make_model(shorter))
  study = _study(folder, drafters=(f'own={folder}/drafter.safetensors',))
  ((model, _),) = acceptance.load_drafters(study, pair).values()
  assert model.longest_prompt(20) == pair.drafter.longest_prompt(20) < 50


@pytest.mark.skipif(jax.device_count() < 8, reason='needs 8 devices')
@pytest.mark.parametrize('devices', [None, 2])
def test_a_drafter_lies_as_the_pair_s_own(folder, devices):
  study = _study(
    folder, drafters=(f'own={folder}/drafter.safetensors',), mesh=(2, 4),
    drafter_devices=devices, stacked=True,
  )  # fmt: skip
  pair = study.load_pair()
  ((model, params),) = acceptance.load_drafters(study, pair).values()
  assert model == pair.drafter
  own, found = (
    jax.tree.map(lambda x: x.sharding, x) for x in (pair.drafter_params, params)
  )
  assert found == own
  assert any(not x.is_fully_replicated for x in jax.tree.leaves(found))


@pytest.mark.parametrize(
  ('changes', 'line'),
  [
    ({'num_examples': 1}, 'num_examples=1: it must be greater than or equal'),
    ({'temperatures': ()}, r'temperatures=\(\): '),
    ({'temperatures': (-1.0,)}, r'temperatures.0=-1.0: it must be'),
    ({'batch_size': 0}, 'batch_size=0: it must be'),
    ({'drafters': ('old',)}, 'must be label=checkpoint, got old'),
    ({'drafters': ('=file',)}, 'must be label=checkpoint, got =file'),
    ({'drafters': ('a=x', 'a=y')}, 'must have distinct labels'),
  ],
)
def test_a_fault_of_a_config_is_one_line(folder, changes, line):
  with pytest.raises(ValueError, match=line) as error:
    _study(folder, **changes)
  assert '\n' not in str(error.value)


def test_drafters_stay_in_the_order_given():
  given = config.template(acceptance.Acceptance, drafters=('new=a', 'before=b'))
  study = config.parse(acceptance.Acceptance, given)
  assert list(study.named.items()) == [('new', 'a'), ('before', 'b')]


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
  assert _cells(acceptance.table(rows))[2:] == [
    ['before', '0', '95.1%', '0.0488', '6.95 ± 0.14', '–'],
    ['after', '0', '95.1%', '0.0488', '6.95 ± 0.14', '+12.3% ± 1.1%'],
  ]
  hostile = [{**rows[0], 'drafter': 'a|b<c>\x1b[31m'}]
  assert r'| a\|b&lt;c>\\x1b[31m |' in acceptance.table(hostile)


def _cells(table):
  """The cells of each line of a table."""
  return [
    [cell.strip() for cell in line.strip('|').split('|')]
    for line in table.splitlines()
  ]


def test_the_command_prints_a_table_and_writes_its_rows(
  folder, tmp_path, capsys
):
  out = tmp_path / 'rows.jsonl'
  flags = [
    *(f'--config.pair={folder}', '--config.task=word_problems'),
    *('--config.num_examples=5', '--config.gamma=3', '--config.batch_size=5'),
    *('--config.temperatures=0.5', f'--out={out}'),
    f"--config.drafters=('own={folder}/drafter.safetensors',)",
  ]
  assert entry_point.call('acceptance', *flags) is None
  printed, error = capsys.readouterr()
  assert error == 'own at temperature 0.5\n'
  assert ['own', '0.5'] in [row[:2] for row in _cells(printed)]
  assert 'word_problems, pair pair, strict, γ = 3, 5 examples; ' in printed
  (row,) = map(json.loads, out.read_text().splitlines())
  assert (row['gamma'], row['drafter'], row['temperature']) == (3, 'own', 0.5)
  assert (row['task'], row['num_examples']) == ('word_problems', 5)
  written = out.read_bytes()
  for extra, line in (
    ([], f'{out} exists; choose another --out or delete it'),
    (
      [f'--out={out}.again', "--config.drafters=('x=nowhere',)"],
      'nowhere: no such checkpoint; check the path',
    ),
  ):
    assert entry_point.call('acceptance', *flags, *extra) == (
      f'acceptance: {line}'
    )
  assert out.read_bytes() == written
