"""One answer to look at: which model wrote each token, and what it cost.

Letters: N generated tokens.
"""

import dataclasses
import functools
import os
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, TextIO

import numpy as np
import pydantic
import sentencepiece

from speccascade import config, methods, tokenizers
from speccascade.decoding import checks, results, schedules
from speccascade.reports.render import escape
from speccascade.studies import base
from speccascade.sweeps import batches, points
from speccascade.tasks import files
from speccascade.timing import clock

_DRAFTER = '\x1b[32m'  # Green.
_VERIFIER = '\x1b[1;35m'  # Bold magenta: distinct from green to every eye.
_RESET = '\x1b[0m'
_VISIBLE = str.maketrans({'\n': '↵', ' ': '␣'})


class Show(base.Study):
  """A method on one prompt.

  Attributes:
    prompt: text; None is that of the example.
    example: index in the split.
    method: one that drafts.
    values: of its parameters, in their order; () is the middle one of each
      parameter's examples.
    gamma: draft length.
    temperature: of both models.
    max_new_tokens: most tokens of the answer; None is what the task says.
    color: 'auto' colours on a terminal, unless NO_COLOR is set.
  """

  prompt: str | None = None
  example: config.Count = 12
  method: str = 'token_v3'
  values: tuple[config.Float, ...] = ()
  gamma: config.Gamma = 8
  temperature: config.Temperature = 0.0
  max_new_tokens: config.Tokens | None = None
  color: Literal['auto', 'always', 'never'] = 'auto'

  @pydantic.model_validator(mode='after')
  def _check_method(self):
    method = methods.get(self.method)
    if not method.drafts:
      drafting = [name for name, x in methods.METHODS.items() if x.drafts]
      raise ValueError(
        f'method={self.method} does not draft; choose from '
        f'{", ".join(drafting)}'
      )
    names = ', '.join(x.name for x in method.parameters) or 'none'
    if self.values and len(self.values) != len(method.parameters):
      raise ValueError(
        f'values={self.values}: {self.method} takes '
        f'{len(method.parameters)} ({names})'
      )
    try:
      for parameter, value in zip(method.parameters, self.values, strict=False):
        parameter.check(value, self.method)
    except ValueError as error:
      raise ValueError(f'values={self.values}: {error}') from None
    return self

  @property
  def setting(self) -> points.Setting:
    """The method with its values."""
    parameters = methods.get(self.method).parameters
    values = self.values or tuple(x.examples[1] for x in parameters)
    return points.Setting(
      self.method, values, self.temperature, 1.0, 0, self.seed
    )


def run(show: Show) -> None:
  """Decodes a prompt with a method and with the verifier alone; prints both.

  Raises:
    ValueError: the pair, task or example is not there, or the prompt is too
      long.
  """
  workload = load(show)
  setting, plan = show.setting, schedules.Plan(show.gamma)
  both_calls = calls(workload, setting, plan)
  print('Compiling, then timing...\n', file=sys.stderr)
  print(escape.printable(workload.examples[0].prompt), flush=True)
  (both, alone), (timing, alone_timing) = measure(both_calls)
  length = int(both.length_B[0])
  runs = segments(
    workload.pair.tokenizer,
    both.token_BxN[0, :length],
    both.from_drafter_BxN[0],
  )
  color = wants_color(show.color, sys.stdout)
  print(render(runs, color), end='\n\n')
  print(legend(color))
  told = summary(both, alone, timing.median, alone_timing.median)
  print(f'{setting.id(plan)}: {told}')
  print(
    f'First call, with compilation: {timing.first:.1f} s, '
    f'verifier alone {alone_timing.first:.1f} s'
  )


def load(show: Show) -> batches.Workload:
  """Loads the pair, the task and the prompt, which is the only example.

  A prompt of the config ends as the task's prompts end.

  Raises:
    ValueError: one of them is not there, or the prompt is too long.
  """
  pair, task = show.load()
  example = task.example(show.split, show.example)
  if show.prompt is not None:
    ending = example.prompt[len(example.prompt.rstrip()) :]
    prompt = files.clean(show.prompt, 'prompt').strip() + ending
    example = dataclasses.replace(example, prompt=prompt)
  if show.max_new_tokens is not None:
    task = dataclasses.replace(task, max_new_tokens=show.max_new_tokens)
  tokens = tokenizers.beginning(pair.tokenizer)
  tokens += pair.tokenizer.encode(example.prompt)
  workload = batches.Workload(
    pair, task, [example], np.array([tokens], np.int32), np.array([len(tokens)])
  )
  checks.check_prompts(
    batches.prompts(workload, [0]),
    (pair.drafter, pair.verifier),
    task.max_new_tokens,
  )
  return workload


def calls(
  workload: batches.Workload, setting: points.Setting, plan: schedules.Plan
) -> tuple[Callable[[], results.Result], ...]:
  """Returns the two decodings that are compared, as functions.

  Args:
    workload: of one example.
    setting: of a method that drafts.
    plan: Plan.

  Returns:
    Two functions without arguments that return a Result of one row: the
    setting's, and that of the verifier alone.
  """
  prompts = batches.prompts(workload, [0])
  decode = functools.partial(batches.decode, workload, prompts)
  alone = points.like(setting, methods.VERIFIER_ALONE)
  return (
    functools.partial(decode, [setting], plan),
    functools.partial(decode, [alone]),
  )


def segments(
  tokenizer: sentencepiece.SentencePieceProcessor,
  token_N: Iterable[int],
  from_drafter_N: Iterable[bool],
) -> list[tuple[str, bool]]:
  """Splits an answer by the model that wrote it.

  A piece alone does not tell whether a space precedes it, so a token's text
  is what it adds to the decoded text of those before it.

  Args:
    tokenizer: of the pair.
    token_N: the tokens of one answer.
    from_drafter_N: whether each is an accepted draft.

  Returns:
    List of (text, from_drafter): accepted drafts in runs, corrections one by
    one. The texts join to the decoded answer; a token without text, such as
    EOS, is left out.
  """
  tokens, shown, runs = [int(t) for t in token_N], '', []
  for n, from_drafter in enumerate(map(bool, from_drafter_N), 1):
    text = tokenizer.decode(tokens[:n])
    if text.endswith('\ufffd') and n < len(tokens):
      continue  # A character of several tokens appears with its last.
    added, shown = text[len(shown) :], text
    if from_drafter and runs and runs[-1][1]:
      runs[-1] = (runs[-1][0] + added, True)
    elif added:
      runs.append((added, from_drafter))
  return runs


def render(runs: Iterable[tuple[str, bool]], color: bool) -> str:
  """Returns the text of `segments` with the corrections marked.

  Args:
    runs: what `segments` returned.
    color: whether to colour drafts and corrections; otherwise corrections
      stand in brackets.

  Returns:
    The text, printable. A correction's leading space stays outside the mark;
    one that consists of white space is made visible.
  """
  return ''.join(_render(text, drafted, color) for text, drafted in runs)


def _render(text, from_drafter, color):
  text = escape.printable(text)
  if from_drafter:
    return f'{_DRAFTER}{text}{_RESET}' if color else text
  core = text.strip()
  before, _, after = text.partition(core) if core else ('', '', '')
  if not core:
    core, after = text.translate(_VISIBLE), '\n' * text.count('\n')
  marked = f'{_VERIFIER}{core}{_RESET}' if color else f'[{core}]'
  return f'{before}{marked}{after}'


def wants_color(choice: str, stream: TextIO) -> bool:
  """Returns whether to colour what is written to `stream`.

  Args:
    choice: 'always', 'never', or 'auto': on a terminal that can, unless the
      environment sets NO_COLOR (no-color.org).
    stream: where the text is written.
  """
  if choice != 'auto':
    return choice == 'always'
  plain = os.environ.get('NO_COLOR') or os.environ.get('TERM') == 'dumb'
  return stream.isatty() and not plain


def legend(color: bool) -> str:
  """Returns one line that explains `render`."""
  drafter, verifier = "the drafter's tokens", " the verifier's corrections"
  return render([(drafter, True), (verifier, False)], color)


@dataclasses.dataclass(frozen=True)
class Timing:
  """Seconds of a call: the first, which compiles, and the median after it."""

  first: float
  median: float


def measure(
  functions: Sequence[Callable[[], Any]], trials: int = 5
) -> tuple[list[Any], list[Timing]]:
  """Times functions in turns, so that a slow moment affects all of them.

  Args:
    functions: without arguments, returning arrays.
    trials: calls of each after the first, which is timed apart.

  Returns:
    (results, timings), one of each a function.
  """
  first = [clock.seconds(f) for f in functions]
  rest = [[clock.seconds(f)[1] for f in functions] for _ in range(trials)]
  medians = [statistics.median(x) for x in zip(*rest, strict=True)]
  timings = [
    Timing(seconds, median)
    for (_, seconds), median in zip(first, medians, strict=True)
  ]
  return [result for result, _ in first], timings


def summary(
  both: results.Result,
  alone: results.Result,
  both_seconds: float,
  alone_seconds: float,
) -> str:
  """Returns counts and speed beside the verifier alone, in one line.

  Args:
    both: Result of one row, of a method that drafts.
    alone: the verifier's on the same prompt.
    both_seconds: time of the first.
    alone_seconds: time of the second.
  """
  counts = both.counts
  tokens, verifier_calls, rejected = (
    int(x_B[0])
    for x_B in (both.length_B, counts.verifier_calls_B, counts.rejected_B)
  )
  cost = 1e3 * both_seconds / tokens
  alone_cost = 1e3 * alone_seconds / int(alone.length_B[0])
  return (
    f'{tokens} tokens, {verifier_calls} verifier calls, block efficiency '
    f'{tokens / verifier_calls:.2f}, {rejected / tokens:.1%} rejected; '
    f'{cost:.2f} ms/token, verifier alone {alone_cost:.2f}: '
    f'{alone_cost / cost:.2f}×'
  )
