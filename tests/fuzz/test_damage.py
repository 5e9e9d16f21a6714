"""Random damage to what a run left on disk: sweeps, pairs and training runs.

A copy of a whole folder is damaged in one place and used again. It must be
refused in one line that names a file of it, or give what the whole one gives:
nothing that is damaged changes a result, and what is whole is not lost.
FUZZ_DAMAGE is how many copies are tried.
"""

import json
import os
import random
import re
import shutil
import time

import jax
import numpy as np
import pytest

from speccascade import checkpoints, pairs
from speccascade.pairs import provenance
from speccascade.runs import records
from speccascade.sweeps import run
from speccascade.training import data
from speccascade.training import loop as training_loop
from tests.sweeps import fake_decode, tiny_pair
from tests.training import stand_ins, sums

_NUMBER = int(os.environ.get('FUZZ_DAMAGE', '100'))
_SECONDS = 60.0  # More is a hang, even on a busy machine with a slow disk.
_SWEEPS, _PAIRS = 6 * _NUMBER // 10, 3 * _NUMBER // 10
_TRAININGS = _NUMBER // 10


# --- What may happen to a file.


def _flip_bits(path, rng):
  data = bytearray(path.read_bytes())
  for _ in range(rng.choice((1, 1, 8, 64))):
    if data:
      data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
  path.write_bytes(data)


def _change_a_digit(path, rng):
  data = path.read_bytes()
  places = [m.start() for m in re.finditer(rb'[0-9]', data)]
  if not places:
    _flip_bits(path, rng)
    return
  at = rng.choice(places)
  digit = str(rng.choice([d for d in range(10) if d != int(data[at : at + 1])]))
  path.write_bytes(data[:at] + digit.encode() + data[at + 1 :])


def _cut(path, rng):
  data = path.read_bytes()
  path.write_bytes(data[: rng.randrange(len(data) + 1)])


def _cut_at_a_line(path, rng):
  lines = path.read_bytes().split(b'\n')
  path.write_bytes(b'\n'.join(lines[: rng.randrange(len(lines))]) + b'\n')


def _drop_a_line(path, rng):
  lines = path.read_bytes().split(b'\n')
  del lines[rng.randrange(len(lines))]
  path.write_bytes(b'\n'.join(lines))


def _double_a_line(path, rng):
  lines = path.read_bytes().split(b'\n')
  lines.insert(rng.randrange(len(lines)), rng.choice(lines))
  path.write_bytes(b'\n'.join(lines))


def _append(path, rng):
  with open(path, 'ab') as f:
    f.write(rng.choice(_FOREIGN))


def _replace(path, rng):
  path.write_bytes(rng.choice(_FOREIGN))


def _delete(path, rng):
  path.unlink()


def _make_a_folder(path, rng):
  path.unlink()
  path.mkdir()


def _make_a_link(path, rng):
  path.unlink()
  path.symlink_to(rng.choice(('/nowhere/file', '/etc/hostname', '/dev/null')))


_FOREIGN = (
  b'',
  b'\n',
  b'[]',
  b'3',
  b'null',
  b'{}\n',
  b'{"id": "strict"}\n',
  b'{"id": 5, "example": null}\n',
  b'{"example": "0", "prompt": 3}\n',
  b'[' * 20_000,
  b'\xff\xfe{\x00}\x00',
  b'{"a": NaN}\n',
  b'{"a": 1e999}\n',
  b'{"schema": 99, "id": "x"}\n',
  '{"id": "\ud800"}\n'.encode('utf-8', 'surrogatepass'),
  random.Random(0).randbytes(200),
)
_DAMAGES = (
  _flip_bits,
  _flip_bits,
  _change_a_digit,
  _change_a_digit,
  _cut,
  _cut_at_a_line,
  _drop_a_line,
  _double_a_line,
  _append,
  _replace,
  _delete,
  _make_a_folder,
  _make_a_link,
)


def _damaged(whole, copy, seed):
  """Copies a folder and damages a file of it; returns what was done."""
  rng = random.Random(seed)
  shutil.copytree(whole, copy)
  files = sorted(x for x in copy.rglob('*') if x.is_file())
  path = rng.choice(files)
  damage = rng.choice(_DAMAGES)
  damage(path, rng)
  return f'{damage.__name__} {path.relative_to(copy)}'


def _use(call, copy, told):
  """What a call returns, or None where it refuses in a line."""
  start, found, refusal = time.monotonic(), None, None
  try:
    found = call()
  except (ValueError, OSError) as error:
    refusal = str(error)
  assert time.monotonic() - start < _SECONDS, told
  if refusal is not None:
    assert '\n' not in refusal, (told, refusal)
    assert copy.name in refusal, (told, refusal)
  return found


# --- Sweeps.


@pytest.fixture(scope='module')
def pair(tmp_path_factory):
  return tiny_pair.save(tmp_path_factory.mktemp('pair') / 'pair')


def _sweep(pair):
  return tiny_pair.sweep(
    pair,
    num_examples=4,
    latency_examples=2,
    methods={'strict': (), 'token_v3': (0.5,), 'bild_rollback': (1.0,)},
    schedules={'cost': ()},
  )


@pytest.fixture(scope='module')
def swept(pair, tmp_path_factory):
  """(a whole workdir, its records)."""
  workdir = tmp_path_factory.mktemp('swept') / 'whole'
  with pytest.MonkeyPatch.context() as patch:
    fake_decode.Decoder(patch)
    return workdir, run.run(_sweep(pair), workdir)


@pytest.mark.parametrize('part', range(4))
def test_a_damaged_sweep_is_refused_or_mended(
  part, pair, swept, tmp_path, monkeypatch
):
  whole, expected = swept
  fake_decode.Decoder(monkeypatch)
  mended = 0
  for seed in range(part, _SWEEPS, 4):
    copy = tmp_path / f'copy{seed}'
    told = f'{seed}: {_damaged(whole, copy, seed)}'
    outputs = _lines(copy)
    found = _use(lambda copy=copy: run.run(_sweep(pair), copy), copy, told)
    assert outputs <= _lines(copy), told  # Nothing is lost.
    if found is not None:
      mended += 1
      for x, y in zip(found, expected, strict=True):
        assert {k: x[k] for k in x if x[k] != y.get(k)} == {}, told
      assert records.read(copy / 'records.jsonl') == expected, told
    shutil.rmtree(copy)
  assert 0 < mended < _SWEEPS


def _lines(workdir):
  """All whole lines of what cannot be made of other files."""
  found = set()
  for path in (workdir / 'outputs').glob('*.jsonl'):
    if path.is_file() and not path.is_symlink():
      found |= {(path.name, x) for x in path.read_bytes().split(b'\n')[:-1]}
  return {(name, x) for name, x in found if _is_object(x)}


def _is_object(line):
  try:
    return isinstance(json.loads(line), dict)
  except (ValueError, RecursionError):
    return False


# --- Pairs.


@pytest.fixture(scope='module')
def told_pair(pair, tmp_path_factory):
  """The pair, with a provenance.json that tells of its files."""
  folder = tmp_path_factory.mktemp('told') / 'whole'
  shutil.copytree(pair, folder)
  shipped = json.loads(
    (pairs._SHIPPED / 'word_problems' / 'provenance.json').read_text()
  )
  loaded = pairs.load(str(folder))
  values = {}
  for role, params in zip(provenance.ROLES, loaded.params, strict=True):
    values[role] = {
      'config': {'length': 200},
      'num_params': sum(x.size for x in jax.tree.leaves(params)),
      'origin': {'tokenizer': shipped[role]['origin']['tokenizer']},
    }
  (folder / 'provenance.json').write_text(json.dumps(values))
  return folder


def test_a_damaged_pair_is_refused_or_the_same(told_pair, tmp_path):
  expected = pairs.load(str(told_pair))
  same = 0
  for seed in range(_PAIRS):
    copy = tmp_path / f'copy{seed}'
    told = f'{seed}: {_damaged(told_pair, copy, seed)}'
    found = _use(lambda copy=copy: pairs.load(str(copy)), copy, told)
    if found is None or 'provenance' in told:  # What it told is gone.
      continue
    same += 1
    assert (found.drafter, found.verifier) == (
      expected.drafter,
      expected.verifier,
    ), told
    jax.tree.map(np.testing.assert_array_equal, found.params, expected.params)
    shutil.rmtree(copy)
  assert same < _PAIRS


# --- Training runs.


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
  """(the folder of a whole run, its model)."""
  folder = tmp_path_factory.mktemp('trained')
  with stand_ins.compiled_once(folder / 'programs'):
    _train(folder / 'whole')
    yield (
      folder / 'whole',
      checkpoints.load(folder / 'whole' / 'tiny.safetensors'),
    )


def _train(workdir):
  settings = stand_ins.settings(num_steps=6, save_every=2, eval_every=6)
  examples = (
    data.tokenize(sums.Sums(), sums.Characters(), split, count, length=13)
    for split, count in (('train', 50), ('validation', 16))
  )
  training_loop.train(settings, stand_ins.model(), *examples, workdir)


@pytest.mark.thorough
def test_a_damaged_training_run_is_refused_or_mended(trained, tmp_path):
  whole, (_, expected) = trained
  for seed in range(_TRAININGS):
    copy = tmp_path / f'copy{seed}'
    told = f'{seed}: {_damaged(whole, copy, seed)}'
    if _use(lambda copy=copy: _train(copy) or True, copy, told) is None:
      continue
    _, found = checkpoints.load(copy / 'tiny.safetensors')
    for x, y in zip(
      jax.tree.leaves(found), jax.tree.leaves(expected), strict=True
    ):
      np.testing.assert_array_equal(x, y, err_msg=told)
    shutil.rmtree(copy)
