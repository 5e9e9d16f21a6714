"""Bytes that a compiled program moves, with its loops counted.

A loop whose end the program decides counts once. Of branches the one that
moves most counts, among those without loops of their own: attention reads its
whole cache, and nothing is bisected for top-p.
"""

import collections
import dataclasses

from speccascade.aot import hlo

# They move nothing of their own.
_FREE = frozenset((
  'parameter', 'constant', 'tuple', 'get-tuple-element', 'bitcast',
  'after-all', 'partition-id', 'replica-id', 'iota', 'copy-done', 'slice-done',
  'opt-barrier', 'optimization-barrier', 'domain', 'custom-call',
  'add-dependency',
))  # fmt: skip
COLLECTIVES = (
  'all-gather', 'all-reduce', 'all-to-all', 'collective-permute',
  'reduce-scatter',
)  # fmt: skip
_PARTS = ('dynamic-slice', 'slice', 'gather')  # Of their first operand.
_HOST = ('infeed', 'outfeed', 'send', 'recv')


@dataclasses.dataclass(frozen=True)
class Traffic:
  """What an execution moves, in bytes of one device.

  Attributes:
    hbm: read from its large memory, or written.
    collectives: {kind: (number, bytes of what they make)}.
  """

  hbm: float = 0
  collectives: collections.Counter = dataclasses.field(
    default_factory=collections.Counter
  )
  numbers: collections.Counter = dataclasses.field(
    default_factory=collections.Counter
  )

  def __add__(self, other):
    return Traffic(
      self.hbm + other.hbm,
      self.collectives + other.collectives,
      self.numbers + other.numbers,
    )

  def __sub__(self, other):
    return Traffic(
      self.hbm - other.hbm,
      self.collectives - other.collectives,
      self.numbers - other.numbers,
    )

  def __mul__(self, times):
    return Traffic(
      self.hbm * times,
      collections.Counter({k: v * times for k, v in self.collectives.items()}),
      collections.Counter({k: v * times for k, v in self.numbers.items()}),
    )


class Program:
  """A compiled program, by what its computations move."""

  def __init__(self, text: str):
    """Of the text that the compiler gives."""
    self.module = hlo.parse(text)
    self._known, self._used = {}, {}

  def of(self, computation: str) -> Traffic:
    """Returns what an execution of a computation moves."""
    if computation not in self._known:
      own = self.module.computations[computation]
      self._known[computation] = sum(
        (self._instruction(x, own) for x in own.values()), Traffic()
      )
    return self._known[computation]

  def loops(self, computation: str) -> list[hlo.Instruction]:
    """Returns the loops of a computation, not those within them."""
    own = self.module.computations[computation].values()
    return [x for x in own if x.op == 'while']

  def body(self, loop: hlo.Instruction) -> str:
    """Returns the name of a loop's body."""
    return loop.called['body'][0]

  def host_transfers(self) -> list[str]:
    """Returns the instructions that meet the host."""
    return [
      x.name
      for own in self.module.computations.values()
      for x in own.values()
      if x.op.removesuffix('-start').removesuffix('-done') in _HOST
    ]

  def copies(self, least: int, within: str) -> list[str]:
    """Returns copies of so many bytes in what a computation executes."""
    found = []
    for name in self._reached(within):
      for x in self.module.computations[name].values():
        is_copy = x.op in ('copy', 'copy-start', 'gather', 'concatenate')
        if is_copy and x.shapes and x.shapes[0].nbytes >= least:
          if not any(s.space for s in x.shapes[:2]):
            found.append(f'{x.name}: {x.shapes[0].dtype}{x.shapes[0].dims}')
    return found

  def _reached(self, computation):
    found, left = set(), [computation]
    while left:
      name = left.pop()
      if name in found:
        continue
      found.add(name)
      for x in self.module.computations[name].values():
        if x.op != 'fusion':
          left += [y for names in x.called.values() for y in names]
    return found

  def _instruction(self, x, own):
    if x.op in _FREE or x.op.endswith('-done'):
      return Traffic()
    if x.op == 'while':
      return self.of(self.body(x)) * (self.module.trips(x) or 1)
    if x.op == 'conditional':
      return self._branch(x)
    if x.op in ('call', 'async-start'):
      names = [y for names in x.called.values() for y in names]
      return sum(map(self.of, names), Traffic())
    kind = x.op.removesuffix('-start')
    if kind in COLLECTIVES:
      made = sum(s.nbytes for s in _results(x))
      counter = collections.Counter
      return Traffic(
        self._moved(x, own), counter({kind: made}), counter({kind: 1})
      )
    return Traffic(self._moved(x, own))

  def _branch(self, x):
    names = [y for names in x.called.values() for y in names]
    plain = [n for n in names if not self.loops(n)] or names
    return max(map(self.of, plain), key=lambda t: t.hbm)

  def _moved(self, x, own):
    """Bytes of the operands that it reads and of what it writes."""
    shapes = [own[name].shapes for name in x.operands if name in own]
    if x.op == 'fusion':
      return self._fused(x, shapes)
    if x.op == 'dynamic-update-slice':
      return _hbm(shapes[1]) + _part_of(shapes[1], x.shapes)
    if x.op in _PARTS:
      return _hbm(x.shapes) + _part_of(x.shapes, shapes[0])
    if x.op == 'copy-start':  # Makes (destination, source, context).
      return _hbm(x.shapes[:1]) + sum(map(_hbm, shapes[:1]))
    if x.op == 'broadcast':
      return _hbm(x.shapes)
    return _hbm(_results(x)) + sum(map(_hbm, shapes))

  def _fused(self, x, shapes):
    """A slice of an operand counts as the slice, an update as the update."""
    (name,) = x.called['calls']
    read = sum(
      self._read(name, number, _hbm(given))
      for number, given in enumerate(shapes)
      if _hbm(given)
    )
    return read + self._written(x, name)

  def _written(self, x, computation):
    """Bytes that a fusion writes."""
    inside = self.module.computations[computation]
    root, total = self.module.root(computation), 0
    names = root.operands if root.op == 'tuple' else (root.name,)
    if len(names) != len(x.shapes):  # As of a reduction of several arrays.
      return _hbm(x.shapes)
    for shape, name in zip(x.shapes, names, strict=True):
      made = inside[name]
      while made.op == 'bitcast':
        made = inside[made.operands[0]]
      update = (shape,)
      if made.op == 'dynamic-update-slice':
        update = inside[made.operands[1]].shapes
      total += _part_of(update, (shape,))
    return total

  def _read(self, computation, number, whole):
    """Bytes that a fusion reads of a parameter of so many."""
    users = self._users(computation)
    inside = self.module.computations[computation]
    start = next(
      x.name
      for x in inside.values()
      if x.op == 'parameter' and x.text.startswith(f'parameter({number})')
    )
    total, left = 0, [(start, False)]
    while left:
      name, updated = left.pop()
      if inside[name].root and not updated:
        return whole
      for user in users[name]:
        if user.op == 'bitcast':
          left.append((user.name, updated))
        elif user.op in _PARTS and user.operands[0] == name:
          total += user.shapes[0].nbytes
        elif user.op == 'dynamic-update-slice' and user.operands[0] == name:
          # In place: what is written counts where it is written.
          left.append((user.name, True))
        elif user.op == 'tuple' and updated:
          continue  # It is returned.
        elif user.op == 'fusion':
          (nested,) = user.called['calls']
          if self.module.root(nested).op == 'copy' and len(user.operands) == 1:
            left.append((user.name, updated))  # Laid out anew as it is read.
            continue
          for i, operand in enumerate(user.operands):
            if operand == name:
              total += self._read(nested, i, whole)
        else:
          return whole
    return min(total, whole)

  def _users(self, computation):
    if computation not in self._used:
      users = collections.defaultdict(list)
      for x in self.module.computations[computation].values():
        for operand in dict.fromkeys(x.operands):
          users[operand].append(x)
      self._used[computation] = users
    return self._used[computation]


def _results(x):
  """Arrays that an instruction makes, of those that it starts, too."""
  if not x.op.endswith('-start') or x.op == 'all-reduce-start':
    return x.shapes
  number = len(x.operands)  # Of (operands, results, ...).
  return x.shapes[number : 2 * number]


def _hbm(shapes):
  return sum(s.nbytes for s in shapes if not s.space)


def _part_of(part, whole):
  """Bytes of a part of an array; 0 where the array is not in HBM."""
  return 0 if whole[0].space else sum(s.nbytes for s in part)
