"""A run's folder belongs to one config, and to one process at a time."""

import contextlib
import fcntl
import io
import os
import secrets
import tempfile
import zipfile
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from etils import epath

from speccascade import hosts
from speccascade.storage import files, json_text, lines


def claim(
  values: Mapping[str, Any], path: epath.PathLike, free: Collection[str] = ()
) -> None:
  """Writes the config of a new folder; refuses a different one for an old.

  Args:
    values: fields of the config, as `config.Schema.to_dict` returns them.
    path: JSON file that holds the folder's config.
    free: fields that may change between runs.

  Raises:
    ValueError: the folder was created with other values, or the file is
      damaged and the folder holds results.
  """
  own = json_text.loads(json_text.dumps(values))
  old = _read(path)
  if changed := sorted(_changes(own, old).keys() - set(free)):
    raise ValueError(
      f'{epath.Path(path).parent} was created with a different config '
      f'(changed: {", ".join(changed)}); use a new --workdir or restore the '
      'original config'
    )
  _write(own, old, path)


def claim_environment(
  environment: Mapping[str, Any], path: epath.PathLike
) -> None:
  """Writes the environment of a new folder; refuses another for an old.

  Args:
    environment: texts or dicts of texts, such as `environment.describe`.
    path: JSON file that holds the folder's environment.

  Raises:
    ValueError: the folder was created with another device, version, ..., or
      the file is damaged and the folder holds results.
  """
  own = _flat(environment)
  old = _read(path)
  if changes := sorted(_changes(own, old).items()):
    told = ', '.join(
      f'{key} {str(then)[:80]} (now {now})' for key, (then, now) in changes
    )
    raise ValueError(
      f'{epath.Path(path).parent} was created with {told}; use a new --workdir '
      'or restore the original environment'
    )
  _write(own, old, path)


def _flat(environment):
  flat = {}
  for key, value in environment.items():
    parts = value.items() if isinstance(value, dict) else [(None, value)]
    flat |= {f'{key}.{part}' if part else key: text for part, text in parts}
  return flat


def _read(path):
  """The fields that a folder was created with; None of a new folder."""
  path = epath.Path(path)
  try:
    old = json_text.load(path)
    if isinstance(old, dict):
      return old
    fault = f'{path} holds no object'
  except FileNotFoundError:
    return None
  except ValueError as error:
    fault = str(error)
  ours = path.name, 'config.json', 'environment.json'
  if any(
    x.name not in ours and not x.name.startswith('.')
    for x in path.parent.iterdir()
  ):
    raise ValueError(
      f'{fault}, so nothing tells what the results beside it are of; restore '
      'it or use a new --workdir'
    )
  return None


def _changes(own, old):
  """{field: (its old value, its own value)} where they differ."""
  if old is None:
    return {}
  both = {k: (old.get(k), own.get(k)) for k in own.keys() | old.keys()}
  return {k: (then, now) for k, (then, now) in both.items() if then != now}


def _write(own, old, path):
  if own != old:
    files.write(path, json_text.dumps(own, indent=2) + '\n')


@contextlib.contextmanager
def lock(workdir: epath.PathLike) -> Iterator[None]:
  """Locks a folder against other processes; creates it if necessary.

  The system releases the lock when the process ends, even by a kill. Folders
  on gs:// cannot be locked. Of a job of several processes, the first locks it.

  Raises:
    ValueError: another process holds the lock, or there is a link in the
      folder, which may itself be one.
    OSError: the folder cannot be written; the message names it.
  """
  workdir = epath.Path(workdir)
  if not (files.is_local(workdir) and hosts.is_first()):
    yield
    return
  with files.naming(workdir):
    workdir.mkdir(parents=True, exist_ok=True)
  file = workdir / '.lock'
  with files.naming(file):
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
  with open(descriptor, 'rb'):
    try:
      fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      raise ValueError(
        f'another process is writing to {workdir}; wait for it or use a new '
        '--workdir'
      ) from None
    files.refuse_links(workdir)
    yield


@contextlib.contextmanager
def own(workdir: epath.PathLike) -> Iterator[epath.Path]:
  """Yields the folder that this process of several reads and writes.

  That is `workdir` for the first; for each other a copy of its JSON and JSONL
  files, as sent by the first, which is deleted in the end. So all resume alike,
  without a file system that they share.

  Args:
    workdir: locked, and there for the first process.
  """
  workdir = epath.Path(workdir)
  if hosts.is_first():
    if hosts.is_several():
      hosts.bytes_of_first(_packed(workdir))
    yield workdir
    return
  packed = io.BytesIO(hosts.bytes_of_first(b''))
  with tempfile.TemporaryDirectory(prefix='speccascade-') as scratch:
    with zipfile.ZipFile(packed) as archive:
      archive.extractall(scratch)
    yield epath.Path(scratch)


@contextlib.contextmanager
def sole(workdir: epath.PathLike) -> Iterator[epath.Path]:
  """`lock`, and then `own`."""
  with lock(workdir), own(workdir) as folder:
    yield folder


def check_shared(folder: epath.PathLike) -> None:
  """Raises ValueError, on every process, unless all see one folder.

  Args:
    folder: absolute; it is created if necessary, and the first process writes
      a file there and removes it.

  Raises:
    ValueError: a process does not see that file, and so has another folder.
    OSError: the file cannot be written.
  """
  if not hosts.is_several():
    return
  # A file that nobody has looked for: a disk of the net keeps no old answer.
  token = hosts.bytes_of_first(secrets.token_hex(8).encode()).decode()
  file = epath.Path(folder) / f'.{token}.new'
  if hosts.is_first():
    files.write(files.folder(folder) / file.name, b'')
  hosts.wait()
  blind = hosts.which(not file.exists())
  if hosts.is_first():
    file.unlink()
  if blind:
    raise ValueError(
      f'process {blind[0]} does not see what process 0 writes to {folder}, and '
      'each must write its part there: use a --workdir that all share, as on '
      'gs:// or NFS'
    )


def _packed(folder):
  packed = io.BytesIO()
  with zipfile.ZipFile(packed, 'w', zipfile.ZIP_DEFLATED) as archive:
    for path in (*folder.glob('*.json*'), *folder.glob('*/*.json*')):
      name = str(path.relative_to(folder))
      if path.suffix == '.json':
        archive.writestr(name, path.read_bytes())
      elif path.suffix == '.jsonl' and path.parent.suffix != lines.PARTS:
        archive.writestr(name, lines.content(path))  # Parts are in it.
  return packed.getvalue()
