import errno
import os

import pytest

from speccascade.storage import files
from tests.storage import fake_bucket


def test_text_and_bytes_are_written_whole(tmp_path):
  path = tmp_path / 'new' / 'report.md'
  files.write(path, 'Bäume →\n')
  assert path.read_bytes() == 'Bäume →\n'.encode()
  files.write(path, b'\xff')
  assert path.read_bytes() == b'\xff'
  files.write(path, [b'a', memoryview(b'bc'), b''])
  assert path.read_bytes() == b'abc'
  assert os.listdir(path.parent) == ['report.md']


def test_a_file_gets_the_permissions_of_any_new_file(tmp_path):
  files.write(tmp_path / 'a', '')
  (tmp_path / 'b').write_text('')
  assert (tmp_path / 'a').stat().st_mode == (tmp_path / 'b').stat().st_mode


def test_a_link_is_named_and_its_target_kept(tmp_path):
  outside, link = tmp_path / 'outside', tmp_path / 'run' / 'report.md'
  outside.write_text('mine')
  link.parent.mkdir()
  link.symlink_to(outside)
  with pytest.raises(ValueError, match=f'{link} is a link, and nothing'):
    files.write(link, 'yours')
  link.unlink()
  link.symlink_to(tmp_path / 'absent')
  with pytest.raises(ValueError, match='is a link'):
    files.write(link, 'yours')
  assert outside.read_text() == 'mine'
  assert os.listdir(tmp_path / 'run') == ['report.md']


def test_a_folder_that_is_a_link_itself_is_written_to(tmp_path):
  (tmp_path / 'disk').mkdir()
  (tmp_path / 'run').symlink_to(tmp_path / 'disk')
  files.write(tmp_path / 'run' / 'a', 'b')
  assert (tmp_path / 'disk' / 'a').read_text() == 'b'


@pytest.mark.parametrize('make', [os.mkdir, os.mkfifo])
def test_what_is_no_plain_file_is_not_replaced(tmp_path, make):
  make(tmp_path / 'a')
  with pytest.raises(ValueError, match='a is (a folder|not a plain file)'):
    files.write(tmp_path / 'a', 'b')
  assert not (tmp_path / 'a').is_file()


@pytest.mark.parametrize('failing', ['fsync', 'replace'])
@pytest.mark.parametrize(
  'error', [OSError(errno.ENOSPC, 'No space left on device'), KeyboardInterrupt]
)
def test_a_failed_write_leaves_the_old_file_alone(
  tmp_path, monkeypatch, failing, error
):
  path = tmp_path / 'config.json'
  files.write(path, 'old')

  def fail(*args):
    raise error

  monkeypatch.setattr(files.os, failing, fail)
  with pytest.raises((OSError, KeyboardInterrupt)) as found:
    files.write(path, 'new')
  if isinstance(error, OSError):
    assert (found.value.errno, found.value.filename) == (28, str(path))
  assert path.read_text() == 'old'
  assert os.listdir(tmp_path) == ['config.json']


def test_an_error_names_the_file_that_was_asked_for(tmp_path):
  (tmp_path / 'file').write_text('')
  for path in (tmp_path / 'file' / 'a', tmp_path / ('a' * 300) / 'b'):
    with pytest.raises(OSError) as error:
      files.write(path, '')
    assert error.value.filename == str(path)


def test_half_a_character_is_not_written(tmp_path):
  with pytest.raises(ValueError, match=r"a: '\\ud800' at 1 is not text"):
    files.write(tmp_path / 'a', 'x\ud800')
  assert not os.listdir(tmp_path)


def test_a_folder_inside_is_no_link(tmp_path):
  files.folder(tmp_path / 'run' / 'outputs')
  files.folder(tmp_path / 'run' / 'outputs')
  (tmp_path / 'run' / 'cell').symlink_to(tmp_path)
  with pytest.raises(ValueError, match='run/cell is a link'):
    files.folder(tmp_path / 'run' / 'cell')
  (tmp_path / 'file').write_text('')
  with pytest.raises(OSError) as error:
    files.folder(tmp_path / 'file')
  assert error.value.filename == f'{tmp_path}/file'


def test_objects_of_a_bucket_are_written_at_once(monkeypatch):
  bucket = fake_bucket.install(monkeypatch)
  files.write('gs://b/run/config.json', '{}')
  assert bucket.written == ['gs://b/run/config.json']
  assert bucket.cat('gs://b/run/config.json') == b'{}'
  files.write('gs://b/run/model', [b'a', memoryview(b'bc')])
  assert bucket.cat('gs://b/run/model') == b'abc'
