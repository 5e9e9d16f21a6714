"""Batches of prompts as tokens."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from speccascade.tokenizers import base


def encode_prompts(
  tokenizer: base.Tokenizer,
  texts: Sequence[str],
  max_length: int,
  keep: Literal['start', 'end'] | None = None,
  rendered: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
  """Encodes prompts, each with the tokenizer's beginning and ending.

  Args:
    tokenizer: the tokenizer.
    texts: B prompts.
    max_length: S, the most tokens of a prompt.
    keep: the side of a longer text that is kept; None refuses it.
    rendered: whether the texts are chats that `tokenizer.chat` rendered, with
      their own beginning.

  Returns:
    token_BxS: int32, padded on the right with zeros, which no model reads.
    length_B: int32, the number of tokens in each row, the beginning included.

  Raises:
    ValueError: if a prompt has more than `max_length` tokens and is not to be
      cut, or none.
  """
  before, after = tokenizer.beginning, tokenizer.ending
  if rendered:
    before = after = ()
  room = max_length - len(before) - len(after)
  token_BxS = np.zeros((len(texts), max_length), np.int32)
  length_B = np.zeros(len(texts), np.int32)
  for row, text in enumerate(texts):
    middle = tokenizer.encode(text)
    if keep is not None and len(middle) > room >= 1:
      middle = middle[-room:] if keep == 'end' else middle[:room]
    tokens = [*before, *middle, *after]
    if len(tokens) > max_length:
      raise ValueError(
        f'prompt {row} has {len(tokens)} tokens, more than max_length '
        f'{max_length}'
      )
    if not tokens:
      raise ValueError(
        f'prompt {row} is empty, and the tokenizer has no beginning; a model '
        'needs a token to start from'
      )
    token_BxS[row, : len(tokens)] = tokens
    length_B[row] = len(tokens)
  return token_BxS, length_B
