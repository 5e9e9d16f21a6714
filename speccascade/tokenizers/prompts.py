"""Batches of prompts as tokens."""

import bisect
from collections.abc import Callable, Sequence

import numpy as np

from speccascade.tokenizers import base


def encode_prompts(
  tokenizer: base.Tokenizer,
  texts: Sequence[str],
  max_length: int,
  rendered: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
  """Encodes prompts, each with the tokenizer's beginning and ending.

  Args:
    tokenizer: the tokenizer.
    texts: B prompts.
    max_length: the most tokens of a prompt.
    rendered: whether the texts are chats that `tokenizer.chat` rendered, with
      their own beginning.

  Returns:
    token_BxS: int32, of as many as the longest has, padded on the right with
      zeros, which no model reads.
    length_B: int32, the number of tokens in each row, the beginning included.

  Raises:
    ValueError: if a prompt has more than `max_length` tokens, or none.
  """
  before, after = tokenizer.beginning, tokenizer.ending
  if rendered:
    before = after = ()
  encoded = []
  for row, text in enumerate(texts):
    tokens = [*before, *tokenizer.encode(text), *after]
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
    encoded.append(tokens)
  length_B = np.array([len(tokens) for tokens in encoded], np.int32)
  token_BxS = np.zeros((len(encoded), length_B.max(initial=0)), np.int32)
  for row, tokens in enumerate(encoded):
    token_BxS[row, : len(tokens)] = tokens
  return token_BxS, length_B


def fit(
  tokenizer: base.Tokenizer,
  write: Callable[[str], str],
  prompt: str,
  document: str,
  max_length: int,
) -> str:
  """Returns a prompt with as much of its document as there is room for.

  The end of the document is cut. What comes before and after it is kept, such
  as shots and a question.

  Args:
    tokenizer: the tokenizer.
    write: returns what is encoded of a prompt, as a chat.
    prompt: which has the document in it.
    document: not empty.
    max_length: the most tokens of the text, without beginning and ending.

  Raises:
    ValueError: there is no room for any of it.
  """
  before, _, after = prompt.rpartition(document)

  def text(size):
    return write(before + document[:size] + after)

  def length(size):
    return len(tokenizer.encode(text(size)))

  size = len(document)
  if length(size) > max_length:
    size = bisect.bisect_right(range(size), max_length, key=length) - 1
  if size < 1:
    raise ValueError(
      f'the prompt has {length(0)} tokens beside its document, which leaves '
      f'no room in {max_length}'
    )
  return text(size)
