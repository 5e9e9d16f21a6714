"""Decodes a queue in slots, and tells of answers as they end.

Letters: B slots, J answers of a group, P prompts, S prompt tokens, O rows of
the table.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from speccascade import hosts, sharding
from speccascade.decoding import checks, decoders, results, slots
from speccascade.decoding import queue as queue_lib
from speccascade.sampling import keys, probabilities

# Fields of a state that have a row a slot, or a slot of a group.
_OF_SLOTS = 'id_B', 'begun_B', 'u_BxMxU', 'sampling', 'values'


class Ended(NamedTuple):
  """Answers that ended in a call, a row each.

  Attributes:
    ids: of `queue.Answers`.
    result: Result of numpy arrays; of slots with branches, a row has W rows.
    begun: turn in which each was given a slot.
    ended: turn that ended it.
    turn: turns so far.
    busy: slots that had an answer, summed over these turns.
    idle: whether all answers of the queue have ended.
  """

  ids: np.ndarray
  result: results.Result
  begun: np.ndarray
  ended: np.ndarray
  turn: int
  busy: int
  idle: bool


def serve(
  made: queue_lib.Slots,
  params: tuple[Any, ...],
  queue: queue_lib.Queue,
  turns: int = 64,
) -> Iterator[Ended]:
  """Decodes all answers of a queue; the device does not wait for the host.

  Args:
    made: Slots; others compile another program, as do other shapes of `queue`.
    params: of its models.
    queue: Queue of host arrays.
    turns: most turns of the loop between two looks at the table.

  Yields:
    Ended, whenever there are some.

  Raises:
    ValueError: an argument is out of range, nothing was compiled; or a model
      gave a logit that is not finite.
  """
  check(made, queue)
  device = jax.tree.map(jnp.asarray, queue)
  state, told = advance(made, params, device, turns)
  while True:
    state, following = advance(made, params, device, turns, state)
    ended = read(device, told)
    if len(ended.ids):
      yield ended
    if ended.idle:
      return
    told = following


def step(
  made: queue_lib.Slots,
  params: tuple[Any, ...],
  queue: queue_lib.Queue,
  turns: int,
  state: queue_lib.State | None = None,
) -> tuple[queue_lib.State, Ended]:
  """Decodes so many turns of a queue, or fewer where less is there.

  Args:
    made: Slots.
    params: of its models.
    queue: Queue; to that of the step before more may be added.
    turns: as in `serve`.
    state: of the step before, which is spent; None begins.

  Returns:
    (the next state, what has ended).

  Raises:
    ValueError: a model gave a logit that is not finite.
  """
  state, told = advance(made, params, queue, turns, state)
  return state, read(queue, told)


def advance(
  made: queue_lib.Slots,
  params: tuple[Any, ...],
  queue: queue_lib.Queue,
  turns: int,
  state: queue_lib.State | None = None,
) -> tuple[queue_lib.State, Any]:
  """Begins what `step` does.

  Returns:
    (the next state, what `read` is to be given; both may be under way).
  """
  queue = jax.tree.map(jnp.asarray, queue)
  if state is None:
    state = sharding.on_mesh(begin, made, params, queue)
  state, told = sharding.on_mesh(go_on, made, params, queue, turns, state)
  return state, hosts.replicated(told)


def read(queue: queue_lib.Queue, told: Any) -> Ended:
  """Waits for what `advance` began.

  Args:
    queue: of that call.
    told: by it.

  Returns:
    Ended.

  Raises:
    ValueError: a model gave a logit that is not finite.
  """
  table, turn, busy, given_G, id_B = jax.device_get(told)
  number = int(table.number)
  table = jax.tree.map(lambda x: x[:number] if x.ndim else x, table)
  if any((x != results.NONE).any() for x in table.result.fault_B.values()):
    fault_B = jax.tree.map(_of_any_branch, table.result.fault_B)
    checks.finite(
      table.result.replace(fault_B=fault_B), _prompts_of(queue, table.id_O)
    )
  return Ended(
    table.id_O,
    table.result,
    table.begun_O,
    table.ended_O,
    int(turn),
    int(busy),
    _idle(queue, given_G, id_B),
  )


def idle(state: queue_lib.State, queue: queue_lib.Queue) -> bool:
  """Whether all answers of a queue have ended."""
  given_G, id_B = jax.device_get(hosts.replicated((state.next_G, state.id_B)))
  return _idle(queue, given_G, id_B)


def _idle(queue, given_G, id_B):
  numbers = [int(own.number) for own in queue.answers]
  return given_G.tolist() == numbers and bool((id_B == queue_lib.FREE).all())


def _turns(made, params, queue, turns, state):
  """(the next state, what the host reads of it: a copy, as it is spent)."""
  state = slots.advance(made, params, queue, turns, state)
  told = state.table, state.turn, state.busy, state.next_G, state.id_B
  return _held(made, state), jax.tree.map(jnp.copy, told)


def _first(made, params, queue):
  return _held(made, slots.init(made, params, queue))


def _held(made, state):
  """The state, divided as each call leaves it."""
  way = made.way
  placed = {
    field.name: sharding.by_rows(
      getattr(state, field.name),
      made.rows if field.name in _OF_SLOTS else None,
    )
    for field in dataclasses.fields(state)
    if field.name not in ('rows', 'reader', 'store')
  }
  return state.replace(
    rows=decoders.divided(way, state.rows, made.rows),
    reader=decoders.divided_caches(way, state.reader),
    store=decoders.divided_caches(way, state.store, shared=True),
    **placed,
  )


# The programs of `advance`, on the mesh of the parameters.
begin = jax.jit(_first, static_argnums=0)
go_on = jax.jit(_turns, static_argnums=0, donate_argnums=4)


def _of_any_branch(fault_B):
  """The first position at fault, of slots with branches in any of them."""
  if fault_B.ndim == 1:
    return fault_B
  last = np.iinfo(fault_B.dtype).max
  first_B = np.where(fault_B == results.NONE, last, fault_B).min(1)
  return np.where(first_B == last, results.NONE, first_B)


def _prompts_of(queue, ids):
  """What messages name of the prompts of some answers."""
  queue = jax.device_get(queue.replace(key=None))
  own = {
    id_: prompt
    for x in queue.answers
    for id_, prompt in zip(x.id_J.tolist(), x.prompt_J.tolist(), strict=True)
  }
  prompt_P = [own[id_] for id_ in ids.tolist()]
  return results.Prompts(None, prompt_P, queue.example_P[prompt_P])


def check(made: queue_lib.Slots, queue: queue_lib.Queue) -> None:
  """Raises ValueError if an argument of `serve` is out of range."""
  prompts = results.Prompts(*(
    x[: int(queue.number)]
    for x in (queue.token_PxS, queue.length_P, queue.example_P)
  ))  # fmt: skip
  checks.check_prompts(prompts, made.way.models, made.way.max_new_tokens)
  if queue.token_PxS.shape[1] != made.width:
    raise ValueError(
      f'prompts are padded to {queue.token_PxS.shape[1]} tokens, the slots are '
      f'made for {made.width}'
    )
  if len(queue.answers) != len(made.groups):
    raise ValueError(
      f'{len(queue.answers)} groups of answers, the slots have '
      f'{len(made.groups)}'
    )
  keys.check(queue.key)
  for own in queue.answers:
    sampling = own.temperature_J, own.top_p_J, queue.top_k, queue.asked
    checks.check_sampling(probabilities.Sampling(*sampling), len(own.id_J))
    _check_order(own)
  made.way.check(queue, made.rows)


def _check_order(answers):
  prompt_J = answers.prompt_J[: int(answers.number)]
  if (np.diff(prompt_J) < 0).any():
    raise ValueError('the answers of a group must be in the order of prompts')
