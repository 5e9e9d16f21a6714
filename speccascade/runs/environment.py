"""Describes what a run executes on: device, versions and code."""

import hashlib
import importlib.metadata
import os
import pathlib
import platform
import subprocess
from typing import Any

import jax

from speccascade.runs import workers

_PACKAGES = ('jax', 'jaxlib', 'flax', 'numpy', 'speccascade')


def describe() -> dict[str, Any]:
  """Returns the record fields 'device', 'versions' and 'git_revision'."""
  return {
    'device': _device(),
    'versions': {
      'python': platform.python_version(),
      **{package: _version(package) for package in _PACKAGES},
    },
    'git_revision': _git_revision(),
  }


def code_digest(*rooms: str) -> str:
  """Returns the first 16 digits of the SHA-256 of code.

  It distinguishes changes that are not committed.

  Args:
    *rooms: of the package, such as 'decoding' (a folder, whole) and 'config'
      or 'timing/costs' (a file).

  Raises:
    ValueError: there is no such room.
  """
  root, digest = pathlib.Path(__file__).parents[1], hashlib.sha256()
  files = {f for room in rooms for f in _code(root, room)}
  for file in sorted(files):
    digest.update(f'{file.relative_to(root)}\n'.encode() + file.read_bytes())
  return digest.hexdigest()[:16]


def _code(root, room):
  """The Python files of a folder, or a file."""
  if (root / room).is_dir():
    return root.joinpath(room).rglob('*.py')
  file = root / f'{room}.py'
  if not file.is_file():
    raise ValueError(f'{room!r} is no folder or module of {root}')
  return [file]


def _device() -> str:
  devices = jax.devices()
  if devices[0].platform != 'cpu':
    return f'{devices[0].device_kind} × {len(devices)}'
  return f'cpu ({_cpu_model()}), {workers.cores()} cores'


def _cpu_model() -> str:
  info = pathlib.Path('/proc/cpuinfo')
  text = info.read_bytes().decode(errors='replace') if info.exists() else ''
  for line in text.splitlines():
    key, _, value = line.partition(':')
    if key.strip() == 'model name':
      return value.strip()
  return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
  try:
    return importlib.metadata.version(package)
  except importlib.metadata.PackageNotFoundError:
    return None


def _git_revision() -> str | None:
  """Returns HEAD of the checkout that tracks this file, None without one."""
  folder, file = os.path.split(os.path.abspath(__file__))

  def git(*args):
    command = ['git', '-C', folder, *args]
    return subprocess.run(
      command,
      check=True,
      capture_output=True,
      encoding='utf-8',
      errors='replace',
    ).stdout.strip()

  try:
    # The package may be installed inside another project's checkout.
    git('ls-files', '--error-unmatch', file)
    changes = git('status', '--porcelain', '--untracked-files=no')
    return git('rev-parse', 'HEAD') + ('-dirty' if changes else '')
  except (OSError, subprocess.CalledProcessError):
    return None
