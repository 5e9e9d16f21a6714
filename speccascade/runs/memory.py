"""Memory of the devices of this process, where they tell of it."""

import sys
from collections.abc import Sequence

import jax

_FIELDS = {
  'bytes_in_use': 'in use',
  'peak_bytes_in_use': 'at the peak',
  'bytes_limit': 'at most',
}


def tell(when: str, devices: Sequence[jax.Device] | None = None) -> None:
  """Prints on stderr what each device holds; a line in all if they agree.

  Args:
    when: what was done last.
    devices: None is those of this process; a CPU tells nothing.
  """
  devices = jax.local_devices() if devices is None else devices
  told = {str(device): _line(device.memory_stats()) for device in devices}
  told = {name: line for name, line in told.items() if line}
  if len(told) > 1 and len(set(told.values())) == 1:
    told = {f'each of {len(told)} devices': next(iter(told.values()))}
  for name, line in told.items():
    print(f'memory {when}, {name}: {line}', file=sys.stderr, flush=True)


def _line(stats):
  return ', '.join(
    f'{stats[field] / 2**30:.2f} GiB {name}'
    for field, name in _FIELDS.items()
    if field in (stats or {})
  )
