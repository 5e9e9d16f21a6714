"""TPU chips, by what a program needs of them.

Sources: Google Cloud's pages of each version ("System architecture": v4, v5e,
v5p, v6e, tpu7x): memory and its bandwidth, peak in bfloat16, and the bandwidth
of the links between chips, both directions of all.
"""

import dataclasses

GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Chip:
  """What a device of a slice has; a chip of tpu7x is two devices.

  Attributes:
    hbm: bytes of memory.
    bandwidth: bytes a second that it reads or writes.
    flops: multiplications and additions a second, bfloat16.
    links: bytes a second to other chips.
    devices: that JAX sees of one chip.
    slices: names of slices, small ones first.
  """

  hbm: int
  bandwidth: float
  flops: float
  links: float
  slices: tuple[str, ...]
  devices: int = 1


CHIPS = {
  'v4': Chip(32 * GIB, 1.228e12, 275e12, 300e9, ('2x2x1', '2x2x2', '2x2x4')),
  'v5e': Chip(16 * GIB, 0.819e12, 197e12, 200e9, ('1x1', '2x2', '2x4', '4x4')),
  'v5p': Chip(95 * GIB, 2.765e12, 459e12, 600e9, ('2x2x1', '2x2x2', '2x2x4')),
  'v6e': Chip(32 * GIB, 1.640e12, 918e12, 448e9, ('1x1', '2x2', '2x4', '4x4')),
  'tpu7x': Chip(
    96 * GIB, 3.69e12, 1153e12, 600e9, ('2x2x1', '2x2x2'), devices=2
  ),
}


def of(topology: str) -> tuple[str, Chip]:
  """Returns (version, Chip) of a topology such as v5e:2x4.

  Raises:
    ValueError: there is no such version.
  """
  version, colon, _ = topology.partition(':')
  if version not in CHIPS or not colon:
    raise ValueError(
      f'topology {topology!r} must be a version and a slice, such as v5e:2x4; '
      f'versions: {", ".join(CHIPS)}'
    )
  return version, CHIPS[version]
