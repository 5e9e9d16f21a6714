"""Progress of long work: a bar on a terminal, plain lines elsewhere."""

import sys
import time

import tqdm

_SECONDS = 15  # Between plain lines.


class Progress:
  """Counts units of work towards a total, with the rate and the time left."""

  def __init__(self, total, unit):
    """Starts at zero of `total` units."""
    self._bar = None
    if sys.stderr.isatty():
      self._bar = tqdm.tqdm(total=total, unit=unit)
    self._total, self._unit, self._text = total, unit, ''
    self._done, self._start = 0, time.monotonic()
    self._next = self._start

  def describe(self, text):
    """Says what is being worked on."""
    self._text = text
    if self._bar is not None:
      self._bar.set_description(text)

  def advance(self, units):
    """Adds finished units."""
    self._done += units
    if self._bar is not None:
      self._bar.update(units)
      return
    now = time.monotonic()
    if now < self._next and self._done < self._total:
      return
    self._next = now + _SECONDS
    rate = self._done / max(now - self._start, 1e-9)
    left = max(self._total - self._done, 0) / rate
    print(
      f'{self._done:g}/{self._total:g} {self._unit}  {rate:.3g} {self._unit}/s'
      f'  {left:.0f} s left  {self._text}',
      flush=True,
    )

  def __enter__(self):
    return self

  def __exit__(self, *error):
    if self._bar is not None:
      self._bar.close()
