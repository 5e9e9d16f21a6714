"""A run's folder belongs to one config, and to one process at a time."""

import contextlib
import fcntl
import hashlib
import json
import os
import pathlib

from etils import epath


def claim(config, path, free=()):
  """Keeps the config of a new folder; refuses another one for an old.

  Args:
    config: ConfigDict of the run.
    path: where the folder keeps its config, JSON.
    free: fields that may change between runs.

  Raises:
    ValueError: the folder was made with other values.
  """
  own = json.loads(config.to_json())
  if differ := sorted(_differing(own, path).keys() - set(free)):
    raise ValueError(
      f'{epath.Path(path).parent} holds a run with another '
      f'{", ".join(differ)}; choose another workdir or restore the config'
    )
  _write(own, path)


def claim_environment(environment, path):
  """Keeps what measures in a new folder; refuses anything else for an old.

  Args:
    environment: dict of texts, or of dicts of such: device, versions, ...
    path: where the folder keeps it, JSON.

  Raises:
    ValueError: the folder was made on another device, by other versions, ...
  """
  own = _flat(environment)
  if differ := _differing(own, path):
    told = ', '.join(
      f'{key} {old} (now {new})' for key, (old, new) in sorted(differ.items())
    )
    raise ValueError(
      f'{epath.Path(path).parent} was made with {told}; choose another workdir '
      'or restore what it was made with'
    )
  _write(own, path)


def code_digest():
  """Returns the SHA-256 of this package's code, its first 16 digits.

  It tells changes that no commit holds yet from each other.
  """
  root, digest = pathlib.Path(__file__).parent, hashlib.sha256()
  for file in sorted(root.rglob('*.py')):
    digest.update(f'{file.relative_to(root)}\n'.encode() + file.read_bytes())
  return digest.hexdigest()[:16]


def _flat(environment):
  flat = {}
  for key, value in environment.items():
    parts = value.items() if isinstance(value, dict) else [(None, value)]
    flat |= {f'{key}.{part}' if part else key: text for part, text in parts}
  return flat


def _differing(own, path):
  """{field: (its value in the file, its own)} of those that differ."""
  path, old = epath.Path(path), own
  if path.exists():
    try:
      old = json.loads(path.read_text())
    except ValueError:  # Torn: nothing was done yet.
      pass
  both = {k: (old.get(k), own.get(k)) for k in own.keys() | old.keys()}
  return {k: (then, now) for k, (then, now) in both.items() if then != now}


def _write(own, path):
  path = epath.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  new = path.with_name(f'{path.name}.new')  # A kill leaves the old one whole.
  new.write_text(json.dumps(own, indent=2) + '\n')
  new.replace(path)


@contextlib.contextmanager
def lock(workdir):
  """Holds a folder, made if need be, against other processes.

  The system lets go of it when the process ends, even killed. Folders on
  gs:// cannot be held.

  Raises:
    ValueError: another process holds it.
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
        f'another process is writing to {workdir}; wait for it or choose '
        'another workdir'
      ) from None
    yield
