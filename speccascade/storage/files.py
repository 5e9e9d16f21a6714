"""Writes files: whole or not at all, and never through a link.

On gs:// (and whatever else has a '://') an object appears whole when its
writer closes it, and there are no links.
"""

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterable

from etils import epath


def is_local(path: epath.PathLike) -> bool:
  """Whether a path is on this machine's file system."""
  return '://' not in os.fspath(path)


def write(
  path: epath.PathLike, content: str | bytes | Iterable[bytes | memoryview]
) -> None:
  """Writes a file, or replaces it, durably; a kill leaves the old one.

  Args:
    path: file; its folder is created if missing.
    content: text, which is written as UTF-8, bytes, or parts of those.

  Raises:
    ValueError: the path is a link or a folder, or the text has what UTF-8 has
      not; the message names the path. Nothing was written.
    OSError: likewise, from the system; it names the path.
  """
  path = epath.Path(path)
  content = encode(path, content) if isinstance(content, str) else content
  parts = (content,) if isinstance(content, bytes) else content
  if not is_local(path):
    path.write_bytes(b''.join(parts))
    return
  refuse_link(path)
  # A name of its own, as others may write the same file at the same time.
  new = path.with_name(f'.{secrets.token_hex(8)}.new')
  with naming(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
      with open(file, 'wb') as f:
        f.writelines(parts)
        f.flush()
        os.fsync(f.fileno())
      os.replace(new, path)
    except BaseException:
      with contextlib.suppress(OSError):
        os.unlink(new)
      raise
    sync_folder(path.parent)


def folder(path: epath.PathLike) -> epath.Path:
  """Creates a folder inside a workdir, unless it is there.

  Raises:
    ValueError: it is a link or a file.
    OSError: from the system; it names the path.
  """
  path = epath.Path(path)
  if is_local(path) and os.path.islink(path):
    raise ValueError(_LINK.format(path))
  with naming(path):
    path.mkdir(parents=True, exist_ok=True)
  return path


def refuse_link(path: epath.PathLike) -> None:
  """Raises ValueError if a file is there that is not a plain one."""
  try:
    mode = os.lstat(path).st_mode
  except OSError:  # None yet; else the system tells when it is opened.
    return
  if stat.S_ISLNK(mode):
    raise ValueError(_LINK.format(path))
  if stat.S_ISDIR(mode):
    raise ValueError(f'{path} is a folder, not a file; move it away')
  if not stat.S_ISREG(mode):
    raise ValueError(f'{path} is not a plain file; give another path')


_LINK = (
  '{} is a link, and nothing is written through one; replace it by what it '
  'points to'
)


def refuse_links(workdir: epath.PathLike) -> None:
  """Raises ValueError if anything in a folder is not a plain file or folder.

  The folder itself may be a link. Of what is a link, a pipe or a device in it,
  the message names one.
  """
  for place, folders, files in os.walk(workdir):
    for name in sorted(folders):
      if os.path.islink(os.path.join(place, name)):
        raise ValueError(_LINK.format(os.path.join(place, name)))
    for name in sorted(files):
      refuse_link(os.path.join(place, name))


def encode(path: epath.PathLike, text: str) -> bytes:
  """Returns text as UTF-8; raises ValueError that names where it belongs."""
  try:
    return text.encode()
  except UnicodeEncodeError as error:
    raise ValueError(
      f'cannot write {path}: {text[error.start]!r} at {error.start} is not text'
    ) from None


@contextlib.contextmanager
def naming(path: epath.PathLike):
  """Lets an OSError name this path, not one of a temporary file."""
  try:
    yield
  except OSError as error:
    if error.errno is None:
      raise
    if error.errno == errno.ELOOP:
      raise ValueError(_LINK.format(path)) from error
    raise OSError(error.errno, error.strerror, os.fspath(path)) from error


def sync_folder(path: epath.PathLike) -> None:
  """Makes the names in a folder durable."""
  file = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
  try:
    os.fsync(file)
  finally:
    os.close(file)
