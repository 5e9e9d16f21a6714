"""A cache of compiled programs on disk, for the next run of a sweep."""

import contextlib
import hashlib
import os
import pathlib
import platform

import jax
import jaxlib

_TOLD = 'model name', 'flags', 'Features'  # Lines of /proc/cpuinfo.


def keep() -> None:
  """Keeps compiled programs in the user's cache folder.

  The folder is of this machine and this jaxlib, as programs made for one
  processor may crash another. Where JAX_COMPILATION_CACHE_DIR says where
  programs are kept, they are kept there; where there is no folder to write to,
  they are not.
  """
  if jax.config.jax_compilation_cache_dir is not None:
    return
  with contextlib.suppress(OSError, RuntimeError):  # No home, or not writable.
    folder = _root() / 'speccascade' / f'programs-{_machine()}'
    # Whoever writes there can have this user run any program.
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.access(folder, os.W_OK):
      jax.config.update('jax_compilation_cache_dir', str(folder))


def _root():
  root = os.environ.get('XDG_CACHE_HOME')
  return pathlib.Path(root) if root else pathlib.Path.home() / '.cache'


def _machine():
  """Digest of the processor and of what compiles for it."""
  told = [jaxlib.__version__, platform.machine(), platform.processor()]
  info = pathlib.Path('/proc/cpuinfo')
  if info.exists():
    lines = info.read_text().splitlines()
    told += sorted({x for x in lines if x.startswith(_TOLD)})
  return hashlib.sha256('\n'.join(told).encode()).hexdigest()[:16]
