"""Random choices that generate an example from its seed, split and index."""

import hashlib
import random
from collections.abc import Callable, Sequence

# The split of a content, by the last five bits of its hash.
_SPLITS = ('test', 'validation', *['train'] * 30)

Draw = Callable[[int, int], int]  # A number from low to high, both included.


def drawer(seed: int, split: str, index: int) -> Draw:
  """Returns the draws of one example, which depend on no other example.

  Raises:
    ValueError: if there is no such split, or `index` is negative.
  """
  if split not in _SPLITS:
    raise ValueError(f'split must be train, validation or test, got {split!r}')
  if index < 0:
    raise ValueError(f'index must be non-negative, got {index}')
  uniform = random.Random(f'{seed}/{split}/{index}').random

  def draw(low, high):
    return low + int(uniform() * (high - low + 1))

  return draw


def choice(draw: Draw, options: Sequence):
  """Draws one of the options."""
  return options[draw(0, len(options) - 1)]


def split_of(content: str) -> str:
  """Returns the one split that a content may appear in."""
  digest = hashlib.blake2b(content.encode(), digest_size=1).digest()
  return _SPLITS[digest[0] % len(_SPLITS)]
