"""Reading compiled programs: what their loops write.

Fusions count as what they write, not as what happens within them.
"""

import dataclasses
import re

import numpy as np

_VIEWS = ('parameter', 'get-tuple-element', 'bitcast')  # Write nothing.


@dataclasses.dataclass(frozen=True)
class Write:
  """An instruction that writes an array.

  Attributes:
    name: of the instruction; that of a fusion tells of its parts.
    operation: 'fusion', 'copy', 'dot', ...
    shape: of the array.
  """

  name: str
  operation: str
  shape: tuple[int, ...]

  @property
  def size(self):
    """Elements of the array."""
    return int(np.prod(self.shape, dtype=int))

  @property
  def in_place(self):
    """Whether it writes a part of an array that is there."""
    return 'dynamic-update-slice' in self.name


def in_loops(text):
  """Returns the Write of each array that the loops of a program write.

  Args:
    text: of a program that was compiled with optimisations.
  """
  computations = _computations(text)
  todo, written = re.findall(r'\bbody=%([\w.-]+)', text), []
  for name in todo:
    for line in computations[name]:
      found = re.search(r'%(\S+) = \w+\[([\d,]*)\]\S* ([\w-]+)\(', line)
      if found and found[3] not in _VIEWS:
        shape = tuple(int(n) for n in found[2].split(',') if n)
        written.append(Write(found[1], found[3], shape))
      todo += _called(line)
  return written


def _called(line):
  names = re.findall(r'to_apply=%([\w.-]+)', line)
  for branches in re.findall(r'branch_computations=\{([^}]*)\}', line):
    names += re.findall(r'%([\w.-]+)', branches)
  return names + re.findall(r'_computation=%([\w.-]+)', line)


def _computations(text):
  found, name = {}, None
  for line in text.splitlines():
    if line.endswith('{') and '->' in line:
      name = re.match(r'(?:ENTRY )?%([\w.-]+)', line).group(1)
      found[name] = []
    elif name and ' = ' in line:
      found[name].append(line)
  return found
