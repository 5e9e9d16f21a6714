"""The text of an answer, token by token."""

from collections.abc import Iterable, Iterator

from speccascade.tokenizers import base

_UNFINISHED = '\ufffd'  # How a part of a character is decoded.
_LONGEST = 4  # Bytes of a character in UTF-8, so no more tokens than that.


def spell(tokenizer: base.Tokenizer, tokens: Iterable[int]) -> Iterator[str]:
  """Yields the text that each token adds to that of those before it.

  A character of several tokens comes with its last. The texts join to the
  decoded answer, however long it is, by decoding a few tokens at a time; only
  of bytes that are no text may more or fewer be replaced by U+FFFD.

  Args:
    tokenizer: the tokenizer.
    tokens: of an answer.

  Yields:
    A text for each token, and at last that of a character that was not
    finished: '' as a rule.
  """
  anchor = []  # What the text is decoded after, once there is some before it.
  held, given = [], 0  # Tokens without all their text; what of it was yielded.
  for token in map(int, tokens):
    held.append(token)
    text = _after(tokenizer, anchor, held)
    whole = len(text.rstrip(_UNFINISHED))
    unfinished = len(text) - whole
    if not unfinished:
      yield text[given:]
      if text or anchor:  # Space that begins a text may come with what follows.
        held, given = [], 0
    elif whole > given:  # It ends a character, and begins another.
      yield text[given:whole]
      held = [token]
      given = len(_after(tokenizer, anchor, held)) - unfinished
    elif len(held) < _LONGEST:
      yield ''
    else:
      number, end = _never_finished(tokenizer, anchor, held, text)
      yield text[given:end]
      held, given = held[number:], 0
    if text and not anchor:
      anchor = tokenizer.encode('a')
  yield _after(tokenizer, anchor, held)[given:]


def _after(tokenizer, anchor, tokens):
  """The text of tokens that follow others.

  Decoders drop or change the space that a text begins with.
  """
  return tokenizer.decode(anchor + tokens)[len(tokenizer.decode(anchor)) :]


def _never_finished(tokenizer, anchor, held, text):
  """The first tokens that are bytes of no character: (number, their text)."""
  for number in range(1, len(held) + 1):
    parts = held[:number], held[number:]
    first, rest = (_after(tokenizer, anchor, part) for part in parts)
    if first + rest == text:
      return number, len(first)
  return len(held), len(text)
