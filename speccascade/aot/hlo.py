"""Reads the text of a compiled program: computations and their instructions."""

import dataclasses
import functools
import re

_BITS = {
  'pred': 8, 's2': 2, 'u2': 2, 's4': 4, 'u4': 4, 's8': 8, 'u8': 8, 's16': 16,
  'u16': 16, 's32': 32, 'u32': 32, 's64': 64, 'u64': 64, 'bf16': 16, 'f16': 16,
  'f32': 32, 'f64': 64, 'c64': 64, 'c128': 128,
}  # fmt: skip
_FLOAT8 = re.compile(r'f[48]e\d+m\d+\w*')
_HEADER = re.compile(r'^(ENTRY )?%?([^\s(]+) \(.*\) -> .*\{$')
_LINE = re.compile(r'^\s+(ROOT )?%?([^\s=]+) = (.*)$')
_SHAPE = re.compile(r'([a-z]\w*)\[([\d,]*)\](\{[^}]*\})?')
_NAME = re.compile(r'%([\w.\-]+)')
_CALLED = re.compile(
  r'(?:calls|to_apply|body|condition|branch_computations|called_computations'
  r'|true_computation|false_computation)='
  r'(?:\{([^}]*)\}|%?([\w.\-]+))'
)


@dataclasses.dataclass(frozen=True)
class Shape:
  """An array.

  Attributes:
    dtype: name of its type.
    dims: its size.
    space: of memory; 0 is the large one.
  """

  dtype: str
  dims: tuple[int, ...]
  space: int

  @property
  def nbytes(self) -> int:
    """Bytes of its values."""
    bits = 8 if _FLOAT8.fullmatch(self.dtype) else _BITS.get(self.dtype, 0)
    for size in self.dims:
      bits *= size
    return -(-bits // 8)


@dataclasses.dataclass(frozen=True)
class Instruction:
  """One line.

  Attributes:
    name: of what it makes.
    op: what it does.
    shapes: arrays that it makes, several of a tuple.
    operands: names of what it is given.
    text: the rest of the line.
    root: whether its computation returns it.
  """

  name: str
  op: str
  shapes: tuple[Shape, ...]
  operands: tuple[str, ...]
  text: str
  root: bool

  @functools.cached_property
  def called(self) -> dict[str, list[str]]:
    """Computations by what they are to it: 'body', 'calls', ...."""
    return {
      match[0].partition('=')[0]: _NAME.findall(match[0].partition('=')[2])
      for match in _CALLED.finditer(self.text)
    }

  @property
  def source(self) -> str:
    """Where in the source it is from, as the compiler tells."""
    match = re.search(r'op_name="([^"]*)"', self.text)
    return match[1] if match else ''


@dataclasses.dataclass(frozen=True)
class Module:
  """A program.

  Attributes:
    computations: {name: {name of an instruction: it}}.
    entry: name of the computation that is the program.
  """

  computations: dict[str, dict[str, Instruction]]
  entry: str

  def root(self, computation: str) -> Instruction:
    """Returns what a computation returns."""
    own = self.computations[computation]
    return next(x for x in own.values() if x.root)

  def counts(self, loop: Instruction) -> bool:
    """Whether a loop counts up to a bound, constant or not."""
    root = self.root(loop.called['condition'][0])
    return root.op == 'compare' and 'direction=LT' in root.text

  def trips(self, loop: Instruction) -> int | None:
    """Returns how often a loop runs; None where the program decides.

    The compiler counts from 0 up to a constant.
    """
    if not self.counts(loop):
      return None
    (name,) = loop.called['condition']
    condition, root = self.computations[name], self.root(name)
    bounds = [condition[x] for x in root.operands if x in condition]
    for bound in bounds:
      if match := re.match(r'constant\((\d+)\)', bound.text):
        return int(match[1])
    return None


def parse(text: str) -> Module:
  """Parses what `as_text` of a compiled program returns.

  Raises:
    ValueError: it has no entry computation.
  """
  computations, entry, own = {}, None, None
  for line in text.splitlines():
    if header := _HEADER.match(line):
      own = computations.setdefault(header[2], {})
      entry = header[2] if header[1] else entry
    elif own is not None and (match := _LINE.match(line)):
      made = _instruction(*match.groups())
      own[made.name] = made
  if entry is None:
    raise ValueError('the text has no entry computation')
  return Module(computations, entry)


def _instruction(root, name, rest):
  shape, rest = _cut(rest)
  op, _, text = rest.partition('(')
  inside, end = '', 0
  depth = 1
  for end, char in enumerate(text):
    depth += (char == '(') - (char == ')')
    if not depth:
      inside = text[:end]
      break
  shapes = tuple(
    Shape(
      dtype,
      tuple(int(x) for x in dims.split(',') if x),
      _space(layout or ''),
    )
    for dtype, dims, layout in _SHAPE.findall(shape)
  )
  return Instruction(
    name=name,
    op=op.strip(),
    shapes=shapes,
    operands=tuple(_NAME.findall(inside)),
    text=f'{op.strip()}({text}',
    root=bool(root),
  )


def _cut(text):
  """(the shape that a line begins with, the rest)."""
  if not text.startswith('('):
    shape, _, rest = text.partition(' ')
    return shape, rest
  depth = 0
  for i, char in enumerate(text):
    depth += (char == '(') - (char == ')')
    if not depth:
      return text[: i + 1], text[i + 2 :]
  raise ValueError(f'a shape does not end: {text[:80]}')


def _space(layout):
  match = re.search(r'S\((\d+)\)', layout)
  return int(match[1]) if match else 0
