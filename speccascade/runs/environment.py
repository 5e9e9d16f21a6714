"""Describes what a run executes on: device, versions and code."""

import hashlib
import importlib.metadata
import os
import pathlib
import platform
import subprocess
from typing import Any

import jax

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


def code_digest() -> str:
  """Returns the first 16 digits of the SHA-256 of the package's code.

  It distinguishes changes that are not committed.
  """
  root, digest = pathlib.Path(__file__).parents[1], hashlib.sha256()
  for file in sorted(root.rglob('*.py')):
    digest.update(f'{file.relative_to(root)}\n'.encode() + file.read_bytes())
  return digest.hexdigest()[:16]


def _device() -> str:
  devices = jax.devices()
  if devices[0].platform != 'cpu':
    return f'{devices[0].device_kind} × {len(devices)}'
  if hasattr(os, 'sched_getaffinity'):
    # A cpuset has fewer cores than its host.
    cores = len(os.sched_getaffinity(0))
  else:
    cores = os.cpu_count()
  return f'cpu ({_cpu_model()}), {cores} cores'


def _cpu_model() -> str:
  info = pathlib.Path('/proc/cpuinfo')
  for line in info.read_text().splitlines() if info.exists() else []:
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
      command, check=True, capture_output=True, text=True
    ).stdout.strip()

  try:
    # The package may be installed inside another project's checkout.
    git('ls-files', '--error-unmatch', file)
    changes = git('status', '--porcelain', '--untracked-files=no')
    return git('rev-parse', 'HEAD') + ('-dirty' if changes else '')
  except (OSError, subprocess.CalledProcessError):
    return None
