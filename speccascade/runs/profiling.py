"""Profiles of a few iterations of decoding, by --profile_dir.

What is profiled has run once before, so that no profile is of compiling. The
files lie where TensorBoard and XProf look for them, named by process.
"""

import functools
import importlib.metadata
import pathlib
import re
import sys
import tempfile
from collections.abc import Callable, Collection
from typing import Any

import jax
from absl import flags
from etils import epath

from speccascade.storage import files

_ITERATIONS = 8
_KINDS = 'xplane.pb', 'trace.json.gz'  # For XProf, and for Perfetto.

# (name, (iterations) -> what is computed): profiles so many.
Profile = Callable[[str, Callable[[int], Any]], None]


def define_flags() -> Callable[[], Profile | None]:
  """Defines --profile_dir and --profile_process.

  Returns:
    () -> Profile, None where none is asked for; called before any work, as it
    raises ValueError or OSError where no profile could be written.
  """
  folder = flags.DEFINE_string(
    'profile_dir',
    None,
    f'Folder, here or on gs://, for a profile of {_ITERATIONS} iterations.',
  )
  processes = flags.DEFINE_multi_integer(
    'profile_process', [0], 'Process that writes its profile, of several.'
  )

  def asked():
    if folder.value is None:
      return None
    _check_libtpu(jax.config.jax_platforms)
    files.folder(folder.value)
    return functools.partial(write, folder.value, processes.value)

  return asked


def write(
  folder: epath.PathLike,
  processes: Collection[int],
  name: str,
  run: Callable[[int], Any],
) -> None:
  """Writes a profile of a few iterations; replaces one of this name.

  Args:
    folder: that TensorBoard is given.
    processes: those that write.
    name: of the profile, as of a folder.
    run: computes so many iterations, of one program; called twice, on every
      process.
  """
  few = lambda: jax.block_until_ready(run(_ITERATIONS))  # noqa: E731
  few()
  process = jax.process_index()
  if process not in processes:
    few()
    return
  options = jax.profiler.ProfileOptions()
  options.python_tracer_level = 0  # Calls would bury the operations.
  place = epath.Path(folder) / 'plugins' / 'profile' / name
  with tempfile.TemporaryDirectory() as scratch:
    with jax.profiler.trace(scratch, profiler_options=options):
      few()
    # As all files are written: no link is followed, and gs:// is as ever.
    for kind in _KINDS:
      for file in pathlib.Path(scratch).rglob(f'*.{kind}'):
        files.write(place / f'process_{process}.{kind}', file.read_bytes())
  print(f'profile written to {place}', file=sys.stderr, flush=True)


def _check_libtpu(platforms):
  """Refuses a libtpu of which a profile would end the process.

  jax loads it wherever it is installed, TPU or not, and its profiler crashes
  on another version than its own.
  """
  if 'tpu' not in (platforms or 'tpu').split(','):
    return
  for requirement in importlib.metadata.requires('jax') or ():
    own = re.match(r'libtpu==([\d.]+)\.\*', requirement)
    if own is None:
      continue
    try:
      found = importlib.metadata.version('libtpu')
    except importlib.metadata.PackageNotFoundError:
      return
    if not f'{found}.'.startswith(f'{own[1]}.'):
      raise ValueError(
        f'--profile_dir: libtpu {found} would crash the profiler of jax '
        f'{jax.__version__}, which is made for {own[1]}; set '
        'JAX_PLATFORMS=cpu or cuda, or pip install "jax[tpu]"'
      )
