"""A run's folder belongs to one config, and to one process at a time."""

import contextlib
import fcntl
import json
import os
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from etils import epath


def claim(
  values: Mapping[str, Any], path: epath.PathLike, free: Collection[str] = ()
) -> None:
  """Writes the config of a new folder; refuses a different one for an old.

  Args:
    values: fields of the config, as `config.Schema.to_dict` returns them.
    path: JSON file that holds the folder's config.
    free: fields that may change between runs.

  Raises:
    ValueError: the folder was created with other values.
  """
  own = json.loads(json.dumps(values))
  if changed := sorted(_changes(own, path).keys() - set(free)):
    raise ValueError(
      f'{epath.Path(path).parent} was created with a different config '
      f'(changed: {", ".join(changed)}); use a new --workdir or restore the '
      'original config'
    )
  _write(own, path)


def claim_environment(
  environment: Mapping[str, Any], path: epath.PathLike
) -> None:
  """Writes the environment of a new folder; refuses another for an old.

  Args:
    environment: texts or dicts of texts, such as `environment.describe`.
    path: JSON file that holds the folder's environment.

  Raises:
    ValueError: the folder was created with another device, version, ...
  """
  own = _flat(environment)
  if changes := sorted(_changes(own, path).items()):
    told = ', '.join(f'{key} {old} (now {new})' for key, (old, new) in changes)
    raise ValueError(
      f'{epath.Path(path).parent} was created with {told}; use a new --workdir '
      'or restore the original environment'
    )
  _write(own, path)


def _flat(environment):
  flat = {}
  for key, value in environment.items():
    parts = value.items() if isinstance(value, dict) else [(None, value)]
    flat |= {f'{key}.{part}' if part else key: text for part, text in parts}
  return flat


def _changes(own, path):
  """{field: (its value in the file, its own value)} where they differ."""
  path, old = epath.Path(path), own
  if path.exists():
    try:
      old = json.loads(path.read_text())
    except ValueError:  # A torn file: the run had not started.
      pass
  both = {k: (old.get(k), own.get(k)) for k in own.keys() | old.keys()}
  return {k: (then, now) for k, (then, now) in both.items() if then != now}


def _write(own, path):
  path = epath.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  new = path.with_name(f'{path.name}.new')  # A kill leaves the old file whole.
  new.write_text(json.dumps(own, indent=2) + '\n')
  new.replace(path)


@contextlib.contextmanager
def lock(workdir: epath.PathLike) -> Iterator[None]:
  """Locks a folder against other processes; creates it if necessary.

  The system releases the lock when the process ends, even by a kill. Folders
  on gs:// cannot be locked.

  Raises:
    ValueError: another process holds the lock.
  """
  workdir = epath.Path(workdir)
  if '://' in os.fspath(workdir):
    yield
    return
  workdir.mkdir(parents=True, exist_ok=True)
  with open(workdir / '.lock', 'w') as f:
    try:
      fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      raise ValueError(
        f'another process is writing to {workdir}; wait for it or use a new '
        '--workdir'
      ) from None
    yield
