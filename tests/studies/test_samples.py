"""Several answers to each prompt: what is decoded, kept and told."""

import collections
import dataclasses
import json
import threading

import numpy as np
import pytest

from speccascade import config, generation, pairs
from speccascade.decoding import schedules
from speccascade.reports.render import samples as figure
from speccascade.studies import samples
from speccascade.sweeps import points, served
from speccascade.tasks import base
from tests.runs import entry_point
from tests.sweeps import tiny_pair


@pytest.fixture
def short():
  undo = tiny_pair.shorten(10)
  yield
  undo()


def _study(folder, **fields):
  fields = {
    'pair': folder, 'task': 'word_problems', 'num_examples': 5, 'slots': 3,
    'methods': ('verifier_alone', 'strict'), 'gamma': 2, 'samples': 3,
    'ks': (3, 1),
  } | fields  # fmt: skip
  return config.parse(samples.Samples, fields)


def _lines(folder):
  text = (folder / 'samples.jsonl').read_text()
  return [json.loads(line) for line in text.splitlines()]


def _judge(self, outputs, references):
  """An output is right if its first character is even."""
  right = [float(ord((x or ' ')[0]) % 2 == 0) for x in outputs]
  return [base.Judged(x, [x, 1], {}) for x in right]


@pytest.fixture
def decoded(tiny_folder, tmp_path, monkeypatch, short):
  monkeypatch.setattr(base.SourceTask, 'judge', _judge)
  text = samples.run(_study(tiny_folder), tmp_path)
  return text, tmp_path


def test_each_answer_is_kept_once_and_told(decoded, tiny_folder):
  text, folder = decoded
  found = _lines(folder)
  keys = [(x['method'], x['example'], x['sample']) for x in found]
  assert len(set(keys)) == len(keys) == 2 * 5 * 3
  assert (folder / 'table.md').read_text() == f'{text}\n'
  assert (folder / 'samples.png').read_bytes().startswith(b'\x89PNG')
  right = collections.Counter()
  for line in found:
    right[line['method'], line['example']] += line['score'] == 1
  for row, name in zip(
    text.splitlines()[2:4], ('verifier_alone', 'strict'), strict=True
  ):
    cells = [cell.strip() for cell in row.strip('|').split('|')]
    own = [right[name, e] for e in range(5)]
    assert 0 < sum(own) < 15
    assert cells[0] == name
    assert cells[1].startswith(f'{100 * np.mean(own) / 3:.1f}% ±')
    assert cells[2].startswith(f'{100 * np.mean(np.array(own) > 0):.1f}% ±')
    tokens = [x['tokens'] for x in found if x['method'] == name]
    assert cells[-2] == f'{np.mean(tokens):.1f}'
  # A verifier alone is called for each token.
  assert cells[-1] > '1.00'
  assert text.splitlines()[2].rstrip(' |').endswith(' 1.00')


def test_a_drafter_alone_calls_no_verifier(tiny_folder, tmp_path, short):
  text = samples.run(_study(tiny_folder, methods=('drafter_alone',)), tmp_path)
  assert text.splitlines()[2].rstrip(' |').endswith('–')
  assert {line['verifier_calls'] for line in _lines(tmp_path)} == {0}


def test_answers_are_scored_while_others_are_decoded(
  tiny_folder, tmp_path, monkeypatch, short
):
  decode, goes_on = served.samples, threading.Event()

  def samples_of(*args):
    for n, ended in enumerate(decode(*args)):
      if n:
        goes_on.set()
      yield ended

  def judge(*args):
    assert goes_on.wait(60)
    return _judge(*args)

  monkeypatch.setattr(served, 'samples', samples_of)
  monkeypatch.setattr(base.SourceTask, 'judge', judge)
  samples.run(_study(tiny_folder, methods=('drafter_alone',)), tmp_path)
  assert len(_lines(tmp_path)) == 5 * 3


def test_a_killed_run_decodes_what_lacks(decoded, tiny_folder, monkeypatch):
  text, folder = decoded
  path, asked, decode = folder / 'samples.jsonl', [], served.samples
  before = path.read_text().splitlines(keepends=True)
  gone = [x for x in before if '"example": 2' in x or '"example":2' in x]
  assert len(gone) == 6
  path.write_text(''.join(x for x in before if x not in gone[:5]))

  def spy(workload, items, *rest):
    asked.extend((s.method, e) for s, e in items)
    return decode(workload, items, *rest)

  monkeypatch.setattr(served, 'samples', spy)
  assert samples.run(_study(tiny_folder), folder) == text
  assert set(asked) <= {('verifier_alone', 2), ('strict', 2)}
  assert sorted(path.read_text().splitlines(keepends=True)) == sorted(before)
  asked.clear()
  samples.run(_study(tiny_folder, ks=(2,), num_examples=4), folder)
  assert not asked
  with pytest.raises(ValueError, match='changed: samples'):
    samples.run(_study(tiny_folder, samples=4), folder)


@pytest.mark.parametrize(
  'name',
  [
    'strict',
    'sequence_mean',
    pytest.param('drafter_alone', marks=pytest.mark.thorough),
  ],
)
def test_answers_are_those_of_generate(tiny_folder, short, name):
  pair = pairs.load(tiny_folder)
  workload = _study(tiny_folder).workload(3)
  setting = points.Setting(
    name, (0.99,) if name == 'sequence_mean' else (), 1.0, 1.0, 0, 4
  )
  plan = schedules.Plan(2) if name == 'strict' else None
  found = {}
  for own, result in served.samples(
    workload, [(setting, e) for e in range(3)], plan, 4, 128, 2
  ):
    for row, ((_, e), i) in enumerate(own):
      found[e, i] = result.token_BxN[row, : result.length_B[row]].tolist()
  wanted = generation.generate(
    pair,
    [example.prompt for example in workload.examples],
    method=name,
    values=setting.values,
    gamma=2,
    temperature=1.0,
    max_new_tokens=10,
    seed=4,
    samples=2,
    stop=workload.task.stop,
  )
  assert found == {
    divmod(i, 2): list(answer.tokens) for i, answer in enumerate(wanted)
  }
  assert found[0, 0] != found[0, 1]


@pytest.mark.parametrize(
  ('fields', 'line'),
  [
    ({'ks': (1, 4)}, 'must not exceed samples=3'),
    ({'ks': ()}, 'ks'),
    ({'temperature': 0.0}, 'temperature'),
    ({'methods': ('lossy_beta',)}, 'takes more than alpha'),
    ({'methods': ('chow',), 'alpha': 2.0}, 'alpha=2 is out of range'),
    ({'methods': ('chow', 'chow')}, 'methods'),
  ],
)
def test_what_is_wrong_is_told_in_a_line(tiny_folder, fields, line):
  with pytest.raises(ValueError, match=line) as error:
    _study(tiny_folder, **fields)
  assert '\n' not in str(error.value)


def test_a_task_without_right_and_wrong_is_refused(tiny_folder, tmp_path):
  study = _study(tiny_folder, task='translation')
  with pytest.raises(ValueError, match='is measured by bleu: pass@k is of'):
    samples.run(study, tmp_path / 'new')
  assert not (tmp_path / 'new').exists()


def test_a_curve_has_its_errors():
  fig = figure.draw({'strict': {1: (0.2, 0.01), 4: (0.5, 0.02)}})
  (ax,) = fig.axes
  (bars,) = ax.containers
  np.testing.assert_allclose(bars[0].get_xydata(), [[1, 20], [4, 50]])
  assert [x.get_text() for x in ax.get_legend().get_texts()] == ['strict']


@pytest.mark.parametrize('rate', [0.0, 1.0])
def test_the_axis_has_no_rates_that_there_are_not(rate):
  (ax,) = figure.draw({'strict': {1: (rate, 0.0), 4: (rate, 0.0)}}).axes
  low, high = ax.get_ylim()
  assert 0 <= low <= high - 1 < high <= 100


def test_the_command(tiny_folder, tmp_path, short, capsys):
  code = entry_point.call(
    'samples',
    f'--workdir={tmp_path}',
    f'--config.pair={tiny_folder}',
    '--config.task=word_problems',
    '--config.num_examples=2',
    '--config.samples=2',
    '--config.ks=(1, 2)',
    "--config.methods=('verifier_alone',)",
  )
  assert code is None
  assert 'pass@2' in capsys.readouterr().out


@pytest.mark.parametrize('metric', ['bleu', 'answered'])
def test_answers_must_be_right_or_wrong(tiny_folder, tmp_path, metric, short):
  study = _study(tiny_folder)
  workload = study.workload(3)
  task = dataclasses.replace(workload.task, metric=metric)
  workload = dataclasses.replace(workload, task=task)
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(samples.Samples, 'workload', lambda *_: workload)
    with pytest.raises(ValueError, match=f'measured by {metric}: pass@k'):
      samples.run(study, tmp_path)
  assert not [*tmp_path.iterdir()]
