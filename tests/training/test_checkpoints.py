"""Checkpoints that are torn, stray, flipped or of another run."""

import asyncio
import gc
import pickle
import random
import resource
import shutil

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from etils import epath

from speccascade.storage import files
from speccascade.training import checkpoints
from tests.storage import fake_bucket

_DAMAGES = 200
_IDENTITY = {'data': 'a', 'config': {'seed': 1}}


def _state(step):
  rng = np.random.default_rng(step)
  return {
    'step': np.int32(step),
    'params': {'w': rng.normal(size=(64, 65)).astype(np.float32)},
    'optimizer': (np.full((2, 2), step, np.int32), np.float32(step / 3)),
  }


def _place(*spec):
  return jax.NamedSharding(jax.make_mesh((8,), ('x',)), jax.P(*spec))


def _shapes(state, place=None):
  place = place or _place()
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), state
  )


def _save(folder, *steps, **identity):
  for step in steps:
    state, run = jax.device_put(_state(step)), {'seconds': step / 7}
    checkpoints.save(folder, step, state, run, _IDENTITY | identity)


def _restore(folder):
  return checkpoints.restore(folder, _shapes(_state(0)), _IDENTITY)


def _check(found, step):
  """The state and the rest are those of a step."""
  state, run = found
  jax.tree.map(np.testing.assert_array_equal, state, _state(step))
  assert run == {'seconds': step / 7}


@pytest.fixture(scope='module')
def saved(tmp_path_factory):
  folder = tmp_path_factory.mktemp('run') / 'checkpoints'
  _save(folder, 2, 6, 12)
  return folder


@pytest.fixture
def folder(saved, tmp_path):
  return shutil.copytree(saved, tmp_path / 'checkpoints')


def _names(folder):
  return sorted(path.name for path in folder.iterdir())


def test_the_last_two_are_kept_and_the_newest_is_gone_on_from(folder):
  assert _names(folder) == ['12', '12.json', '6', '6.json']
  _check(_restore(folder), 12)
  assert checkpoints.restore(folder / 'none', {}, _IDENTITY) is None


def test_arrays_are_restored_to_where_they_are_wanted(tmp_path):
  w = np.arange(128, dtype=np.float32).reshape(16, 8)
  state = {'w': jax.device_put(w, _place('x'))}
  checkpoints.save(tmp_path, 1, state, {}, {})
  wanted = _shapes(state, _place(None, 'x'))
  found, _ = checkpoints.restore(tmp_path, wanted, {})
  assert found['w'].sharding == wanted['w'].sharding
  np.testing.assert_array_equal(found['w'], w)


class _Orbax:
  """Writes to a bucket in memory, which the real one cannot."""

  def __enter__(self):
    return self

  def __exit__(self, *error):
    pass

  def save(self, path, state):
    (path / 'd').mkdir(parents=True)
    (path / 'd' / 'state').write_bytes(pickle.dumps(jax.device_get(state)))

  def restore(self, path, shapes):
    return pickle.loads((path / 'd' / 'state').read_bytes())


def test_a_bucket_holds_checkpoints_too(monkeypatch, capsys):
  fake_bucket.install(monkeypatch)
  monkeypatch.setattr(ocp, 'StandardCheckpointer', _Orbax)
  folder = epath.Path('gs://bucket/run/checkpoints')
  _save(folder, 2, 6, 12)
  _check(_restore(folder), 12)
  _flip(folder / '12' / 'd' / 'state')
  _check(_restore(folder), 6)
  assert capsys.readouterr().out.startswith(f'{folder}/12: its file d/state is')
  _save(folder, 12)
  _check(_restore(folder), 12)
  names = ['12', '12.damaged', '12.json', '12.json.damaged', '6', '6.json']
  assert _names(folder) == names


def _flip(path, offset=-40, count=1):
  data = bytearray(path.read_bytes())
  for i in range(len(data))[offset:][:count]:
    data[i] ^= 0xFF
  path.write_bytes(data)


def _cut(path):
  path.write_bytes(path.read_bytes()[:-20])


def _state_file(path):
  return max(path.glob('ocdbt.process_0/d/*'), key=lambda x: x.stat().st_size)


def _manifest(path):
  return path.with_name(f'{path.name}.json')


def _rename(path):
  path.rename(path.with_name('13'))
  _manifest(path).rename(path.with_name('13.json'))


def _replace_by_file(path):
  shutil.rmtree(path)
  path.touch()


def _replace_by_folder(path):
  path.unlink()
  path.mkdir()


_DAMAGE = {
  'state flipped': lambda path: _flip(_state_file(path)),
  'state cut': lambda path: _cut(_state_file(path)),
  'state gone': lambda path: _state_file(path).unlink(),
  'state elsewhere': lambda path: _state_file(path).rename(path / 'd' / 'x'),
  'metadata garbled': lambda path: _flip(path / '_CHECKPOINT_METADATA'),
  'metadata empty': lambda path: (path / '_METADATA').write_bytes(b''),
  'file too many': lambda path: (path / 'd' / 'x').touch(),
  'folder gone': shutil.rmtree,
  'folder is a file': _replace_by_file,
  'manifest gone': lambda path: _manifest(path).unlink(),
  'manifest cut': lambda path: _cut(_manifest(path)),
  'manifest empty': lambda path: _manifest(path).write_bytes(b''),
  'manifest flipped': lambda path: _flip(_manifest(path), 20),
  'manifest is a list': lambda path: _manifest(path).write_text('[]'),
  'manifest is another': lambda path: _manifest(path).write_text(
    '{"told": {}}'
  ),
  'manifest is a folder': lambda path: _replace_by_folder(_manifest(path)),
  'of another step': _rename,
}


@pytest.mark.parametrize('damage', _DAMAGE.values(), ids=_DAMAGE)
def test_a_damaged_one_is_named_and_the_one_before_goes_on(
  folder, damage, capfd
):
  damage(folder / '12')
  last = set(_names(folder)) - {'6', '6.json'}
  _check(_restore(folder), 6)
  told, errors = capfd.readouterr()
  told = told.splitlines()
  assert len(told) == 2
  assert told[0].startswith(f'{folder / min(last).removesuffix(".json")}: ')
  assert told[0].endswith(f'; it is now {min(last)}.damaged')
  assert told[1] == 'going on from step 6'
  assert not errors
  assert set(_names(folder)) == {'6', '6.json', *(f'{x}.damaged' for x in last)}
  _save(folder, 12)  # The same step again.
  _check(_restore(folder), 12)


def test_a_stray_one_does_not_stop_the_later_ones(folder, capsys):
  (folder / '999').mkdir()
  (folder / '14').write_text('mine')
  (folder / 'notes.txt').write_text('mine')
  _check(_restore(folder), 12)
  assert '999: not whole, as 999.json is missing;' in capsys.readouterr().out
  (folder / '24').mkdir()
  _save(folder, 18, 24)
  _check(_restore(folder), 24)
  assert set(_names(folder)) == {
    *('14.damaged', '24.damaged', '999.damaged', 'notes.txt'),
    *('18', '18.json', '24', '24.json'),
  }


def test_one_of_another_run_is_passed_over(folder, capsys):
  _save(folder, 24, data='b', config={'seed': 2})
  _check(_restore(folder), 12)
  assert 'of another run (data, config differ)' in capsys.readouterr().out


@pytest.mark.parametrize(
  'w',
  [
    np.zeros((63, 65), np.float32),  # Which Orbax would fill up or cut.
    np.zeros((64, 65), np.float16),  # Which it would cast.
    {'w': np.zeros((64, 65), np.float32)},
  ],
)
def test_one_of_another_model_is_passed_over(folder, w, capsys):
  other = jax.device_put(_state(24) | {'params': {'w': w}})
  checkpoints.save(folder, 24, other, {}, _IDENTITY)
  _check(_restore(folder), 12)
  assert "another model (['params']['w'] differs)" in capsys.readouterr().out


def test_a_second_damaged_one_of_a_step_keeps_the_first(folder):
  for _ in range(2):
    (folder / '24').mkdir()
    _check(_restore(folder), 12)
  assert {'24.damaged', '24.damaged1'} < set(_names(folder))


def test_without_a_whole_one_nothing_is_changed_or_started(folder):
  names = _names(folder)
  _flip(folder / '6.json')
  _flip(_state_file(folder / '12'))
  with pytest.raises(
    ValueError, match='no checkpoint in .*use a new --workdir'
  ) as error:
    _restore(folder)
  assert str(error.value).isprintable()
  assert len(str(error.value)) < 600
  assert _names(folder) == names


def test_what_is_whole_is_not_blamed_for_what_orbax_raises(folder, monkeypatch):
  def fail(*_):
    raise Exception('no\n  memory')  # As it does.

  names = _names(folder)
  monkeypatch.setattr(ocp.StandardCheckpointer, 'restore', fail)
  with pytest.raises(ValueError, match='/12: Orbax failed: no memory$'):
    _restore(folder)
  assert _names(folder) == names


@pytest.mark.filterwarnings('error::pytest.PytestUnraisableExceptionWarning')
def test_a_full_disk_is_one_line_and_leaves_the_older_ones(
  folder, capfd, caplog
):
  limits = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
  try:
    with pytest.raises(OSError, match='File too large: .*/18') as error:
      _save(folder, 18)
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
  assert error.value.filename == f'{folder}/18'
  assert not caplog.records
  assert capfd.readouterr() == ('', '')
  _check(_restore(folder), 12)
  _save(folder, 24)
  assert _names(folder) == ['12', '12.json', '24', '24.json']


@pytest.mark.parametrize(
  ('told', 'is_muted'),
  [('Error writing "w/0" in OCDBT database', True), ('of our own', False)],
)
def test_of_futures_that_nobody_awaits_those_of_arrays_are_mute(
  told, is_muted, caplog
):
  loop = asyncio.new_event_loop()
  loop.create_future().set_exception(ValueError(told))
  gc.collect()
  loop.close()
  assert (told not in caplog.text) == is_muted


@pytest.mark.parametrize('is_first', [False, True])
@pytest.mark.parametrize('moment', range(6))
def test_a_kill_at_any_moment_leaves_the_older_ones(
  folder, moment, is_first, monkeypatch, capfd
):
  left, before = iter(range(moment)), 12
  if is_first:
    shutil.rmtree(folder)
    before = None

  def dying(change):
    def instead(*args):
      if next(left, None) is None:
        raise KeyboardInterrupt
      return change(*args)

    return instead

  with monkeypatch.context() as patch:
    patch.setattr(files, 'write', dying(files.write))
    patch.setattr(checkpoints, '_delete', dying(checkpoints._delete))
    orbax = ocp.StandardCheckpointer
    patch.setattr(orbax, 'save', dying(orbax.save))
    try:
      _save(folder, 18)
    except KeyboardInterrupt:
      pass
    else:
      assert is_first
      assert moment > 2
  (folder / '.0123456789abcdef.new').touch()
  (folder / '18.orbax-checkpoint-tmp' / 'd').mkdir(parents=True)

  last = 18 if moment > 2 else before
  found = _restore(folder)
  assert (found and int(found[0]['step'])) == last
  _save(folder, 24)
  expected = {f'{x}{end}' for x in {last, 24} - {None} for end in ('', '.json')}
  assert set(_names(folder)) == expected
  assert capfd.readouterr() == ('', '')


def test_whatever_is_damaged_a_whole_state_goes_on(folder, monkeypatch):
  # Orbax itself is spared: it opens only the whole one.
  opened = []
  monkeypatch.setattr(
    ocp.StandardCheckpointer, 'restore', lambda _, path, __: opened.append(path)
  )
  rng = random.Random(0)
  newest = folder / '12'
  files = [x for x in newest.rglob('*') if x.is_file()]
  files += [_manifest(newest)] * len(files)
  for _ in range(_DAMAGES):
    path = rng.choice(files)
    data = path.read_bytes()
    at = rng.randrange(len(data))
    kind = rng.randrange(5)
    if kind == 0:
      path.write_bytes(data[:at])
    elif kind == 1:
      _flip(path, at, 1)
    elif kind == 2:
      _flip(path, at, 64)
    elif kind == 3:
      other = rng.randbytes(64)
      path.write_bytes(data[:at] + other + data[at + len(other) :])
    else:
      path.unlink()
    assert _restore(folder) == (None, {'seconds': 6 / 7})
    for moved in folder.glob('*.damaged'):
      moved.rename(moved.with_suffix(''))
    path.write_bytes(data)
  assert opened == [folder / '6'] * _DAMAGES
  _restore(folder)
  assert opened[-1] == newest
