"""Checkpoints of a run, which are verified before one is gone on from.

Orbax writes the state to checkpoints/<step>/, and the manifest <step>.json
beside it has what else a run resumes from. Orbax would cut a state to other
shapes and take damage for data: it opens only what is as it was written.

Of several processes each writes and reads its part of the state, in a folder
that all share; the first does the rest, and what it finds holds for all.
"""

import contextlib
import itertools
import logging
import os
import re
import sys
from collections.abc import Mapping
from typing import Any

import jax
import orbax.checkpoint as ocp
from etils import epath

from speccascade import hosts
from speccascade.storage import files, json_text
from speccascade.training import manifest

_KEPT = 2


def save(
  folder: epath.PathLike,
  step: int,
  state: Any,
  run: Mapping[str, Any],
  identity: Mapping[str, Any],
) -> None:
  """Writes a checkpoint, whole or not at all, and removes all but two.

  Args:
    folder: of the checkpoints, an absolute path.
    step: of the state.
    state: tree of JAX arrays.
    run: what else a run resumes from, as JSON has it.
    identity: what a run that goes on from it must be, as JSON has it.

  Raises:
    ValueError: Orbax failed; the message names the checkpoint.
    OSError: likewise, from the system.
  """
  path = epath.Path(folder) / f'{step}'
  if hosts.is_first():
    _begin(path)
  hosts.wait()
  with _orbax(path) as checkpointer:
    checkpointer.save(path, state)
  if hosts.is_first():
    told = {
      'step': step,
      'arrays': _arrays(state),
      'run': dict(run),
      'identity': dict(identity),
    }
    _finish(path, told)
  hosts.wait()  # Else one that ends now would end the first before it is done.


def _begin(path):
  """Removes what is torn, and whatever lies where a checkpoint is to be."""
  folder = files.folder(path.parent)
  for pattern in '.*.new', '*.orbax-checkpoint-tmp*':
    for torn in folder.glob(pattern):  # Of a killed process.
      _delete(torn)
  for other in _found(folder):
    if manifest.is_begun(other):
      _remove(other)
  _set_aside(path)
  manifest.begin(path)


def _finish(path, told):
  """Writes the manifest of a checkpoint, and removes those that are old."""
  manifest.finish(path, told)
  found = _found(path.parent)
  whole = [path for path in found if manifest.path(path).exists()]
  for old in whole[_KEPT:]:
    _remove(old)


def restore(
  folder: epath.PathLike, shapes: Any, identity: Mapping[str, Any]
) -> tuple[Any, dict[str, Any]] | None:
  """Reads the last checkpoint that is whole and of this run.

  Others after it are renamed, and named in a line each.

  Args:
    folder: of the checkpoints, an absolute path.
    shapes: tree of jax.ShapeDtypeStruct, with shardings.
    identity: as of `save`.

  Returns:
    (state, run); None if there is no checkpoint.

  Raises:
    ValueError: there are checkpoints, but none is whole and of this run; or
      Orbax failed.
    OSError: from the system.
  """
  folder, chosen, passed = epath.Path(folder), None, {}
  if hosts.is_first():
    chosen, passed = _choose(folder, _arrays(shapes), identity)
  chosen = hosts.bytes_of_first(json_text.dumps(chosen).encode())
  chosen = json_text.loads(chosen)
  if chosen is None:
    return None
  path = folder / f'{chosen["step"]}'
  with _orbax(path) as checkpointer:
    state = checkpointer.restore(path, shapes)
  for other, error in passed.items():
    print(f'{other}: {error}; it is now {_set_aside(other)[0].name}')
  if passed:
    print(f'going on from step {path.name}', flush=True)
  return state, chosen['run']


def _choose(folder, arrays, identity):
  """Verifies checkpoints, the last one first, until one is whole and of a run.

  Returns:
    ({'step': its step, 'run': what it was told of the run}, or None if there
    are no checkpoints; {path: error} of those that were passed over).
  """
  passed = {}
  for path in _found(folder):
    if manifest.is_begun(path):
      continue
    try:
      run = _verify(path, arrays, identity)
    except ValueError as error:
      passed[path] = error
      continue
    return {'step': int(path.name), 'run': run}, passed
  if passed:
    told = '; '.join(f'{path.name}: {error}' for path, error in passed.items())
    raise ValueError(
      f'no checkpoint in {folder} is whole and of this run ({told}); restore '
      'one, or use a new --workdir to start anew'
    )
  return None, passed


def _verify(path, arrays, identity):
  """Returns the run of a checkpoint that is whole and fits."""
  told = manifest.verify(path)
  if told['step'] != int(path.name):
    raise ValueError(f'of step {told["step"]}')
  of = told['identity']
  if other := [name for name in identity if of.get(name) != identity[name]]:
    raise ValueError(f'of another run ({", ".join(other)} differ)')
  if other := sorted(dict(arrays.items() ^ told['arrays'].items())):
    raise ValueError(f'of another model ({other[0]} differs)')
  return told['run']


def _arrays(tree):
  """Types and shapes of the leaves, by name."""
  return {
    jax.tree_util.keystr(path): f'{x.dtype}{list(x.shape)}'
    for path, x in jax.tree.leaves_with_path(tree)
  }


def _mute_threads():
  """Mutes what Orbax's threads print of the errors that it raises as well.

  They log a traceback, what was being written beside finds no event loop, and
  asyncio logs the errors of the other arrays when their futures are collected.
  """
  logging.getLogger('absl').addFilter(lambda x: 'orbax' not in x.pathname)
  logging.getLogger('asyncio').addFilter(
    lambda x: 'OCDBT database' not in x.getMessage()
  )
  show = sys.unraisablehook

  def hook(event):
    if str(event.exc_value) != 'Event loop is closed':
      show(event)

  sys.unraisablehook = hook


_mute_threads()


@contextlib.contextmanager
def _orbax(path):
  """Waits for what it saves; errors are a line that names the checkpoint."""
  try:
    with ocp.StandardCheckpointer() as checkpointer:
      yield checkpointer
  except Exception as error:
    told = ' '.join(str(error).split())
    known = re.search(r"os_error_code='([0-9]+)'", told)
    code = int(known[1]) if known else getattr(error, 'errno', None)
    if code:
      raise OSError(code, os.strerror(code), f'{path}') from error
    raise ValueError(f'{path}: Orbax failed: {told[:500]}') from error


def _found(folder):
  """The paths of all that looks like a checkpoint, the last step first."""
  names = [path.name for path in folder.iterdir()] if folder.exists() else []
  found = [re.fullmatch(r'(0|[1-9][0-9]*)(\.json)?', name) for name in names]
  steps = sorted({int(x[1]) for x in found if x}, reverse=True)
  return [folder / f'{step}' for step in steps]


def _remove(path):
  manifest.begin(path)
  _delete(path)
  _delete(manifest.path(path))


def _delete(path):
  if path.is_dir():
    path.rmtree()
  else:
    path.unlink(missing_ok=True)


def _set_aside(path):
  """Renames what there is of a checkpoint and returns the new paths."""
  moved = []
  for old in path, manifest.path(path):
    if old.exists():
      names = (f'{old.name}.damaged{n or ""}' for n in itertools.count())
      free = (x for x in map(path.with_name, names) if not x.exists())
      moved.append(old.rename(next(free)))
  return moved
