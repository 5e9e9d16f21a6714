"""What a sweep decodes in slots: answers of many settings to many prompts.

The rows of a batch are shared among methods by what each has to write; the
answers to a prompt share one reading of it. Answers that differ in a method's
parameters alone are branches of one slot, at most 32: what they have in common
is written once. The schedule `load` weighs all rows and has no branches.

Letters: B slots, R slots of a group, J bundles of a group, W items of a bundle,
P prompts, S prompt tokens.
"""

import dataclasses
import itertools
from collections.abc import Hashable, Iterator, Sequence

import jax
import numpy as np

from speccascade import methods, sharding
from speccascade.decoding import (
  branches,
  results,
  schedules,
  serving,
  slots,
)
from speccascade.decoding import loop as loop_lib
from speccascade.decoding import queue as queue_lib
from speccascade.sampling import keys
from speccascade.sweeps import batches, points

Item = tuple[points.Setting, int]  # A setting and an example.
Bundle = list[Item]  # Of a slot: they differ in their parameters alone.

_MANY = 64  # Prompts that are worth a program of their own width.
_PAGES = 4  # Prompts of so many pages are read in the order of their lengths.
_FEWEST = 32  # Arrays are padded to so many times a power of two.
_BRANCHES = 32  # Most of a slot.
# What a bundle of n items has to write lies between one answer and n, and
# mostly near one: it is taken to be n to this power.
_COMMON = 0.25


def parts(
  workload: batches.Workload, items: Sequence[Item], rows: int
) -> Iterator[tuple[int, int, list[Item]]]:
  """Yields (S, slots, items) of few widths of prompts, narrow ones first.

  Wider ones have fewer slots, so that their caches take no more memory, but one
  for each method if that is at most `rows`: each has its own, and a program of
  its own takes longer to compile than a slot is worth.

  Args:
    workload: Workload.
    items: to be decoded.
    rows: most slots, of the narrowest.
  """
  held = workload.task.max_new_tokens
  width_E = batches.width_E_of(workload, _MANY, held).tolist()
  narrowest = min(width_E)
  ways = sharding.rows_over(workload.pair.params)
  width_of = lambda item: width_E[item[1]]  # noqa: E731
  for width, own in itertools.groupby(sorted(items, key=width_of), width_of):
    own = list(own)
    names = list(dict.fromkeys(s.method for s, _ in own))
    fitting = rows * (narrowest + held) // (width + held)
    most = min(rows, max(len(names), fitting))
    if most % ways:  # Else each device would hold all slots.
      even = most - most % ways
      most = even if even >= len(names) else min(rows, even + ways)
    for start in range(0, len(names), most):
      part = names[start : start + most]
      yield width, most, [item for item in own if item[0].method in part]


def program(
  items: Sequence[Item], plan: schedules.Plan | None, rows: int, width: int
) -> Hashable:
  """Tells the programs of `decode` apart: equal for calls that share one."""
  groups = _groups(items, plan)
  shapes = tuple((own[0][0][0].of, _padded(len(own))) for own in groups)
  prompts = len({example for _, example in items})
  held = plan and (plan.gamma, plan.schedule)
  return shapes, _branches(groups), _rows(groups, rows), held, width, prompts


def decode(
  workload: batches.Workload,
  items: Sequence[Item],
  plan: schedules.Plan | None,
  rows: int,
  width: int,
) -> Iterator[tuple[list[Item], results.Result]]:
  """Decodes answers, and tells of them as they end.

  Args:
    workload: Workload.
    items: of drafting methods, or of one other; one seed and top-k.
    plan: how drafts are sized; None where nothing is drafted ahead.
    rows: most slots, at least one a method.
    width: S.

  Yields:
    (items, Result of a row each).

  Raises:
    ValueError: a model gave a logit that is not finite.
  """
  items = _by_length(workload, items, width)
  made, params, queue, ordered = ask(workload, items, plan, rows, width)
  for ended in serving.serve(made, params, queue):
    yield _apart([ordered[id_] for id_ in ended.ids.tolist()], ended.result)


def samples(
  workload: batches.Workload,
  items: Sequence[Item],
  plan: schedules.Plan | None,
  rows: int,
  width: int,
  number: int,
) -> Iterator[tuple[list[tuple[Item, int]], results.Result]]:
  """Decodes several answers of each item, whose prompt is read once.

  Args:
    workload: see `decode`, as of the others.
    items: likewise; of any one method, or of several that draft.
    plan: likewise.
    rows: likewise.
    width: likewise.
    number: of answers.

  Yields:
    ((item, which of its answers) of each row, Result without D_TV). The first
    is that of `decode`.
  """
  items = _by_length(workload, items, width)
  made, params, queue, ordered = ask(
    workload, items, plan, rows, width, divergences=False, number=number
  )
  for ended in serving.serve(made, params, queue):
    told = [divmod(id_, number) for id_ in ended.ids.tolist()]
    own = [[(item, sample) for item in ordered[at]] for at, sample in told]
    yield _apart(own, ended.result)


def start(
  workload: batches.Workload,
  items: Sequence[Item],
  plan: schedules.Plan | None,
  rows: int,
  width: int,
  turns: int,
) -> results.Result:
  """Decodes so many turns; see `decode`.

  Returns:
    Result of the slots as they are then, a row for each of their branches.
  """
  items = _by_length(workload, items, width)
  made, params, queue, _ = ask(workload, items, plan, rows, width)
  state, _ = serving.step(made, params, queue, turns)
  result = slots.result(made, state)
  if result.length_B.ndim == 1:
    return result
  return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), result)


def ask(workload, items, plan, rows, width, divergences=True, number=1):
  """(Slots, parameters, Queue, bundles by the ids of it); see `decode`.

  Of `number` answers to each item, the ids are so many times as high.
  """
  pair, task, groups = workload.pair, workload.task, _groups(items, plan)
  rows_of, branched = _rows(groups, rows, number), _branches(groups)
  setting, _ = items[0]
  if plan is None:
    models = pair.drafter, pair.verifier
    decoder, params = setting.of.slots(
      models, pair.params, task.max_new_tokens, pair.eos_ids
    )
  else:
    of = [own[0][0][0].of for own in groups]
    decoder = methods.make_loop(
      (pair.drafter, pair.verifier),
      tuple(map(loop_lib.Group, of, rows_of)),
      plan,
      task.max_new_tokens,
      pair.eos_ids,
      divergences=divergences,
    )
    if branched > 1:
      decoder = branches.Branches(decoder, branched)
    params = pair.params
  examples = list(dict.fromkeys(example for _, example in items))
  made = queue_lib.slots_of(decoder, sum(rows_of), width, len(examples))
  ordered = [bundle for own in groups for bundle in own]
  ids = iter(range(len(ordered)))
  place = {example: i for i, example in enumerate(examples)}
  answers = tuple(
    _answers(own, [next(ids) for _ in own], place, number, branched)
    for own in groups
  )
  P = _padded(len(examples))
  prompts = batches.prompts(workload, examples, width=width)
  queue = queue_lib.Queue(
    token_PxS=_pad(prompts.token_PxS, P),
    length_P=_pad(prompts.length_P.astype(np.int32), P),
    example_P=_pad(prompts.example_P.astype(np.int32), P),
    number=np.int32(len(examples)),
    answers=answers,
    key=keys.make(setting.seed),
    schedule_parameter=batches.parameter(workload, plan),
    stops=batches.stops(pair, task.stop),
    top_k=setting.top_k,
    asked=workload.asked,
  )
  return made, params, queue, ordered


def _apart(bundles, result):
  """(items, Result of a row each) of bundles, whose rows may have branches."""
  items = [item for own in bundles for item in own]
  if result.length_B.ndim == 1:
    return items, result
  row, branch = zip(
    *((n, w) for n, own in enumerate(bundles) for w in range(len(own))),
    strict=True,
  )
  return items, jax.tree.map(lambda x: x[list(row), list(branch)], result)


def _answers(own, ids, place, number, branched):
  """queue.Answers of the bundles of a group."""
  J = len(own) * number
  column = lambda x, kind=float: _pad(  # noqa: E731
    np.repeat(np.array(x, kind), number, axis=0), _padded(J)
  )
  sample_J = np.tile(np.arange(number, dtype=np.int32), len(own))
  first = [bundle[0] for bundle in own]
  if branched == 1:
    values = tuple(map(column, zip(*(s.values for s, _ in first), strict=True)))
  else:
    each = zip(*(_values(bundle, branched) for bundle in own), strict=True)
    values = (
      column([len(bundle) for bundle in own], np.int32),
      *map(column, each),
    )
  return queue_lib.Answers(
    id_J=column(ids, np.int32) * number + _pad(sample_J, _padded(J)),
    prompt_J=column([place[e] for _, e in first], np.int32),
    sample_J=_pad(sample_J, _padded(J)),
    temperature_J=column([s.temperature for s, _ in first]),
    top_p_J=column([s.top_p for s, _ in first]),
    values=values,
    number=np.int32(J),
  )


def _by_length(workload, items, width):
  """Items by their examples, and those of a few pages by the prompts' lengths.

  A page is read as far as its longest prompt. What stands first stays near.
  """
  examples, place = list(dict.fromkeys(e for _, e in items)), {}
  size = _PAGES * max(1, queue_lib.PAGE // width)
  for start in range(0, len(examples), size):
    own = examples[start : start + size]
    for example in sorted(own, key=lambda e: -workload.length_E[e]):
      place[example] = len(place)
  return sorted(items, key=lambda item: place[item[1]])


def _values(bundle: Bundle, branched: int):
  """W values of each parameter; past the last item they do not matter."""
  values = [s.values for s, _ in bundle]
  values += values[-1:] * (branched - len(values))
  return zip(*values, strict=True)


def _groups(items, plan):
  """Bundles by method, in the order of their prompts."""
  place = {e: i for i, e in enumerate(dict.fromkeys(e for _, e in items))}
  apart = plan is None or schedules.get(plan.schedule).begin is not None
  own = {}
  for setting, example in items:
    like = dataclasses.replace(setting, values=()), example
    own.setdefault(setting.method, {}).setdefault(like, []).append(
      (setting, example)
    )
  most = 1 if apart else _BRANCHES
  cut = [
    [
      bundle[start : start + most]
      for bundle in alike.values()
      for start in range(0, len(bundle), most)
    ]
    for alike in own.values()
  ]
  return [sorted(x, key=lambda bundle: place[bundle[0][1]]) for x in cut]


def _branches(groups):
  """W, the least power of two that holds each bundle."""
  most = max(len(bundle) for own in groups for bundle in own)
  return 1 << (most - 1).bit_length()


def _rows(groups, rows, number=1):
  """R of each group: of at most so many rows, by what each has to write."""
  most = [len(own) * number for own in groups]
  rows = min(rows, sum(most))
  parts = [sum(len(bundle) ** _COMMON for bundle in own) for own in groups]
  shares = [part / sum(parts) * rows for part in parts]
  found = [max(1, min(map(int, x))) for x in zip(shares, most, strict=True)]
  while sum(found) > rows:  # Those that have one for less than one share.
    found[found.index(max(found))] -= 1
  while sum(found) < rows:  # Those that got least of theirs first.
    less = [i for i in range(len(groups)) if found[i] < most[i]]
    found[max(less, key=lambda i: shares[i] - found[i])] += 1
  return tuple(found)


def _padded(number):
  """The least power of two times `_FEWEST` that holds so many."""
  return _FEWEST * max(1, 1 << (-(-number // _FEWEST) - 1).bit_length())


def _pad(x, size):
  spare = [(0, size - len(x))] + [(0, 0)] * (x.ndim - 1)
  return np.pad(x, spare, mode='edge')
