"""Compiles a cell and tells what it needs; results are kept by program."""

import functools
import hashlib
import importlib.metadata
import os
import pathlib
import re
import tempfile
from typing import Any

import jax
from etils import epath

from speccascade.aot import chips, hlo, needs, program, traffic
from speccascade.storage import files, json_text

# Of its large memory; of its fast one a larger slice has no more.
_OVER = re.compile(
  r'(?:Used |\()([\d.]+)([KMGT])\)? (?:of [\d.]+[KMGT] hbm|exceeds \w+ hbm)',
  re.IGNORECASE,
)
_UNITS = {'K': 2**10, 'M': 2**20, 'G': 2**30, 'T': 2**40}
_OTHERS = re.compile('--xla_(gpu|cpu|force_host)_')
_FORM = 2  # Of what is kept: of another number, cells are compiled anew.
_DRAFT = 'draft/while'  # Where the loop over drafter steps is from.
_LARGE = 2**20  # Bytes of a copy that is told, of up to eight rows.


def of(cell: program.Cell, kept: epath.PathLike) -> dict[str, Any]:
  """Returns what the loop of a cell needs: JSON values, bytes of one device.

  They are 'fits', 'devices' and 'peak', or 'error', what the compiler said
  where it has none; where the loop fits, 'arguments', 'temporaries', 'caches'
  (by their shapes), 'iteration' and 'drafter_step' (bytes that they move),
  'collectives' and 'drafter_collectives' (number and bytes by kind, of either),
  'floor' (bytes that an iteration must move), 'flops' (by part), and names of
  'host_transfers' and of 'copies' of a cache.

  Args:
    cell: Cell.
    kept: folder of results by program.

  Raises:
    ValueError: the compiler is not installed, or knows no such slice.
  """
  found = _kept(
    program.cascade(cell), cell.topology, kept, functools.partial(_of, cell)
  )
  found['devices'] = len(program.devices(cell.topology))
  if found['fits']:
    found |= {
      'flops': needs.flops(cell),
      'floor': needs.floor(cell),
      'caches': sum(needs.caches(cell)),
    }
  return found


def slots(
  cell: program.Cell, answers: int, kept: epath.PathLike
) -> dict[str, Any]:
  """Returns what a call of the loop needs that serves answers in slots.

  Args:
    cell: Cell; its rows are slots, whose caches are donated arguments.
    answers: of the queue, to as many prompts.
    kept: as of `of`.

  Returns:
    As `memory`; it fits only if its peak does.

  Raises:
    ValueError: as of `of`.
  """
  try:
    lowered = program.served(cell, answers)
  except jax.errors.JaxRuntimeError as error:
    return _refused(error)
  found = _kept(lowered, cell.topology, kept, memory)
  most = chips.of(cell.topology)[1].hbm
  return found | {'fits': found['fits'] and found['peak'] <= most}


def _kept(lowered, topology, kept, needs_of):
  """`needs_of` of a program, which is compiled once."""
  text = '\n'.join((
    lowered.as_text(),
    topology,
    str(chips.of(topology)[1].hbm),
    importlib.metadata.version('libtpu'),
    *_flags(),
    f'form {_FORM}',
  ))  # fmt: skip
  name = hashlib.sha256(text.encode()).hexdigest()[:32]
  path = epath.Path(kept) / f'{name}.json'
  if path.exists():
    return json_text.loads(path.read_text())
  found = needs_of(lowered)
  if 'error' not in found:  # It may pass.
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write(path, json_text.dumps(found))
  return found


def _flags():
  """What the environment tells the compiler, but of other platforms."""
  told = [os.environ.get(x, '') for x in ('XLA_FLAGS', 'LIBTPU_INIT_ARGS')]
  return sorted(x for x in ' '.join(told).split() if not _OTHERS.match(x))


def _of(cell, lowered):
  try:
    return read(cell, *compiled(lowered))
  except jax.errors.JaxRuntimeError as error:
    return _refused(error)


def memory(lowered: jax.stages.Lowered) -> dict[str, Any]:
  """Returns what a program needs: JSON values, bytes of one device.

  They are 'arguments', 'donated' (arguments whose memory results take),
  'temporaries' and 'peak'; where it does not fit, 'peak' or 'error', what the
  compiler said.
  """
  try:
    own = lowered.compile().memory_analysis()
  except jax.errors.JaxRuntimeError as error:
    return _refused(error)
  return {
    'fits': True,
    'arguments': own.argument_size_in_bytes,
    'donated': own.alias_size_in_bytes,
    'temporaries': own.temp_size_in_bytes,
    'peak': own.peak_memory_in_bytes,
  }


def _refused(error):
  if over := _OVER.search(str(error)):
    return {'fits': False, 'peak': float(over[1]) * _UNITS[over[2]]}
  return {'fits': False, 'error': str(error).splitlines()[0][:200]}


def compiled(lowered: jax.stages.Lowered) -> tuple[jax.stages.Compiled, str]:
  """Compiles a program for a slice; returns it and its text.

  Raises:
    jax.errors.JaxRuntimeError: it does not fit, or the compiler failed.
  """
  with tempfile.TemporaryDirectory() as folder:
    # JAX cannot always print what libtpu made; libtpu can.
    told = {'xla_dump_to': folder, 'xla_dump_hlo_as_text': True}
    made = lowered.compile(compiler_options=told)
    (path,) = pathlib.Path(folder).glob('*.after_optimizations.txt')
    return made, path.read_text()


def read(
  cell: program.Cell, made: jax.stages.Compiled, text: str
) -> dict[str, Any]:
  """Returns what `of` does of a program, of the cell's loop, that fits."""
  memory, own = made.memory_analysis(), traffic.Program(text)
  body = own.body(main_loop(own))
  moved = own.of(body)
  found = {
    'fits': memory.peak_memory_in_bytes <= chips.of(cell.topology)[1].hbm,
    'arguments': memory.argument_size_in_bytes,
    'temporaries': memory.temp_size_in_bytes,
    'peak': memory.peak_memory_in_bytes,
    'iteration': moved.hbm,
    'collectives': _by_kind(moved),
    'host_transfers': own.host_transfers(),
    'copies': own.copies(_LARGE * max(1, cell.batch // 8), body),
  }
  (loop,) = (x for x in own.loops(body) if x.source.endswith(_DRAFT))
  step = own.of(own.body(loop))
  return found | {
    'drafter_step': step.hbm, 'drafter_collectives': _by_kind(step)
  }  # fmt: skip


def _by_kind(moved):
  return {
    kind: [moved.numbers[kind], moved.collectives[kind]]
    for kind in sorted(moved.numbers)
  }


def main_loop(own: traffic.Program) -> hlo.Instruction:
  """Returns the loop over iterations, which ends where all rows have."""
  (loop,) = (x for x in own.loops(own.module.entry) if not own.module.counts(x))
  return loop
