"""What several processes of one job, as of hosts of a TPU slice, agree on.

All execute the same program on the same inputs. What a result depends on and
only one process knows, as times, is that of the first process for all. Of one
process alone, nothing here does anything.

Each function that sends is called by every process, in the same order.
"""

import functools
import struct
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax import sharding as jax_sharding
from jax.experimental import multihost_utils

_PIECE = 1 << 20  # Bytes that are sent at a time: one program sends any number.


def is_several() -> bool:
  """Whether the job has more processes than this one."""
  return jax.process_count() > 1


def is_first() -> bool:
  """Whether this process writes and tells what the job has found."""
  return jax.process_index() == 0


def threads(most: int) -> int:
  """How many threads may call programs side by side: several on a CPU alone.

  Each holds its caches in the memory of a GPU or TPU, where what is known to
  fit is one program. Processes that call theirs in different orders would wait
  for each other.
  """
  alone = is_several() or jax.default_backend() != 'cpu'
  return 1 if alone else most


def wait() -> None:
  """Waits until every process is here."""
  number_of_first(0.0)


def which(flag: bool) -> list[int]:
  """Returns the processes whose flag is set, the same list on every process."""
  if not is_several():
    return [0] if flag else []
  flag_P = multihost_utils.process_allgather(np.array(flag))
  return np.flatnonzero(flag_P).tolist()


def replicated(tree: Any) -> Any:
  """Returns arrays of a mesh so that every process can fetch them whole."""
  lie = [
    x.sharding
    for x in jax.tree.leaves(tree)
    if isinstance(x, jax.Array) and not x.is_fully_addressable
  ]
  if not lie:
    return tree
  whole = jax_sharding.NamedSharding(lie[0].mesh, jax_sharding.PartitionSpec())
  return _copies(whole)(tree)


@functools.cache
def _copies(sharding):
  return jax.jit(lambda tree: tree, out_shardings=sharding)


def number_of_first(x: float) -> float:
  """Returns a number as the first process has it."""
  if not is_several():
    return x
  return struct.unpack('<d', _of_first(struct.pack('<d', x)))[0]


def bytes_of_first(data: bytes) -> bytes:
  """Returns what the first process has; what the others give is not used."""
  if not is_several():
    return data
  size = int(number_of_first(len(data)))
  data = data if is_first() else bytes(size)
  starts = range(0, size, _PIECE)
  pieces = [_of_first(data[i : i + _PIECE].ljust(_PIECE)) for i in starts]
  return b''.join(pieces)[:size]


def _of_first(data):
  sent = multihost_utils.broadcast_one_to_all(np.frombuffer(data, np.uint8))
  return sent.astype(np.uint8).tobytes()


def check_alike(digests: Mapping[str, bytes]) -> None:
  """Raises ValueError, on every process, unless all have the same.

  Args:
    digests: {what it is of: a SHA-256}; of the same names everywhere.
  """
  if not is_several():
    return
  own_NxD = np.stack([np.frombuffer(x, np.uint8) for x in digests.values()])
  all_PxNxD = multihost_utils.process_allgather(own_NxD)
  for name, own_PxD in zip(digests, all_PxNxD.swapaxes(0, 1), strict=True):
    for process in np.flatnonzero((own_PxD != own_PxD[0]).any(-1)):
      raise ValueError(
        f'process {process} has another {name} than process 0: start all '
        'processes with one command, code, environment and data'
      )
