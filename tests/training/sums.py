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
  vocab_size = 4 + len(_CHARACTERS)
  pad_id, eos_ids = 0, (1, 3)

  def prompt(self, text):
    return [2, *self.encode(text)]

  def encode(self, text):
    return [4 + _CHARACTERS.index(c) for c in text]
