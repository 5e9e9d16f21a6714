"""Metrics of a run: JSONL, TensorBoard and one line of progress.

`metrics.jsonl` has one object a logged step. A resumed run drops the lines
past its checkpoint, and a torn one, and writes them again.
"""

import datetime
import json
import sys
from collections.abc import Mapping

import tensorboardX
import tqdm
from etils import epath


class Writer:
  """Appends metrics to a folder and prints them."""

  def __init__(self, folder: epath.PathLike, step: int, num_steps: int):
    """Opens the metrics in `folder` and drops lines past `step`.

    Args:
      folder: of the run.
      step: last step that the run has finished.
      num_steps: steps of the whole run.
    """
    self._path = epath.Path(folder) / 'metrics.jsonl'
    kept = [line for line in read(folder) if line['step'] <= step]
    self._path.write_text(''.join(json.dumps(x) + '\n' for x in kept))
    self._board = tensorboardX.SummaryWriter(
      str(folder), purge_step=step + 1, write_to_disk=True
    )
    self._num_steps = num_steps
    self._bar = None
    if sys.stderr.isatty():
      self._bar = tqdm.tqdm(initial=step, total=num_steps, unit='step')

  def write(self, step: int, values: Mapping[str, float], rate: float) -> None:
    """Logs one step.

    Args:
      step: training step, counted from 1.
      values: metrics by name.
      rate: steps a second; predicts the time left.
    """
    with self._path.open('a') as f:
      f.write(json.dumps({'step': step, **values}) + '\n')
    for name, value in values.items():
      self._board.add_scalar(name, value, step)
    self._board.flush()
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
    self._board.close()
    if self._bar is not None:
      self._bar.close()


def read(folder: epath.PathLike) -> list[dict[str, float]]:
  """Returns the whole lines of `metrics.jsonl`; none without the file."""
  path = epath.Path(folder) / 'metrics.jsonl'
  if not path.exists():
    return []
  lines = path.read_text().split('\n')[:-1]  # What follows '\n' is torn.
  return [json.loads(line) for line in lines]
