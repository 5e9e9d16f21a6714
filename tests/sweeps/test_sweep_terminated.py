"""SIGTERM lets a sweep finish what is at hand, and no more."""

import pathlib
import signal

import pytest

from speccascade.runs import process, records
from speccascade.storage import lines
from speccascade.sweeps import latency, quality, run
from tests.sweeps import fake_decode, tiny_pair

_SMALL = dict(latency_examples=3, trials=2, num_examples=8, batch_size=3)


@pytest.fixture(scope='module')
def pair(tmp_path_factory):
  return tiny_pair.save(tmp_path_factory.mktemp('terminated') / 'pair')


def _lines(folder):
  """{file: its lines}."""
  return {
    path.name: lines.read(path)
    for pattern in ('outputs/*.jsonl', 'timings.jsonl')
    for path in pathlib.Path(folder).glob(pattern)
  }


@pytest.mark.parametrize(
  ('module', 'name'),
  [(quality, '_keep'), (latency, '_answer'), (run.record, 'make')],
)
def test_what_is_at_hand_is_kept_and_the_rest_made_after(
  pair, tmp_path, monkeypatch, module, name
):
  """One batch of outputs, one turn, the records of a temperature."""
  fake_decode.Decoder(monkeypatch)
  monkeypatch.setattr(quality, '_SIDE_BY_SIDE', 1)
  sweep = tiny_pair.sweep(pair, temperatures=(0.0, 1.0), **_SMALL)
  whole = run.run(sweep, tmp_path / 'whole')
  done, calls = getattr(module, name), []

  def instead(*args):
    calls.append(args)
    if len(calls) == 2:
      signal.raise_signal(signal.SIGTERM)
    return done(*args)

  handler = signal.getsignal(signal.SIGTERM)
  with monkeypatch.context() as patch:
    patch.setattr(module, name, instead)
    with pytest.raises(process.Terminated, match='^the same command goes on$'):
      run.run(sweep, tmp_path / 'run')
  assert signal.getsignal(signal.SIGTERM) is handler
  kept = _lines(tmp_path / 'run')
  told = records.read(tmp_path / 'run' / 'records.jsonl')
  if module is quality:
    found = sum(map(len, kept.values()))
    assert 0 < found < sum(map(len, _lines(tmp_path / 'whole').values())) // 2
  elif module is latency:
    assert len(kept['timings.jsonl']) == 1
  assert len(told) == (len(whole) // 2 if module is run.record else 0)
  assert run.run(sweep, tmp_path / 'run') == whole
  for file, own in _lines(tmp_path / 'run').items():
    assert own[: len(kept.get(file, ()))] == kept.get(file, [])
