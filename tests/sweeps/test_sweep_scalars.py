"""TensorBoard scalars of a sweep: those of its records, whatever killed it."""

import collections

import pytest

from speccascade.runs import memory, records
from speccascade.storage import lines
from speccascade.sweeps import latency, outputs, run
from tests.runs import event_files
from tests.sweeps import fake_decode, kills, tiny_pair

E = 40
_STEPS = [*range(2, E + 1, 2)]
# Every form of job: models alone, cascades of whole answers, replayed texts,
# counts of another schedule, and texts that depend on the plan.
_CONFIG = dict(
  methods={
    'strict': (), 'chow': (0.3,), 'sequence_mean': (0.3,),
    'token_cascade': (0.5,),
  },
  gammas=(1, 3), schedules={'cost': ()}, temperatures=(0.0,),
  num_examples=E, batch_size=12, trials=2, latency_examples=2,
)  # fmt: skip


@pytest.fixture(scope='module')
def pair(tmp_path_factory):
  return tiny_pair.save(tmp_path_factory.mktemp('scalars') / 'pair')


@pytest.fixture(autouse=True)
def decoder(monkeypatch):
  texts = outputs.texts

  def scored(workload, result, rows):
    lines = texts(workload, result, rows)
    for line, example in zip(lines, rows.values(), strict=True):
      line['statistics'] = [example % 3 / 2, 1.0]  # Answers are of chance.
    return lines

  monkeypatch.setattr(outputs, 'texts', scored)
  return fake_decode.Decoder(monkeypatch)


def _sweep(pair, **changes):
  return tiny_pair.sweep(pair, **_CONFIG | changes)


def _told(folder):
  """{tag: {step: value}}; fails where a step is told twice or out of order."""
  found = collections.defaultdict(dict)
  for tag, step, value in event_files.scalars(folder):
    assert step > max(found[tag], default=0), tag
    found[tag][step] = value
  return found


def _check(told, rows, num_examples):
  """The last scalars of each point are those of its record."""
  expected = {}
  for row in rows:
    counts, names = row['counts'], {}
    for name in ('quality', 'output_length'):
      names[name] = row[name]
    if counts['drafted']:
      names['acceptance_rate'] = counts['accepted'] / counts['drafted']
      names['block_efficiency'] = row['block_efficiency']
    # Each timed answer takes a second.
    names['tokens_per_second'] = sum(row['timed_tokens']) / 2
    expected |= {f'{name}/{row["id"]}': x for name, x in names.items()}
  last = {tag: own[num_examples] for tag, own in told.items()}
  assert last.keys() == expected.keys()
  assert last == pytest.approx(expected, rel=1e-6)


def test_each_point_ends_with_the_numbers_of_its_record(pair, tmp_path):
  rows = run.run(_sweep(pair), tmp_path)
  told = _told(tmp_path)
  _check(told, rows, E)
  for row in rows:
    quality = told[f'quality/{row["id"]}']
    is_replayed = row['method'] in ('strict', 'chow') and (
      row['schedule'], row['gamma']
    ) != ('fixed', 3)  # fmt: skip
    assert [*quality] == ([E] if is_replayed else _STEPS)
  assert any(len(set(own.values())) > 5 for own in told.values())


def test_a_kill_neither_loses_nor_doubles_any(pair, tmp_path, monkeypatch):
  run.run(_sweep(pair), tmp_path / 'calm')
  calm = _told(tmp_path / 'calm')
  folder, killed, rows = tmp_path / 'killed', 0, None
  while rows is None:
    with monkeypatch.context() as patch:
      kills.at(patch, 9_000 + killed)  # More than a record.
      try:
        rows = run.run(_sweep(pair), folder)
      except kills.Killed:
        killed += 1
  assert killed > 4
  told = _told(folder)
  _check(told, rows, E)
  assert {t: [*own] for t, own in told.items()} == {
    t: [*own] for t, own in calm.items()
  }


def test_an_output_that_is_decoded_again_counts_once(
  pair, tmp_path, monkeypatch
):
  append = lines.Log.append

  def append_but_chow(log, objects):
    if log._path.name == 'chow.jsonl':
      raise kills.Killed
    append(log, objects)

  with monkeypatch.context() as patch:
    patch.setattr(lines.Log, 'append', append_but_chow)
    with pytest.raises(kills.Killed):
      run.run(_sweep(pair), tmp_path)
  assert lines.read(tmp_path / 'outputs' / 'strict.jsonl')
  assert not lines.read(tmp_path / 'outputs' / 'chow.jsonl')
  rows = run.run(_sweep(pair), tmp_path)
  _check(_told(tmp_path), rows, E)


def test_what_is_flushed_is_there_while_the_sweep_goes_on(
  pair, tmp_path, monkeypatch
):
  seen = []

  def measure(*_):
    seen.append(_told(tmp_path))
    raise kills.Killed

  monkeypatch.setattr(latency, 'measure', measure)
  with pytest.raises(kills.Killed):
    run.run(_sweep(pair), tmp_path)
  (told,) = seen
  assert {tuple(own) for own in told.values()} == {tuple(_STEPS)}
  ids = collections.Counter(tag.partition('/')[2] for tag in told)
  assert len(ids) == 6  # Two models, two of whole answers, two at one gamma.


def test_another_number_of_examples_has_its_own_steps(pair, tmp_path):
  for number in (E, 60, 20):
    rows = run.run(_sweep(pair, num_examples=number), tmp_path)
    told = _told(tmp_path)
    _check(told, rows, number)
    assert max(max(own) for own in told.values()) == number


def test_memory_is_told_once_before_and_once_after_a_batch(
  pair, tmp_path, decoder, monkeypatch
):
  told = []
  monkeypatch.setattr(
    memory, 'tell', lambda when: told.append((when, len(decoder.calls) > 0))
  )
  run.run(_sweep(pair), tmp_path)
  assert told == [
    ('with the models loaded', False), ('after the first answers', True)
  ]  # fmt: skip
  assert len(records.read(tmp_path / 'records.jsonl'))
