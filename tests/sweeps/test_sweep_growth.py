"""A sweep takes up what is new, keeps what it has, and equals one made at once.

Decoding is a stand-in; `test_sweep_run` grows a sweep of models.
"""

import functools
import json
import os
import random
import shutil
import zlib

import pytest

from speccascade import pairs
from speccascade.decoding import replay
from speccascade.reports import report
from speccascade.reports.render import page
from speccascade.runs import records
from speccascade.storage import json_text, lines
from speccascade.sweeps import run
from tests.storage import fake_bucket
from tests.sweeps import fake_decode, kills, tiny_pair

_ALONE = ('verifier_alone', 'drafter_alone')
_COST = dict(schedules={'cost': ()}, schedule_gamma=4)


@pytest.fixture(scope='module')
def pair(tmp_path_factory):
  return tiny_pair.save(tmp_path_factory.mktemp('growth') / 'pair')


@pytest.fixture(scope='module')
def small(pair, tmp_path_factory):
  """The folder of a finished sweep, which costs of 1 were measured for."""
  folder = tmp_path_factory.mktemp('growth') / 'small'
  with pytest.MonkeyPatch.context() as patch:
    fake_decode.Decoder(patch)
    run.run(tiny_pair.sweep(pair), folder)
  return folder


@pytest.fixture(scope='module', autouse=True)
def _fast():
  """Pairs are loaded once, and nobody waits for the disk."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(pairs, 'load', functools.cache(pairs.load))
    patch.setattr(os, 'fsync', lambda file: None)
    yield


@pytest.fixture
def decoder(monkeypatch):
  return fake_decode.Decoder(monkeypatch)


@pytest.fixture
def folder(small, tmp_path):
  """A copy of that folder, to grow."""
  return shutil.copytree(small, tmp_path / 'grown')


def _methods(**changes):
  return {'strict': (), 'chow': (0.3,), 'token_v3': (0.2, 0.6)} | changes


_CHANGES = {
  'a value': dict(methods=_methods(chow=(0.2, 0.3))),
  'a neighbour': dict(methods=_methods(chow=(0.3000001,))),
  'a rule and a cascade': dict(
    methods=_methods(opt=(0.1,), token_cascade=(0.1,))
  ),
  'draft lengths': dict(gammas=(1, 3, 5, 6)),
  'schedules': dict(schedules={'confidence': (0.3, 0.6), 'cost': ()}),
  'samplings': dict(temperatures=(0.0, 0.5, 1.0), top_ps=(0.9, 1.0)),
  'examples': dict(num_examples=25),
  'turns': dict(trials=3, latency_examples=4, batch_size=3),
  'all': dict(
    methods=_methods(opt=(0.1,)), gammas=(3, 5), temperatures=(1.0, 0.5),
    num_examples=25, latency_examples=2, trials=4, batch_size=3, **_COST,
  ),
}  # fmt: skip


@pytest.mark.parametrize('change', _CHANGES.values(), ids=_CHANGES)
def test_a_grown_sweep_equals_one_made_at_once(
  pair, folder, decoder, tmp_path, change
):
  old = {p.name: p.read_bytes() for p in (folder / 'outputs').iterdir()}
  costs = json.loads((folder / 'costs.json').read_text())
  decoder.costs = 7.0  # The machine is slower now.
  grown = tiny_pair.sweep(pair, **change)
  found = run.run(grown, folder)
  new = decoder.outputs()
  assert new or decoder.timed
  assert decoder.most <= grown.batch_size
  for name, content in old.items():
    assert (folder / 'outputs' / name).read_bytes().startswith(content)
    own = [line for line in content.decode().splitlines()]
    known = {(x['id'], x['example']) for x in map(json.loads, own)}
    assert not known & set(new)
  assert len(set(new)) == len(new)
  again = json.loads((folder / 'costs.json').read_text())
  for field in ('verifier_block', 'prefill'):
    assert again[field].items() >= costs[field].items()

  at_once = tmp_path / 'at once'
  at_once.mkdir()
  shutil.copy(folder / 'costs.json', at_once)
  expected = run.run(grown, at_once)
  assert found[: len(expected)] == expected
  assert records.read(folder / 'records.jsonl') == found


def _run(pair, folder, **changes):
  return run.run(tiny_pair.sweep(pair, **changes), folder)


def test_what_shrinks_and_grows_again_is_not_decoded_again(
  pair, folder, decoder, capsys
):
  whole = records.read(folder / 'records.jsonl')
  half = _run(pair, folder, num_examples=5, methods={'strict': ()}, trials=1)
  assert {r['num_examples'] for r in half} == {5}
  assert len(half) == (2 + 2) * 2
  told = capsys.readouterr().out.splitlines()
  assert told[0].startswith('12 records of points that this config does not')
  assert _run(pair, folder) == whole
  # Points that the config leaves out stay while they compare.
  assert _run(pair, folder, methods={'strict': ()}) == sorted(
    whole, key=lambda r: r['method'] not in (*_ALONE, 'strict')
  )
  assert not decoder.calls
  assert not decoder.timed
  assert 'records' not in capsys.readouterr().out


def test_new_points_are_compared_within_turns_of_their_own(
  pair, folder, decoder
):
  old = (folder / 'timings.jsonl').read_bytes()
  decoder.seconds = 100.0  # The machine is slower now.
  found = _run(pair, folder, methods=_methods(chow=(0.3, 0.5)))
  content = (folder / 'timings.jsonl').read_bytes()
  assert content.startswith(old)
  turns = [json.loads(x) for x in content[len(old) :].splitlines()]
  assert [(t['temperature'], t['trial'], t['example']) for t in turns] == [
    (T, trial, 0) for T in (0.0, 1.0) for trial in range(2)
  ]
  for turn in turns:
    names = {name.split('-t')[0] for name in turn['answers']}
    assert names == {
      'verifier_alone', 'strict-g1', 'strict-g3',
      'chow-alpha0.5-g1', 'chow-alpha0.5-g3',
    }  # fmt: skip
  for record in found:
    new = record['parameters'] == {'alpha': 0.5}
    assert record['seconds'] == [100.0 if new else 1.0] * 2
    assert record['relative_latency'] == [1.0, 1.0]
    if record['strict_seconds']:
      assert record['strict_seconds'] == record['seconds']


def test_a_machine_that_is_slower_when_it_grows_changes_no_report(
  pair, decoder, tmp_path
):
  # Eighths of a second add up without rounding.
  digest = lambda name, e: zlib.crc32(f'{name} {e}'.encode())  # noqa: E731
  decoder.pace = lambda name, e: (1 + digest(name, e) % 8) / 8
  timed = dict(latency_examples=8, temperatures=(1.0,))
  grown = timed | dict(
    methods=_methods(chow=(0.2, 0.3, 0.5), opt=(0.1,)), gammas=(1, 3, 5)
  )
  at_once = _run(pair, tmp_path / 'at once', **grown)
  _run(pair, tmp_path / 'grown', **timed)
  decoder.seconds = 2.0
  found = _run(pair, tmp_path / 'grown', **grown)
  of = lambda records, field: [r[field] for r in records]  # noqa: E731
  assert of(found, 'seconds') != of(at_once, 'seconds')
  assert of(found, 'relative_latency') == of(at_once, 'relative_latency')
  texts = [page.markdown(report.sections(own)) for own in (found, at_once)]
  assert texts[0] == texts[1]


def test_it_grows_by_turns_that_a_kill_left_out(pair, folder, decoder):
  path = folder / 'timings.jsonl'
  whole = path.read_text().splitlines(keepends=True)
  path.write_text(''.join(whole[:1]))  # Of temperature 0, trial 0.
  (folder / 'records.jsonl').unlink()
  found = _run(pair, folder, methods=_methods(chow=(0.3, 0.5)))
  assert len({r['id'] for r in found}) == len(found) == 24
  sizes = [len(json.loads(line)['answers']) for line in path.open()]
  # Old and new points share the turns that all of them lack.
  assert sizes == [10, 5, 12, 12, 12]
  assert len({name for name, _ in decoder.timed}) == len(found)


def test_turns_that_are_deleted_are_taken_again(pair, folder, decoder):
  (folder / 'timings.jsonl').unlink()
  decoder.seconds = 100.0
  found = _run(pair, folder)
  assert {tuple(r['seconds']) for r in found} == {(100.0, 100.0)}
  assert not decoder.calls


def test_killed_at_any_byte_while_it_grows_it_equals_one_made_at_once(
  pair, small, decoder, tmp_path, monkeypatch
):
  folder, grown = shutil.copytree(small, tmp_path / 'grown'), _CHANGES['all']
  rng, killed = random.Random(0), 0
  for _ in range(12):
    with monkeypatch.context() as patch:
      kills.at(patch, 1 + rng.randrange(12_000))
      try:
        _run(pair, folder, **grown)
        break
      except kills.Killed:
        killed += 1
  assert killed > 5
  found = _run(pair, folder, **grown)
  at_once = tmp_path / 'at once'
  at_once.mkdir()
  shutil.copy(folder / 'costs.json', at_once)
  assert found == _run(pair, at_once, **grown)
  for path in (at_once / 'outputs').iterdir():
    kept = (folder / 'outputs' / path.name).read_text().splitlines()
    assert len(set(kept)) == len(kept)
    assert set(path.read_text().splitlines()) <= set(kept)


def test_a_sweep_on_gs_is_killed_and_grows_alike(
  pair, folder, decoder, monkeypatch
):
  bucket, grown = fake_bucket.install(monkeypatch), 'gs://bucket/grown'
  _run(pair, grown)
  for calls in (3, 30):
    bucket.failing = 'write', calls
    with pytest.raises(KeyboardInterrupt):
      _run(pair, grown, num_examples=25)
  bucket.failing = None
  found = _run(pair, grown, num_examples=25)
  assert found == _run(pair, folder, num_examples=25)
  kept = lines.read(f'{grown}/outputs/chow.jsonl')
  assert sorted(map(str, kept)) == sorted(
    map(str, lines.read(folder / 'outputs' / 'chow.jsonl'))
  )


def test_a_kill_leaves_the_records_of_the_smaller_sweep(
  pair, folder, decoder, monkeypatch
):
  old = (folder / 'records.jsonl').read_bytes()
  kills.at(monkeypatch, 2_000)
  with pytest.raises(kills.Killed):
    _run(pair, folder, num_examples=25)
  assert (folder / 'records.jsonl').read_bytes() == old


def test_timed_answers_are_kept_and_those_unlike_the_scored_are_told(
  pair, decoder, tmp_path
):
  decoder.unlike = (1,)
  found = _run(
    pair, tmp_path, latency_examples=4, trials=3, temperatures=(1.0,)
  )
  assert {r['timed_differs'] for r in found} == {0.25}
  for record in found:
    assert record['timed_tokens'] == record['example_tokens'][:4]
    calls = {
      'verifier_alone': record['timed_tokens'],
      'drafter_alone': [0] * 4,
    }.get(record['method'])
    if calls is None:
      texts = lines.read(tmp_path / 'outputs' / f'{record["method"]}.jsonl')
      name = record['id'].replace(f'-g{record["gamma"]}-', '-')
      kept = {x['example']: x['from_drafter'] for x in texts if x['id'] == name}
      calls = [
        replay.accepted_lengths([c == '1' for c in kept[e]], record['gamma'])
        for e in range(4)
      ]
      calls = [int(x.sum()) for x in calls]
    assert record['timed_calls'] == calls


def test_counts_under_measured_costs_are_repeated_by_their_copy(
  pair, decoder, tmp_path
):
  found = _run(pair, tmp_path / 'here', **_COST)
  decoder.costs = 7.0  # Another machine.
  other = _run(pair, tmp_path / 'other', **_COST)
  (tmp_path / 'copy').mkdir()
  shutil.copy(tmp_path / 'here' / 'costs.json', tmp_path / 'copy')
  copy = _run(pair, tmp_path / 'copy', **_COST)
  counts = lambda found: [r['counts'] for r in found]  # noqa: E731
  assert counts(copy) == counts(found) != counts(other)
  for record in found:
    measured = record['schedule'] == 'cost'
    assert (record['costs'] is not None) == measured
    if measured:
      assert record['cost_spread'] == 1.5
      # A step of 1 each; blocks of at most 1, 2, 3, 4 and 5 tokens of 1 + T.
      assert record['costs'] == [3.0, 5.0, 7.0, 9.0, 11.0]


def test_lines_of_other_costs_are_not_mixed_in(pair, decoder, tmp_path):
  _run(pair, tmp_path, **_COST)
  decoder.outputs()
  (tmp_path / 'costs.json').unlink()
  decoder.costs = 7.0
  found = _run(pair, tmp_path, **_COST)
  assert {name.split('-')[-5] for name, _ in decoder.outputs()} == {'cost'}
  assert {r['costs'][0] for r in found if r['costs']} == {15.0}


def test_a_finished_sweep_does_nothing_again(pair, folder, decoder, capsys):
  before = {p: p.read_bytes() for p in folder.rglob('*') if p.is_file()}
  _run(pair, folder, batch_size=2, max_prompt_tokens=100)
  after = {p: p.read_bytes() for p in folder.rglob('*') if p.is_file()}
  changed = [p.name for p in after if before[p] != after[p]]
  assert changed == ['config.json']
  assert not decoder.calls
  assert not capsys.readouterr().out


@pytest.mark.parametrize(
  ('file', 'field', 'value', 'told'),
  [
    ('outputs/chow.jsonl', 'score', None, 'lacks score'),
    ('outputs/chow.jsonl', 'tokens', 0, 'tokens must be at least 1'),
    ('outputs/chow.jsonl', 'from_drafter', '1' * 7, 'must have'),
    ('outputs/chow.jsonl', 'from_drafter', 'ab', 'of 0 and 1'),
    ('outputs/chow.jsonl', 'statistics', [], 'statistics must have 2 values'),
    ('outputs/chow.jsonl', 'divergence', -1, 'must not be negative'),
    ('outputs/chow.jsonl', 'id', 3, 'id must be str'),
    ('timings.jsonl', 'answers', None, 'lacks answers'),
    ('timings.jsonl', 'answers', {}, 'the answers of a point'),
    ('timings.jsonl', 'trial', None, 'lacks trial'),
    ('timings.jsonl', 'seconds', 0, 'seconds must be positive'),
    ('timings.jsonl', 'seconds', None, 'lacks seconds'),
    ('timings.jsonl', 'digest', 3, 'digest must be str'),
    ('examples.jsonl', 'prompt', None, 'lacks prompt'),
  ],
)
def test_a_damaged_line_is_named(
  pair, folder, decoder, file, field, value, told
):
  path = folder / file
  whole = path.read_text().splitlines()
  line = json_text.loads(whole[2])  # Without its checksum.
  own = line
  if field in ('seconds', 'digest'):
    own = next(iter(line['answers'].values()))
  if value is None:
    del own[field]
  else:
    own[field] = value
  path.write_text('\n'.join([*whole[:2], json.dumps(line), *whole[3:], '']))
  before = path.read_bytes()
  with pytest.raises(ValueError, match=told) as error:
    _run(pair, folder)
  assert f'{path}:3: ' in str(error.value)
  assert '\n' not in str(error.value)
  assert path.read_bytes() == before
  assert not decoder.calls


def test_a_line_that_is_there_twice_is_named(pair, folder, decoder):
  path = folder / 'outputs' / 'chow.jsonl'
  whole = path.read_bytes()
  path.write_bytes(whole + whole.split(b'\n')[0] + b'\n')
  with pytest.raises(ValueError, match=r'chow\.jsonl:21: a second output'):
    _run(pair, folder)
