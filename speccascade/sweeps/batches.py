"""What a sweep decodes, batch by batch.

Letters: E examples, P prompts of a batch, S prompt tokens, B rows.
"""

import dataclasses
import functools
import itertools
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from absl import logging

from speccascade import methods, pairs, tokenizers
from speccascade.decoding import loop as loop_lib
from speccascade.decoding import results, schedules, stream
from speccascade.decoding import stops as stops_lib
from speccascade.methods import choice as choice_lib
from speccascade.sampling import keys, probabilities
from speccascade.sweeps import points
from speccascade.timing import costs as costs_lib

_ALIGNED = 32  # Every width is a multiple.
# Prompts share a width unless it saves more than its programs take to compile:
# narrower ones do not, nor ones of fewer batches, unless the next is far wider.
_NARROW, _FEW, _FAR = 128, 4, 8


@dataclasses.dataclass(frozen=True)
class Workload:
  """A pair, a task and its examples, tokenised.

  Attributes:
    pair: pairs.Pair.
    task: tasks.Task.
    examples: of it.
    token_ExS: their prompts, padded on the right.
    length_E: tokens of each prompt.
    costs: for the schedules that weigh them.
    asked: what all that is decoded in slots asks for, see
      `probabilities.Sampling`.
  """

  pair: pairs.Pair
  task: Any
  examples: list
  token_ExS: np.ndarray
  length_E: np.ndarray
  costs: costs_lib.Costs | None = None
  asked: str = probabilities.ANY


def load(
  pair: pairs.Pair,
  task: Any,
  split: str,
  num_examples: int,
  max_prompt_tokens: int | None = None,
) -> Workload:
  """Tokenises examples of a task for a pair.

  Args:
    pair: Pair.
    task: Task.
    split: of the task.
    num_examples: the first so many.
    max_prompt_tokens: longest prompt; None is what the pair takes.

  Raises:
    ValueError: an example is not there, or does not fit the pair.
  """
  examples = task.examples(split, num_examples)
  limit = min(
    model.longest_prompt(task.max_new_tokens)
    for model in (pair.drafter, pair.verifier)
  )
  if limit < 1:
    raise ValueError(
      f'task {task.name} generates up to {task.max_new_tokens} tokens, which '
      f'leaves pair {pair.name} no room for a prompt; use a pair of longer '
      'context'
    )
  if limit < (wanted := task.max_input_tokens or limit):
    logging.warning(
      'a prompt of %s has room for %d tokens in pair %s, not for %d: the end '
      'of longer documents is cut',
      task.name,
      limit,
      pair.name,
      wanted,
    )
  limit = min(limit, wanted)
  longest = limit if max_prompt_tokens is None else max_prompt_tokens
  rendered, texts = prompt_texts(pair.tokenizer, task, examples, limit)
  token_ExS, length_E = tokenizers.encode_prompts(
    pair.tokenizer, texts, min(longest, limit), rendered=rendered
  )
  return Workload(pair, task, examples, token_ExS, length_E)


def prompt_texts(
  tokenizer: tokenizers.Tokenizer, task: Any, examples: Sequence, limit: int
) -> tuple[bool, list[str]]:
  """Returns whether prompts are chats that are rendered, and their texts.

  Args:
    tokenizer: of the pair.
    task: Task, which says whether documents are cut.
    examples: of the task.
    limit: the most tokens of a prompt, to which its document is cut.

  Raises:
    ValueError: they are to be chats, and the tokenizer has no template; or a
      prompt has no room for its document.
  """
  chat = tokenizer.template is not None if task.chat is None else task.chat
  own = 0 if chat else len(tokenizer.beginning) + len(tokenizer.ending)

  def write(prompt):
    if not chat:
      return prompt
    return tokenizer.chat([{'role': 'user', 'content': prompt}])

  def text(example):
    if task.max_input_tokens is None or not example.document:
      return write(example.prompt)
    parts = example.prompt, example.document
    try:
      return tokenizers.fit(tokenizer, write, *parts, limit - own)
    except ValueError as error:
      raise ValueError(
        f'example {example.id} of {task.name}: {error}; raise '
        'task_args.max_input_tokens or lower task_args.shots'
      ) from None

  return chat, [text(example) for example in examples]


def answer(workload: Workload, token_N: Sequence[int]) -> str:
  """Returns the text of an answer, up to its first stop string."""
  text = workload.pair.tokenizer.decode(token_N)
  return tokenizers.cut(text, workload.task.stop)


def padded(length: int) -> int:
  """The narrowest width that holds so many tokens.

  There are few widths, as programs are compiled for each: 32, 64, 96, 128, and
  then two a doubling, 192, 256, 384, 512, ...
  """
  power = 1 << (int(length) - 1).bit_length()
  width = power * 3 // 4 if length <= power * 3 // 4 else power
  return -(-width // _ALIGNED) * _ALIGNED


def prompts(
  workload: Workload,
  index_P: Sequence[int],
  copies: int = 1,
  width: int | None = None,
) -> results.Prompts:
  """Prompts of some examples, padded no wider than needed.

  Args:
    workload: Workload.
    index_P: which examples.
    copies: rows of each.
    width: tokens to pad to, at least the longest; None is the narrowest of
      `padded` that holds it.
  """
  index_P = np.asarray(index_P)
  length_P = workload.length_E[index_P]
  width = padded(length_P.max()) if width is None else width
  token_PxS = np.zeros((len(index_P), width), np.int32)
  held = min(width, workload.token_ExS.shape[1])
  token_PxS[:, :held] = workload.token_ExS[index_P, :held]
  return results.Prompts(token_PxS, length_P, index_P, copies=copies)


def by_width(
  workload: Workload, index_E: Sequence[int], size: int
) -> Iterator[tuple[Any, int, int]]:
  """Batches of one size whose prompts share a width, narrow ones first.

  Few widths are used, and prompts short of a batch of theirs go into one of the
  next: each width needs a program. One long prompt does not widen the others.

  Args:
    workload: Workload.
    index_E: examples, in the order to be decoded within a width.
    size: P.

  Yields:
    (index_P, how many of them count, width): the last batch is filled up, and
    one of few long prompts is not.
  """
  index_E = np.asarray(index_E, int)
  width_E = width_E_of(workload, _FEW * size)[index_E]
  rest, used = np.array([], int), np.unique(width_E).tolist()
  for n, width in enumerate(used):
    rest = np.concatenate([rest, index_E[width_E == width]])
    whole = len(rest) // size * size
    for start in range(0, whole, size):
      yield rest[start : start + size], size, width
    rest = rest[whole:]
    last = width == used[-1] or _is_far(width, used[n + 1])
    if len(rest) and last:
      few = n and _is_far(used[n - 1], width)
      yield (rest if few else np.resize(rest, size)), len(rest), width
      rest = rest[:0]


def width_E_of(
  workload: Workload, many: int, held: int | None = None
) -> np.ndarray:
  """The width, of few, that each example is padded to.

  Args:
    workload: Workload.
    many: examples for which a program of their own is worth compiling.
    held: tokens that a cache holds after its prompt, where width costs little
      else: a program is worth compiling for caches of half the length only.
  """
  own_E = np.array([padded(length) for length in workload.length_E])
  own_E = np.clip(own_E, min(_NARROW, own_E.max()), None)
  widths = _widths(own_E, many, held)
  return widths[np.searchsorted(widths, own_E)]


def _is_far(width, wider):
  return wider > _FAR * width


def _widths(own_E, many, held):
  """Widths that are worth a program: of many, or far from the next."""
  chosen = []
  widths, number = np.unique(own_E, return_counts=True)
  for width, own in zip(widths[::-1].tolist(), number[::-1], strict=True):
    near = held is not None and chosen and 2 * (width + held) > chosen[0] + held
    if not chosen or (own >= many and not near) or _is_far(width, chosen[0]):
      chosen.insert(0, width)
  return np.array(chosen)


def parts(
  settings: Sequence[points.Setting], rows: int
) -> Iterator[Sequence[points.Setting]]:
  """Settings in as few parts of equal size as fit a batch.

  Args:
    settings: to be decoded.
    rows: most of a batch.
  """
  number = len(settings)
  size = -(-number // -(-number // rows))
  for start in range(0, len(settings), size):
    yield settings[start : start + size]


def program(
  settings: Sequence[points.Setting],
  plan: schedules.Plan | None,
  number: int,
  width: int,
  choice: choice_lib.Choice | None = None,
) -> Hashable:
  """Tells the programs of `decode` apart: equal for calls that share one.

  Args:
    settings: as of `decode`.
    plan: likewise.
    number: P.
    width: S.
    choice: as of `decode`.
  """
  of = [s.of if choice is None or plan is None else choice for s in settings]
  groups = tuple((m, len(list(own))) for m, own in itertools.groupby(of))
  asked = probabilities.asked(*_samplings(settings))
  return groups, plan and (plan.gamma, plan.schedule), number, width, asked


def decode(
  workload: Workload,
  prompts: results.Prompts,
  settings: Sequence[points.Setting],
  plan: schedules.Plan | None = None,
  choice: choice_lib.Choice | None = None,
  observe: Any = None,
) -> results.Result:
  """Decodes prompts under settings of one seed and top-k.

  Args:
    workload: Workload.
    prompts: Prompts with a copy for each setting.
    settings: of drafting methods, equal ones side by side, or of one other
      method; row b follows setting b // P and continues prompt b mod P.
    plan: how drafts are sized; None where nothing is drafted ahead.
    choice: of methods, the setting's among them: shares one program between
      them, for one setting at a time. It is to be timed, and sums no D_TV.
    observe: see `decoding.loop.Loop`.

  Returns:
    Result.
  """
  groups, request = _asked(workload, prompts, settings, plan, choice)
  return methods.decode(
    _models(workload.pair),
    workload.pair.params,
    groups,
    request,
    plan,
    workload.task.max_new_tokens,
    workload.pair.eos_ids,
    observe,
    divergences=choice is None,
  )


def start(
  workload: Workload,
  prompts: results.Prompts,
  settings: Sequence[points.Setting],
  plan: schedules.Plan,
  iterations: int,
) -> results.Result:
  """Decodes as `decode`, and ends after so many iterations of the loop."""
  groups, request = _asked(workload, prompts, settings, plan, None)
  loop = methods.make_loop(
    _models(workload.pair),
    groups,
    plan,
    workload.task.max_new_tokens,
    workload.pair.eos_ids,
  )
  steps = stream.stream(loop, workload.pair.params, request, iterations)
  return next(steps)


def _models(pair):
  return pair.drafter, pair.verifier


def _asked(workload, prompts, settings, plan, choice):
  """(groups, Request) of a batch; see `decode`."""
  P = len(prompts.length_P)
  column = lambda values: np.repeat(np.array(values, float), P)  # noqa: E731
  groups, values = [], []
  for name, own in itertools.groupby(settings, lambda s: s.method):
    own = list(own)
    method, rows = methods.METHODS[name], len(own) * P
    taken = tuple(map(column, zip(*(s.values for s in own), strict=True)))
    if choice is not None and plan is not None:
      method, taken = choice, choice.values(method, taken, rows)
    groups.append(loop_lib.Group(method, rows))
    values.append(taken)
  # Of these rows alone: what is timed does not hang on what else is asked for.
  temperature_S, top_p_S, top_k = _samplings(settings)
  sampling = probabilities.of_rows(
    column(temperature_S), column(top_p_S), top_k
  )
  request = results.Request(
    prompts,
    sampling,
    tuple(values),
    keys.make(settings[0].seed),
    parameter(workload, plan),
    stops(workload.pair, workload.task.stop),
  )
  return tuple(groups), request


def _samplings(settings):
  """(temperature and top-p of each setting, their top-k)."""
  temperature_S, top_p_S = zip(*(s.sampling for s in settings), strict=True)
  return temperature_S, top_p_S, settings[0].top_k


def stops(
  pair: pairs.Pair, strings: tuple[str, ...]
) -> stops_lib.Stops | tuple[()]:
  """Returns what tells decoding where a row has written one of the strings."""
  size = pair.verifier.config.vocab_size
  return _stops(pair.tokenizer, strings, size) if strings else ()


@functools.lru_cache(maxsize=4)  # Batches share it, on the device.
def _stops(tokenizer, strings, size):
  return stops_lib.Stops(
    jnp.asarray(tokenizers.automaton(tokenizer, strings, size))
  )


def parameter(workload: Workload, plan: schedules.Plan | None) -> Any:
  """What a plan's schedule is given at run time; () without, or not known."""
  if plan is None:
    return ()
  if is_measured(plan):
    return np.array(costs_G(workload.costs, plan) or ())
  return () if plan.parameter is None else plan.parameter


def is_measured(plan: schedules.Plan | None) -> bool:
  """Whether the plan's schedule weighs what iterations cost."""
  return plan is not None and schedules.get(plan.schedule).measured


def costs_G(
  costs: costs_lib.Costs | None, plan: schedules.Plan
) -> tuple[float, ...] | None:
  """The costs that a measured plan's schedule is given; None if not known."""
  return costs and costs.weighed(plan)
