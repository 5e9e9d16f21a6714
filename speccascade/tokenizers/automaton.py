"""The automaton that finds stop strings in a text as its tokens come.

Of the characters: Aho and Corasick, "Efficient string matching", 1975. Of the
tokens: the characters of each, read from every state.

Letters: S states, V vocabulary, A characters of the stop strings and one for
all others, C characters of the longest token.
"""

import functools
from collections.abc import Sequence

import numpy as np

from speccascade.tokenizers import stops as stops_lib
from speccascade.tokenizers.base import Tokenizer

_BEFORE = 'a'  # A token at the beginning may lose the space before it.


@functools.lru_cache(maxsize=8)
def automaton(tokenizer: Tokenizer, stops: tuple[str, ...], size: int):
  """Returns the states of a text by what it may still become.

  A character that several tokens share, as bytes, is none of a stop string.

  Args:
    tokenizer: of the text.
    stops: strings, none of them empty.
    size: V, at least the tokenizer's pieces; further tokens have no text.

  Returns:
    int16 array next_SxV: see `decoding.stops.Stops`.

  Raises:
    ValueError: a stop string is empty.
  """
  stops_lib.cut('', stops)  # Raises if one is empty.
  characters, next_SxA = _of_characters(stops)
  texts = _texts(tokenizer)
  other = len(characters)
  codes = [[characters.get(c, other) for c in text] for text in texts]
  length_V = np.zeros(size, int)
  length_V[: len(codes)] = [len(code) for code in codes]
  state_SxV = np.tile(np.arange(len(next_SxA))[:, None], size)
  for at in range(length_V.max(initial=0)):
    own = np.flatnonzero(length_V > at)
    read = [codes[token][at] for token in own]
    state_SxV[:, own] = next_SxA[state_SxV[:, own], read]
  state_SxV = state_SxV.astype(np.int16)
  state_SxV.setflags(write=False)
  return state_SxV


def _texts(tokenizer):
  """What each token adds to a text."""
  (before,) = tokenizer.encode(_BEFORE)[-1:]
  start = len(tokenizer.decode([before]))
  return [
    tokenizer.decode([before, token])[start:]
    for token in range(tokenizer.vocab_size)
  ]


def _of_characters(stops: Sequence[str]):
  """({character: its column}, next_SxA) of the automaton of characters."""
  characters = {c: i for i, c in enumerate(sorted(set(''.join(stops))))}
  prefixes = {stop[:n] for stop in stops for n in range(len(stop) + 1)}
  live = sorted(
    (p for p in prefixes if not any(stop in p for stop in stops)), key=len
  )
  state = {prefix: i for i, prefix in enumerate(live)}
  end = len(live)
  next_SxA = np.zeros((end + 1, len(characters) + 1), int)
  next_SxA[end] = end
  for prefix, i in state.items():
    for c, column in characters.items():
      text = prefix + c
      if any(stop in text for stop in stops):
        next_SxA[i, column] = end
        continue
      while text not in state:  # At last the empty one is.
        text = text[1:]
      next_SxA[i, column] = state[text]
  return characters, next_SxA
