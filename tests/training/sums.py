"""A task of sums and a tokenizer of characters, small and exact.

Worker processes import this module, so it does not import JAX.
"""

import dataclasses

from speccascade.tasks import example

_CHARACTERS = '0123456789+=;'


@dataclasses.dataclass(frozen=True)
class Sums:
  max_new_tokens: int = 5

  def example(self, split, index):
    n = 31 * index + (7 if split == 'validation' else 0)
    a, b = n % 5, n // 5 % 13
    target = f'{a + b};' * (1 + n % 2)  # Ragged.
    return example.Example(index, f'{a}+{b}=', target, str(a + b))


class Characters:
  def vocab_size(self):
    return 4 + len(_CHARACTERS)

  def bos_id(self):
    return 2

  def eos_id(self):
    return 1

  def encode(self, texts):
    return [[4 + _CHARACTERS.index(c) for c in text] for text in texts]
