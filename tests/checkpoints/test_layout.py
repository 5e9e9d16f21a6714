import numpy as np
import pytest

from speccascade.checkpoints import layout, tensors

# (pattern, our shape, their shape, ours of theirs).
CASES = [
  ('V D -> V D', (5, 3), (5, 3), lambda x: x),
  ('F D -> D F', (3, 4), (4, 3), lambda x: x.T),
  ('(N H) D -> D N H', (3, 2, 4), (8, 3), lambda x: x.T.reshape(3, 2, 4)),
  ('D (N H) -> N H D', (2, 4, 3), (3, 8), lambda x: x.T.reshape(2, 4, 3)),
  ('(N H) -> N H', (2, 4), (8,), lambda x: x.reshape(2, 4)),
  ('1 K D H -> D K H', (3, 2, 4), (2, 2, 3, 4), lambda x: x[1].swapaxes(0, 1)),
  ('0 D F -> D F', (3, 4), (1, 3, 4), lambda x: x[0]),
]
for_each = pytest.mark.parametrize(('pattern', 'ours', 'theirs', 'make'), CASES)


@for_each
def test_a_view_is_filled_as_they_store_it(pattern, ours, theirs, make):
  assert layout.source_shape(pattern, ours) == theirs
  x = np.arange(np.prod(theirs)).reshape(theirs)
  found = np.zeros(ours, x.dtype)
  whole = tensors.everything(ours)
  view = layout.source_view(pattern, found)
  view[...] = x[layout.source_box(pattern, ours, whole)]
  np.testing.assert_array_equal(found, make(x))


@for_each
def test_a_part_of_ours_is_a_box_of_theirs(pattern, ours, theirs, make):
  """Of each axis of ours that begins one of theirs, every cut."""
  x = np.arange(np.prod(theirs)).reshape(theirs)
  for axis, size in enumerate(ours):
    if pattern.split('-> ')[1].split()[axis] == 'H' and '(' in pattern:
      continue
    for i in range(size):
      part = list(tensors.everything(ours))
      part[axis] = slice(i, i + 1)
      found = np.zeros(tensors.sizes(part), x.dtype)
      box = layout.source_box(pattern, ours, tuple(part))
      layout.source_view(pattern, found)[...] = x[box]
      np.testing.assert_array_equal(found, make(x)[tuple(part)])


def test_an_axis_that_is_joined_to_one_before_it_is_not_cut():
  part = slice(0, 3), slice(0, 2), slice(0, 1)
  with pytest.raises(ValueError, match='cannot be cut along H'):
    layout.source_box('(N H) D -> D N H', (3, 2, 4), part)


@pytest.mark.parametrize(
  ('pattern', 'message'),
  [
    ('F D -> D', 'the same axes left and right'),
    ('F -> F D', 'the same axes left and right'),
    ('D D -> D D', 'the same axes left and right'),
    ('(H N) D -> D N H', 'joins axes that are no neighbours in ours'),
    ('(N H) D -> N D H', 'joins axes that are no neighbours in ours'),
  ],
)
def test_patterns_that_have_no_view(pattern, message):
  with pytest.raises(ValueError, match=message):
    layout.source_shape(pattern, (2,) * len(pattern.split('-> ')[1].split()))


def test_ours():
  assert layout.same(3) == 'A B C -> A B C'
