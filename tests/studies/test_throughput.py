"""Requests to a tiny pair, and what is told of them."""

import itertools
import json
import types

import numpy as np
import pytest

from speccascade import config
from speccascade.reports.render import throughput as figure
from speccascade.runs import environment
from speccascade.storage import lines
from speccascade.studies import throughput
from tests.runs import entry_point

pytestmark = pytest.mark.usefixtures('few_widths')


def _study(folder, **fields):
  fields = {
    'pair': str(folder), 'task': 'word_problems', 'slots': (2, 3),
    'methods': ('verifier_alone', 'token_v3'), 'num_requests': 7,
    'num_examples': 4, 'turn_ms': 10.0, 'gammas': (2,),
  } | fields  # fmt: skip
  return config.parse(throughput.Throughput, fields)


def _rows(folder):
  text = (folder / 'requests.jsonl').read_text()
  return [json.loads(line) for line in text.splitlines()]


def test_every_cell_is_served_once(tiny_folder, tmp_path, monkeypatch):
  text = throughput.run(_study(tiny_folder), tmp_path)
  assert (tmp_path / 'table.md').read_text() == f'{text}\n'
  assert 'p99 TTFT, ms |' in text
  assert (tmp_path / 'throughput.png').stat().st_size > 10_000
  rows = _rows(tmp_path)
  assert [(row['method'], row['slots']) for row in rows] == [
    ('verifier_alone', 2), ('token_v3', 2),
    ('verifier_alone', 3), ('token_v3', 3),
  ]  # fmt: skip
  for few, many in (rows[::2], rows[1::2]):
    # By the simulated clock: turns of 10 ms; answers do not hang on the slots.
    assert few['duration'] == pytest.approx(0.01 * few['turns'])
    assert few['output_length'] == many['output_length']
    assert few['turns'] > many['turns']
    assert 0.5 < many['occupancy'] <= 1
    assert 0.1 < many['kv_cache_usage'] < many['occupancy']
    assert few['median_ttft_ms'] <= few['p99_ttft_ms'] <= few['duration'] * 1e3
  # A cascade has fewer turns than tokens.
  assert rows[1]['turns'] < rows[0]['turns']
  monkeypatch.setattr(throughput, '_measure', None)
  assert throughput.run(_study(tiny_folder), tmp_path) == text
  with pytest.raises(ValueError, match='changed: schedule_gamma'):
    throughput.run(_study(tiny_folder, schedule_gamma=3), tmp_path)
  # Of a revision that did not tell how full the caches were.
  (tmp_path / 'requests.jsonl').unlink()
  new = 'kv_cache_usage', 'crc32'
  with lines.Log(tmp_path / 'requests.jsonl') as log:
    log.append([{k: row[k] for k in row if k not in new} for row in rows])
  assert throughput.run(_study(tiny_folder), tmp_path).count(' nan ') == 4


def test_numbers_of_slots_stand_beside_their_dots_and_apart():
  rows = [
    {
      'method': 'strict', 'plan': plan, 'slots': slots, 'rate': 0,
      'output_throughput': y + 10 * slots, 'median_tpot_ms': slots,
      'median_ttft_ms': 100 - slots,
    }
    for y, plan in enumerate(('g5', 'g8', 'g8-load'))
    for slots in (1, 16, 64)
  ]  # fmt: skip
  fig = figure.draw(rows)
  assert fig.legends[0].get_title().get_text().endswith('slots')
  for ax in fig.axes:
    assert [text.get_text() for text in ax.texts] == ['1', '16', '64'] * 3
    boxes = [text.get_window_extent() for text in ax.texts]
    for one, other in itertools.combinations(boxes, 2):
      assert not one.overlaps(other)


def test_plans_are_lines_of_their_own(tiny_folder, tmp_path):
  study = _study(
    tiny_folder, methods=('verifier_alone', 'strict'), gammas=(2,),
    schedules=('load', 'adaptive'), schedule_gamma=3, slots=(3,),
    turn_ms=None, trials=2,
  )  # fmt: skip
  text = throughput.run(study, tmp_path)
  rows = {row['plan']: row for row in _rows(tmp_path)}
  assert len(_rows(tmp_path)) == 2 * len(rows)
  assert list(rows) == ['', 'g2', 'g3-load', 'g3-adaptive']
  for plan in rows:
    assert f'| {plan} ' in text or not plan
  # No plan changes an answer.
  drafted = [row for plan, row in rows.items() if plan]
  assert len({row['output_length'] for row in drafted}) == 1
  assert [plan for plan, row in rows.items() if 'costs' in row] == ['g3-load']
  cost_A = rows['g3-load']['costs']
  assert len(cost_A) == 5
  assert min(cost_A) > 0


def test_costs_are_of_the_calls_that_serve(tiny_folder, monkeypatch):
  """The device waits for none where all requests are there at once."""
  told = []

  def costs_A(made, params, queue, served):
    told.append(served)
    return np.ones(5)

  monkeypatch.setattr(throughput.calibration, 'costs_A', costs_A)
  monkeypatch.setattr(throughput.requests, 'serve', lambda *_: None)
  monkeypatch.setattr(throughput.requests, 'summary', lambda *_: {})
  study = _study(tiny_folder, turns=4, turn_ms=None)
  schedule = types.SimpleNamespace(measured=True)
  decoder = types.SimpleNamespace(schedule=schedule)
  made = types.SimpleNamespace(decoder=decoder, rows=3, room=9)
  queue = types.SimpleNamespace(replace=lambda **_: None)
  for rate in (0.0, 5.0):
    row = throughput._measure(study, 'g3-load', made, None, queue, rate)
    assert row == {'costs': [1.0] * 5}
  assert told == [None, 4]


def test_trials_take_turns_and_their_medians_are_told(
  tiny_folder, tmp_path, monkeypatch
):
  """A run that is killed goes on with the trials that are left."""
  speeds = iter([100.0, 50.0, 104.0, 56.0, 180.0, 52.0])

  def measure(*_):
    if (speed := next(speeds, None)) is None:
      raise AssertionError('measured again')
    return {
      name: speed for name in throughput._COLUMNS if name not in throughput._KEY
    }

  asked = []
  monkeypatch.setattr(
    throughput, '_asked', lambda *x: asked.append(x[2:]) or (None,) * 3
  )
  monkeypatch.setattr(throughput, '_measure', measure)
  study = _study(tiny_folder, slots=(2, 2), turn_ms=None)
  text = throughput.run(study, tmp_path)
  assert [(row['method'], row['trial']) for row in _rows(tmp_path)] == [
    (name, trial) for trial in range(3) for name in study.methods
  ]
  assert asked == [('verifier_alone', '', 2), ('token_v3', 'g2', 2)]
  assert _speeds(text) == ['104', '52']
  assert 'medians of 3, whose tokens/s differ by at most 80%' in text
  path = tmp_path / 'requests.jsonl'
  path.write_text(''.join(path.read_text().splitlines(True)[:-1]))
  speeds = iter([52.0])
  assert throughput.run(study, tmp_path) == text
  # Fewer are medians of those, more of all.
  few = _study(tiny_folder, slots=(2,), turn_ms=None, trials=1)
  told = throughput.run(few, tmp_path)
  assert _speeds(told) == ['100', '50']
  assert 'one run of each' in told
  many = _study(tiny_folder, slots=(2,), turn_ms=None, trials=5)
  speeds = iter([96.0, 10.0, 97.0, 11.0])
  assert _speeds(throughput.run(many, tmp_path)) == ['100', '50']


def test_a_folder_of_one_run_each_goes_on(tiny_folder, tmp_path, monkeypatch):
  study, path = _study(tiny_folder, slots=(2,)), tmp_path / 'requests.jsonl'
  text = throughput.run(study, tmp_path)
  rows = _rows(tmp_path)
  path.unlink()
  with lines.Log(path) as log:
    for row in rows:
      del row['trial'], row['crc32']
      log.append([row])
  monkeypatch.setattr(throughput, '_measure', None)
  assert throughput.run(study, tmp_path) == text


def test_trials_of_other_devices_are_not_mixed(
  tiny_folder, tmp_path, monkeypatch
):
  study = _study(tiny_folder, slots=(2,), methods=('strict',))
  text = throughput.run(study, tmp_path)
  monkeypatch.setattr(environment, '_device', lambda: 'a TPU')
  assert throughput.run(study, tmp_path) == text
  with pytest.raises(ValueError, match=r'created with device .*now a TPU'):
    throughput.run(_study(tiny_folder, slots=(2, 3)), tmp_path)


def _speeds(text):
  head, _, *lines = text.split('\n\n')[0].splitlines()
  at = [cell.strip() for cell in head.split('|')].index('tokens/s')
  return [line.split('|')[at].strip() for line in lines]


@pytest.mark.parametrize(
  ('fields', 'line'),
  [
    ({'methods': ('sequence_mean',)}, 'has no first token until'),
    ({'methods': ('lossy_beta',)}, 'takes more than alpha'),
    ({'methods': ('none',)}, "unknown method 'none'"),
    ({'rates': (-1.0,)}, 'rates.0=-1.0'),
    ({'schedules': ('cost',)}, "schedules='cost' must be load or adaptive"),
    ({'schedules': ('fixed',)}, 'must be load or adaptive'),
    ({'schedules': ('no',)}, "unknown schedule 'no'"),
    ({'gammas': ()}, 'one of them must name a plan'),
    ({'alpha': 1.5}, 'alpha=1.5 is out of range for token_v3'),
  ],
)
def test_a_fault_of_a_config_is_one_line(tiny_folder, fields, line):
  with pytest.raises(ValueError, match=line) as error:
    _study(tiny_folder, **fields)
  assert '\n' not in str(error.value)


def test_the_command(tiny_folder, tmp_path, capsys):
  ended = entry_point.call(
    'throughput',
    f'--workdir={tmp_path}',
    f'--config.pair={tiny_folder}',
    '--config.task=word_problems',
    '--config.slots=(2,)',
    "--config.methods=('strict',)",
    '--config.num_requests=3',
    '--config.num_examples=3',
    '--config.rates=(50.0,)',
    '--config.trials=1',
  )
  assert ended is None
  assert '| strict' in capsys.readouterr().out
  (row,) = _rows(tmp_path)
  assert row['rate'] == 50
