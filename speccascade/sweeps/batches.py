"""What a sweep decodes, batch by batch.

Letters: E examples, P prompts of a batch, S prompt tokens, B rows.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from speccascade import methods, pairs, tokenizers
from speccascade.decoding import blocks, results, schedules
from speccascade.decoding import loop as loop_lib
from speccascade.methods import choice as choice_lib
from speccascade.sampling import probabilities
from speccascade.sweeps import points

_BUCKET = 32  # Prompts are padded to a multiple: few shapes, few compiles.


@dataclasses.dataclass(frozen=True)
class Workload:
  """A pair, a task and its examples, tokenised.

  Attributes:
    pair: pairs.Pair.
    task: tasks.Task.
    examples: of it.
    token_ExS: their prompts, padded on the right.
    length_E: tokens of each prompt.
    costs: timing.costs.Costs, for the schedules that weigh them.
  """

  pair: pairs.Pair
  task: Any
  examples: list
  token_ExS: np.ndarray
  length_E: np.ndarray
  costs: Any = None


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
  longest = limit if max_prompt_tokens is None else max_prompt_tokens
  token_ExS, length_E = tokenizers.encode_prompts(
    pair.tokenizer, [e.prompt for e in examples], min(longest, limit)
  )
  return Workload(pair, task, examples, token_ExS, length_E)


def padded(length: int) -> int:
  """The next multiple of the bucket."""
  return -(-int(length) // _BUCKET) * _BUCKET


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
    width: tokens to pad to, at least the longest; None is the next multiple
      of 32.
  """
  index_P = np.asarray(index_P)
  length_P = workload.length_E[index_P]
  width = padded(length_P.max()) if width is None else width
  token_PxS = np.zeros((len(index_P), width), np.int32)
  held = min(width, workload.token_ExS.shape[1])
  token_PxS[:, :held] = workload.token_ExS[index_P, :held]
  return results.Prompts(token_PxS, length_P, index_P, copies=copies)


def split(index_E: Sequence[int], size: int) -> Iterator[tuple[Any, int]]:
  """Batches of one size, so that nothing recompiles.

  Args:
    index_E: examples, in the order to be decoded.
    size: P; no more than there are examples are taken at a time.

  Yields:
    (index_P, how many of them count): the last batch is filled up with
    examples from the first on.
  """
  index_E = np.asarray(index_E)
  size = min(size, len(index_E))
  for start in range(0, len(index_E), size):
    own = index_E[start : start + size]
    filled = np.concatenate([own, index_E[: size - len(own)]])
    yield filled, len(own)


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
      them, for one setting at a time.
    observe: see `decoding.loop.Loop`.

  Returns:
    Result.
  """
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
  sampling = probabilities.Sampling(
    column([s.temperature for s in settings]),
    column([s.top_p for s in settings]),
    top_k=settings[0].top_k,
  )
  request = results.Request(
    prompts,
    sampling,
    tuple(values),
    jax.random.key(settings[0].seed),
    () if plan is None else _parameter(workload, plan),
  )
  pair = workload.pair
  return methods.decode(
    (pair.drafter, pair.verifier),
    pair.params,
    tuple(groups),
    request,
    plan,
    workload.task.max_new_tokens,
    tokenizers.EOS,
    observe,
  )


def _parameter(workload, plan):
  """What a plan's schedule is given at run time."""
  if schedules.get(plan.schedule).measured:
    G = plan.gamma + 1
    return np.array(workload.costs.iteration_G(blocks.widths(G, False), G))
  return () if plan.parameter is None else plan.parameter
