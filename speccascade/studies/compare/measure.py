"""Times decoding here and in transformers, in turns."""

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from speccascade.decoding import results
from speccascade.runs import progress as progress_lib
from speccascade.studies import show
from speccascade.studies.compare import answers as answers_lib
from speccascade.studies.compare import config, peer
from speccascade.sweeps import batches

HERE, THERE = 'speccascade', 'transformers'
GENERATE, ASSISTED = 'generate', 'assisted'


class Way(NamedTuple):
  """How answers are decoded.

  Attributes:
    library: HERE or THERE.
    name: of the method.
    lossless: whether at temperature 0 the text is the verifier's.
    decode: prompts of a batch -> their answers.
    most: rows of a batch that it takes; None for any number.
  """

  library: str
  name: str
  lossless: bool
  decode: Callable[[results.Prompts], answers_lib.Answers]
  most: int | None = None


@dataclasses.dataclass(frozen=True)
class Row:
  """What a way took at one batch size.

  Attributes:
    way: Way.
    batch: rows.
    timing: of all examples; None where the way does not take such batches.
    answers: likewise.
  """

  way: Way
  batch: int
  timing: show.Timing | None = None
  answers: answers_lib.Answers | None = None

  @property
  def speed(self) -> float:
    """Tokens a second."""
    return self.answers.tokens / self.timing.median


def ways(
  study: config.Compare, workload: batches.Workload, models: peer.Models
) -> list[Way]:
  """Returns every way that a study compares."""
  return [
    *(_here(workload, setting, plan) for setting, plan in study.points),
    *_there(study, workload, models),
  ]


def _here(workload, setting, plan):
  told = [setting.method.replace('_alone', ' alone')]
  told += [f'{name} = {x:g}' for name, x in setting.parameters.items()]
  told += [] if plan is None else [f'γ = {plan.gamma}']

  def decode(prompts):
    result = batches.decode(workload, prompts, [setting], plan)
    return answers_lib.of(jax.device_get(result))

  return Way(HERE, ', '.join(told), setting.of.lossless, decode)


def _there(study, workload, models):
  tokenizer = workload.pair.tokenizer
  settings = peer.settings(
    tokenizer.eos_ids,
    tokenizer.pad_id or 0,
    workload.task.max_new_tokens,
    study.temperature,
  )
  generate = functools.partial(
    peer.generate, models, settings=settings, seed=study.seed
  )
  assisted = {f'γ = {gamma}': peer.assistant(gamma) for gamma in study.gammas}
  assisted['its defaults'] = {}
  return [Way(THERE, GENERATE, True, generate)] + [
    Way(
      THERE,
      f'{ASSISTED}, {name}',
      True,
      functools.partial(generate, assistant=assistant),
      most=1,
    )
    for name, assistant in assisted.items()
  ]


def measure(
  ways: list[Way], workload: batches.Workload, batch: int, trials: int
) -> list[Row]:
  """Times all ways at one batch size.

  In a turn each way decodes all examples, after the way before.

  Args:
    ways: list of Way.
    workload: Workload, of examples that fill its batches.
    batch: rows of a batch.
    trials: turns of each way after the first, which compiles.
  """
  examples = np.arange(len(workload.examples)).reshape(-1, batch)
  width = int(workload.length_E.max())
  prompts = [batches.prompts(workload, x, width=width) for x in examples]

  able = [way for way in ways if way.most is None or batch <= way.most]
  turns = len(able) * (1 + trials)
  with progress_lib.Progress(turns * len(prompts), 'batches') as progress:

    def decode(way):
      progress.describe(f'batch size {batch}, {way.library}, {way.name}')
      found = []
      for x in prompts:
        found.append(way.decode(x))
        progress.advance(1)
      return answers_lib.join(found)

    answers, timings = show.measure(
      [functools.partial(decode, way) for way in able], trials
    )
  rows = {
    way: Row(way, batch, timing, answer)
    for way, timing, answer in zip(able, timings, answers, strict=True)
  }
  return [rows.get(way, Row(way, batch)) for way in ways]
