"""Metrics of a run: JSONL, TensorBoard and one line of progress.

`metrics.jsonl` has one object a logged step. A resumed run drops the lines
past its checkpoint, and a torn one, and writes them again.
"""

import datetime
import sys
from collections.abc import Mapping

import tqdm
from etils import epath

from speccascade import hosts
from speccascade.runs import events
from speccascade.storage import json_text, lines

_NAME = 'metrics.jsonl'


class Writer:
  """Appends metrics to a folder and prints them.

  On any process but the first it does neither.
  """

  def __init__(self, folder: epath.PathLike, step: int, num_steps: int):
    """Opens the metrics in `folder` and drops lines past `step`.

    Args:
      folder: of the run.
      step: last step that the run has finished.
      num_steps: steps of the whole run.
    """
    self._lines = self._bar = None
    if not hosts.is_first():
      return
    kept = [line for line in read(folder) if line['step'] <= step]
    path = epath.Path(folder) / _NAME
    lines.write(path, kept)
    self._lines = lines.Log(path, _parse)
    self._events = events.Writer(folder, step + 1)
    self._num_steps = num_steps
    if sys.stderr.isatty():
      self._bar = tqdm.tqdm(initial=step, total=num_steps, unit='step')

  def write(self, step: int, values: Mapping[str, float], rate: float) -> None:
    """Logs one step.

    Args:
      step: training step, counted from 1.
      values: metrics by name.
      rate: steps a second; predicts the time left.
    """
    if self._lines is None:
      return
    self._lines.append([{'step': step, **values}])
    self._events.write(step, values)
    self._events.flush()
    text = '  '.join(f'{name} {value:.4g}' for name, value in values.items())
    if self._bar is not None:
      self._bar.set_postfix_str(text, refresh=False)
      self._bar.update(step - self._bar.n)
      return
    left = round((self._num_steps - step) / rate)
    print(
      f'step {step}/{self._num_steps}  {text}  '
      f'{rate:.3g} steps/s  '
      f'{datetime.timedelta(seconds=left)} left',
      flush=True,
    )

  def __enter__(self):
    return self

  def __exit__(self, *error):
    if self._lines is None:
      return
    self._lines.close()
    self._events.close()
    if self._bar is not None:
      self._bar.close()


def read(folder: epath.PathLike) -> list[dict[str, float]]:
  """Returns the whole lines of `metrics.jsonl`; none without the file.

  Raises:
    ValueError: a line is damaged; the message names it.
  """
  return lines.read(epath.Path(folder) / _NAME, _parse)


def _parse(line):
  values = json_text.loads(line)
  if not isinstance(values, dict) or type(values.get('step')) is not int:
    raise ValueError('it is no line of metrics')
  return values
