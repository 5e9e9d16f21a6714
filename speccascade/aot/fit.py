"""Compiles a cell and tells what it needs; results are kept by program."""

import concurrent.futures
import contextlib
import hashlib
import importlib.metadata
import os
import re
from collections.abc import Sequence
from typing import Any

from etils import epath

from speccascade.aot import chips, program, traffic
from speccascade.runs import environment
from speccascade.storage import files, json_text

_OVER = re.compile(r'Used ([\d.]+)([KMGT]) of ([\d.]+)([KMGT]) hbm')
_UNITS = {'K': 2**10, 'M': 2**20, 'G': 2**30, 'T': 2**40}
_SIDE_BY_SIDE = 2  # Programs: the compiler itself uses several cores.
_LARGE = 2**20  # Bytes of a copy that is told.


def measure(
  cells: Sequence[program.Cell], kept: epath.PathLike
) -> list[dict[str, Any]]:
  """Returns what cells need, in their order; see `of`.

  Args:
    cells: Cells.
    kept: folder of results by program, from which a later run takes them.
  """
  with concurrent.futures.ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
    return list(pool.map(lambda cell: of(cell, kept), cells))


def of(cell: program.Cell, kept: epath.PathLike) -> dict[str, Any]:
  """Returns what a cell needs: JSON values.

  Bytes are those of one device. `cascade` and `alone` have 'fits', 'arguments',
  'temporaries' and 'peak'; where they fit, 'iteration', 'collectives' (number
  and bytes by kind, of an iteration), 'host_transfers' and 'copies' of a cache;
  of the cascade 'drafter_step', too.

  Args:
    cell: Cell.
    kept: folder of results by program.

  Raises:
    ValueError: the compiler is not installed, or knows no such slice.
  """
  return {
    'cascade': _compiled(cell, program.cascade(cell), kept),
    'alone': _compiled(cell, program.alone(cell), kept),
    'flops': program.part_flops(cell),
    'devices': len(program.devices(cell.topology)),
  }


def _compiled(cell, lower, kept):
  lowered = lower()
  text = '\n'.join((
    lowered.as_text(),
    cell.topology,
    importlib.metadata.version('libtpu'),
    environment.code_digest('aot'),
  ))  # fmt: skip
  name = hashlib.sha256(text.encode()).hexdigest()[:32]
  path = epath.Path(kept) / f'{name}.json'
  if path.exists():
    return json_text.loads(path.read_text())
  found = _read(cell, lowered)
  path.parent.mkdir(parents=True, exist_ok=True)
  files.write(path, json_text.dumps(found))
  return found


def _read(cell, lowered):
  try:
    compiled = lowered.compile()
  except Exception as error:
    if over := _OVER.search(str(error)):
      used = float(over[1]) * _UNITS[over[2]]
      return {'fits': False, 'peak': used}
    raise
  memory = compiled.memory_analysis()
  found = {
    'fits': memory.peak_memory_in_bytes <= chips.of(cell.topology)[1].hbm,
    'arguments': memory.argument_size_in_bytes,
    'temporaries': memory.temp_size_in_bytes,
    'peak': memory.peak_memory_in_bytes,
  }
  own = traffic.Program(compiled.as_text())
  body = own.body(_main(own))
  moved = own.of(body)
  cache = _LARGE * max(1, cell.batch // 8)
  found |= {
    'iteration': moved.hbm,
    'collectives': {
      kind: [moved.numbers[kind], moved.collectives[kind]]
      for kind in sorted(moved.numbers)
    },
    'host_transfers': own.host_transfers(),
    'copies': own.copies(cache, body),
  }
  drafts = [
    loop for loop in own.loops(body) if own.module.trips(loop) == cell.gamma + 1
  ]
  if drafts:
    # The layers' scan may run as often; the draft has it inside.
    steps = max((own.of(own.body(x)) for x in drafts), key=_collectives)
    found['drafter_step'] = steps.hbm
  return found


def _collectives(moved):
  return moved.hbm, sum(moved.numbers.values())


def _main(own):
  """The loop over iterations: the one of the program that moves most.

  A loop whose end the program decides: a prefill's are as long as a prompt.
  """
  entry = own.module.entry
  loops = [x for x in own.loops(entry) if own.module.trips(x) is None]
  return loops[-1] if loops else own.loops(entry)[-1]


@contextlib.contextmanager
def quiet():
  """Sets what libtpu asks for where there is no TPU."""
  os.environ.setdefault('TPU_SKIP_MDS_QUERY', '1')
  yield
