"""Layouts: how the axes of a publisher's tensor become those of ours.

A pattern has their axes, an arrow and our axes, in the manner of einops:

  '(N H) D -> D N H'  they join the axes N and H
  '1 K D H -> D K H'  ours is at 1 of their first axis

Their axes that are joined are neighbours in ours, in the same order. So an
array of ours, or a shard of it, has a view in their layout, which is filled in
any order without a copy.
"""

import functools
import math
import re

import numpy as np

from speccascade.checkpoints import tensors

_AXIS = re.compile(r'\(([A-Z ]+)\)|([A-Z])|(\d+)')


def same(ndim: int) -> str:
  """Returns the pattern of a tensor that is stored as ours."""
  axes = ' '.join('ABCDEFGH'[:ndim])
  return f'{axes} -> {axes}'


def source_shape(pattern: str, shape: tuple[int, ...]) -> tuple[int, ...]:
  """Returns the least shape of their tensor.

  Args:
    pattern: see above.
    shape: of our array.
  """
  box = source_box(pattern, shape, tensors.everything(shape))
  return tuple(x.stop for x in box)


def source_box(
  pattern: str, shape: tuple[int, ...], box: tensors.Box
) -> tensors.Box:
  """Returns where a box of our array lies in their tensor.

  Args:
    pattern: see above.
    shape: of our array.
    box: of our array.

  Raises:
    ValueError: it is no box of theirs, for it cuts an axis that they join to
      an axis before it.
  """
  theirs, ours = _parse(pattern)
  size = dict(zip(ours, shape, strict=True))
  part = dict(zip(ours, box, strict=True))
  found = []
  for axis in theirs:
    if isinstance(axis, int):
      found.append(slice(axis, axis + 1))
      continue
    first, *rest = axis
    if any(part[x] != slice(0, size[x]) for x in rest):
      raise ValueError(f'{pattern!r} cannot be cut along {", ".join(rest)}')
    inner = math.prod(size[x] for x in rest)
    found.append(slice(part[first].start * inner, part[first].stop * inner))
  return tuple(found)


def source_view(pattern: str, x: np.ndarray) -> np.ndarray:
  """Returns a view of our array in the layout of their tensor.

  Args:
    pattern: see above.
    x: a row-major array of ours, or a part of one.
  """
  theirs, ours = _parse(pattern)
  size = dict(zip(ours, x.shape, strict=True))
  joined = [axis for axis in theirs if not isinstance(axis, int)]
  order = [ours.index(letter) for axis in joined for letter in axis]
  shape = [
    1 if isinstance(axis, int) else math.prod(size[letter] for letter in axis)
    for axis in theirs
  ]
  return x.transpose(order).reshape(shape)


@functools.cache
def _parse(pattern):
  """Their axes, each a number or a text of letters, and ours."""
  left, right = pattern.split('->')
  theirs = tuple(
    int(number) if number else (joined or letter).replace(' ', '')
    for joined, letter, number in _AXIS.findall(left)
  )
  ours = right.replace(' ', '')
  letters = [axis for axis in theirs if not isinstance(axis, int)]
  if sorted(''.join(letters)) != sorted(set(ours)) or len(set(ours)) < len(
    ours
  ):
    raise ValueError(f'{pattern!r} must have the same axes left and right')
  if any(axis not in ours for axis in letters):
    raise ValueError(f'{pattern!r} joins axes that are no neighbours in ours')
  return theirs, ours
