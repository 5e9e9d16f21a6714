"""Stop strings: an answer ends before the first of them."""

from collections.abc import Iterable, Iterator, Sequence


def cut(text: str, stops: Sequence[str]) -> str:
  """Returns a text up to where the first of several stop strings begins.

  Args:
    text: of an answer.
    stops: strings, none of them empty.
  """
  _check(stops)
  return text[: _first(text, stops)]


def until(texts: Iterable[str], stops: Sequence[str]) -> Iterator[str]:
  """Yields texts up to the first stop string of what they join to.

  What may be the beginning of one is held back until that is known. Joined,
  they are what `cut` makes of the whole.

  Args:
    texts: that join to a text.
    stops: strings, none of them empty.

  Yields:
    A text for each of those given, up to the one by which a stop string is
    known; if there is none, at last what was held back: '' as a rule.
  """
  _check(stops)
  held = ''
  for text in texts:
    held += text
    first, open_ = _first(held, stops), _open(held, stops)
    yield held[: min(first, open_)]
    if first < len(held) and first <= open_:
      return
    held = held[min(first, open_) :]
  yield held[: _first(held, stops)]


def _check(stops):
  if isinstance(stops, str) or not all(stops):
    raise ValueError(
      f'stop strings must be a list of texts that are not empty, got {stops!r}'
    )


def _first(text, stops):
  """Where the first stop string begins; the end where there is none."""
  found = [text.find(stop) for stop in stops]
  return min((i for i in found if i >= 0), default=len(text))


def _open(text, stops):
  """Where a stop string may begin that the text does not hold to its end."""
  lengths = (
    n
    for stop in stops
    for n in range(1, min(len(stop) - 1, len(text)) + 1)
    if text.endswith(stop[:n])
  )
  return len(text) - max(lengths, default=0)
