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

import pydantic

from speccascade import config, generation, methods, pairs, tasks
from speccascade.decoding import schedules, stream
from speccascade.reports.render import escape
from speccascade.runs import memory, profiling
from speccascade.studies import base
from speccascade.sweeps import points
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
    top_p: likewise.
    top_k: likewise; 0 keeps all.
    max_new_tokens: most tokens of the answer; None is what the task says, or
      128 without one.
    stop: strings that the answer ends before.
    chat: whether the prompt is put into the tokenizer's chat template; None is
      if there is one.
    trials: times that the answer, and that of the verifier alone, are decoded
      once more, to compare what they cost.
    color: 'auto' colours on a terminal, unless NO_COLOR is set.
  """

  prompt: str | None = None
  example: config.Count = 12
  method: str = 'token_v3'
  values: tuple[config.Float, ...] = ()
  gamma: config.Gamma = 8
  temperature: config.Temperature = 0.0
  top_p: config.float32(gt=0, le=1) = 1.0
  top_k: config.Count = 0
  max_new_tokens: config.Tokens | None = None
  stop: tuple[str, ...] = ()
  chat: bool | None = None
  trials: config.Count = 5
  color: Literal['auto', 'always', 'never'] = 'auto'

  @pydantic.model_validator(mode='after')
  def _check_method(self):
    if not methods.get(self.method).drafts:
      drafting = [name for name, x in methods.METHODS.items() if x.drafts]
      raise ValueError(
        f'method={self.method} does not draft; choose from '
        f'{", ".join(drafting)}'
      )
    self.options(128)
    return self

  def options(self, max_new_tokens: int) -> generation.Options:
    """Returns how the prompt is answered, with at most so many tokens."""
    both = generation.Options.model_fields.keys() & type(self).model_fields
    own = {name: getattr(self, name) for name in both}
    return generation.Options(**own | {'max_new_tokens': max_new_tokens})


def run(show: Show, profile: profiling.Profile | None = None) -> None:
  """Shows an answer as it is written, then what it cost.

  Args:
    show: Show.
    profile: of the answer's first iterations.

  Raises:
    ValueError: the pair, task or example is not there, or the prompt is too
      long.
  """
  pair, prompt, options = load(show)
  memory.tell('with the models loaded')
  begun = generation.begin(pair, [prompt], options)
  if profile is not None:
    asked = begun.loop, pair.params, begun.request
    profile('generate', lambda n: next(stream.stream(*asked, n)))
  print('Compiling...\n', file=sys.stderr)
  started = clock.now()
  next(generation.texts(begun))  # What follows is compiled.
  compiled = clock.now() - started
  memory.tell('after the first tokens')
  print(escape.printable(prompt), flush=True)
  color, answer = wants_color(show.color, sys.stdout), None
  started = clock.now()

  def texts():
    nonlocal answer
    answer = yield from generation.texts(begun)

  for text, drafted in texts():
    print(render([(text, drafted)], color), end='', flush=True)
  seconds = clock.now() - started
  print(f'\n\n{legend(color)}')
  print(f'{label(options)}: {summary(answer, seconds)}')
  print(f'Compiled in {compiled:.1f} s.')
  if show.trials:
    print(compared(begun, show.trials))


def load(show: Show) -> tuple[pairs.Pair, str, generation.Options]:
  """Loads the pair and the prompt: (pair, prompt, options).

  A prompt of the config ends as the prompts of the task end, if there is one.

  Raises:
    ValueError: one of them is not there.
  """
  if show.prompt is not None and show.task is None:
    pair = show.load_pair()
    task = tasks.load(pair.name, {}) if pair.name in tasks.TASKS else None
  else:
    pair, task = show.load()
  if task is None:
    prompt, most = files.clean(show.prompt, 'prompt').strip(), 128
  else:
    prompt, most = _of_task(show, task), task.max_new_tokens
  return pair, prompt, show.options(show.max_new_tokens or most)


def _of_task(show, task):
  example = task.example(show.split, show.example)
  if show.prompt is None:
    return example.prompt
  ending = example.prompt[len(example.prompt.rstrip()) :]
  return files.clean(show.prompt, 'prompt').strip() + ending


def label(options: generation.Options) -> str:
  """Returns the name of a point of a sweep that decodes alike."""
  sampling = options.temperature, options.top_p, options.top_k, options.seed
  setting = points.Setting(options.method, options.method_values, *sampling)
  return setting.id(schedules.Plan(options.gamma))


def summary(answer: generation.Answer, seconds: float) -> str:
  """Returns counts and speed of an answer in one line.

  Args:
    answer: of a method that drafts.
    seconds: that it took, the prompt included.
  """
  number, accepted = len(answer.tokens), sum(answer.from_drafter)
  return (
    f'{number} tokens, {number / seconds:.1f} a second; '
    f'{answer.verifier_calls} verifier calls, block efficiency '
    f'{number / answer.verifier_calls:.2f}; {accepted} of {answer.drafted} '
    f'drafts accepted ({accepted / answer.drafted:.1%})'
  )


def compared(begun: generation.Begun, trials: int) -> str:
  """Decodes once more, in turns with the verifier alone; returns a line."""
  alone = dataclasses.replace(
    begun,
    loop=None,
    request=begun.request.replace(values=((),)),
    options=begun.options.model_copy(
      update={'method': methods.VERIFIER_ALONE.name, 'values': ()}
    ),
  )
  found, timings = measure(
    [functools.partial(generation.decode, x) for x in (begun, alone)], trials
  )
  cost, alone_cost = (
    1e3 * timing.median / int(result.length_B[0])
    for result, timing in zip(found, timings, strict=True)
  )
  return (
    f'Decoded at once, the median of {trials}: {cost:.2f} ms/token, verifier '
    f'alone {alone_cost:.2f} ({int(found[1].length_B[0])} tokens): '
    f'{alone_cost / cost:.2f}×'
  )


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
