"""Progress of long work, on stderr: a bar, or plain lines off a terminal.

Of several processes the first shows it.
"""

import sys

import tqdm

from speccascade import hosts
from speccascade.timing import clock

_SECONDS = 15  # Between plain lines.


class Progress:
  """Counts units of work; shows the rate and the time left."""

  def __init__(self, total: float, unit: str):
    """Starts the clock at 0 of `total` units."""
    self._bar = None
    self._is_shown = sys.stderr is not None and hosts.is_first()
    if self._is_shown and sys.stderr.isatty():
      self._bar = tqdm.tqdm(total=total, unit=unit)
    self._total, self._unit, self._text = total, unit, ''
    self._done, self._start = 0, clock.now()
    self._next = self._start

  def describe(self, text: str) -> None:
    """Shows `text` beside the count from now on."""
    self._text = text
    if self._bar is not None:
      self._bar.set_description(text)

  def advance(self, units: float) -> None:
    """Adds completed units."""
    self._done += units
    if self._bar is not None:
      self._bar.update(units)
      return
    now = clock.now()
    if not self._is_shown:
      return
    if now < self._next and self._done < self._total:
      return
    self._next = now + _SECONDS
    rate = self._done / max(now - self._start, 1e-9)
    seconds = max(self._total - self._done, 0) / rate if rate else None
    left = '?' if seconds is None else f'{round(seconds):.6g}'
    print(
      f'{self._done:.15g}/{self._total:.15g} {self._unit}  {rate:.3g} '
      f'{self._unit}/s  {left} s left  {self._text}',
      file=sys.stderr,
      flush=True,
    )

  def __enter__(self):
    return self

  def __exit__(self, *error):
    if self._bar is not None:
      self._bar.close()
