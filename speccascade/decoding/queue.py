"""What continuous batching decodes, and its state; see `decoding.slots`.

Letters: B slots, R slots of a group, J answers of a group, P prompts, S their
tokens (padded), O rows of the table, N generated tokens, M positions of an
answer, U uniforms of a position.
"""

import dataclasses
from typing import Any

import flax.struct
import jax

from speccascade.decoding import autoregressive, decoders, results
from speccascade.decoding import loop as loop_lib
from speccascade.decoding import stops as stops_lib
from speccascade.models import cache as cache_lib
from speccascade.sampling import probabilities

FREE = -1  # The answer of a slot that has none.
# Tokens of the prompts that are read together, where models read chunks in two
# of half of them, if one device reads all: the second only if a prompt is that
# long.
PAGE = 2048


@dataclasses.dataclass(frozen=True)
class Slots:
  """The static half: what a compiled program is made for.

  Attributes:
    decoder: Loop, whose groups are of slots; Autoregressive; or a Decoder.
    rows: B; for a Loop those of its groups.
    width: S.
    reading: prompts that are read at a time.
    stored: prompts whose keys and values are kept for the answers to come, at
      least those; fewer than twice as many leave slots idle while a page is
      read.
    table: O, at least B.
  """

  decoder: loop_lib.Loop | autoregressive.Autoregressive | decoders.Decoder
  rows: int
  width: int
  reading: int
  stored: int
  table: int

  def __post_init__(self):
    if self.stored < self.reading or self.table < self.rows:
      raise ValueError(
        f'stored={self.stored} must be at least reading={self.reading}, and '
        f'table={self.table} at least rows={self.rows}'
      )
    if sum(self.groups) != self.rows:
      raise ValueError(
        f'groups of {self.groups} slots, not of rows={self.rows}'
      )

  @property
  def way(self) -> decoders.Decoder:
    """How they decode."""
    return decoders.of(self.decoder)

  @property
  def groups(self) -> tuple[int, ...]:
    """R of each group."""
    return self.way.groups or (self.rows,)

  @property
  def room(self) -> int:
    """Tokens of a prompt and its answer that a slot holds at most."""
    return self.width + self.way.max_new_tokens


def slots_of(decoder: Any, rows: int, width: int, prompts: int) -> Slots:
  """Returns the Slots of a sweep.

  Args:
    decoder: as of `Slots`.
    rows: of it.
    width: of it.
    prompts: that go through them.
  """
  reading = max(1, min(PAGE // width, prompts, rows))
  stored = max(2 * reading, min(prompts, rows // 2))
  return Slots(decoder, rows, width, reading, stored, table=2 * rows)


@flax.struct.dataclass
class Answers:
  """What a group is to write, in the order of the prompts.

  Attributes:
    id_J: int32, as the table names them.
    prompt_J: which prompt each continues, never falling.
    sample_J: which answer to its example each is, see `keys.row_keys`.
    temperature_J: as of Sampling; of all J from the first call on, as a drafter
      may leave out a prompt that only greedy answers continue.
    top_p_J: likewise.
    values: an array [J] for each parameter of the group's method; see
      `branches.Branches` for those of slots with branches.
    number: how many of the J there are; more may come.
  """

  id_J: jax.Array
  prompt_J: jax.Array
  sample_J: jax.Array
  temperature_J: jax.Array
  top_p_J: jax.Array
  values: tuple[jax.Array, ...]
  number: jax.Array


@flax.struct.dataclass
class Queue:
  """What is to be decoded.

  Attributes:
    token_PxS: int32 prompts, padded on the right.
    length_P: tokens that count, at least 1.
    example_P: identity of each example.
    number: how many of the P there are; more may come.
    answers: Answers of each group.
    key: jax.random.key of the run's seed.
    schedule_parameter: of the draft schedule; () where it takes none.
    stops: of the strings that end an answer; () without any.
    top_k: as of Sampling.
    asked: likewise.
  """

  token_PxS: jax.Array
  length_P: jax.Array
  example_P: jax.Array
  number: jax.Array
  answers: tuple[Answers, ...]
  key: jax.Array
  schedule_parameter: Any = ()
  stops: stops_lib.Stops | tuple[()] = ()
  top_k: int = flax.struct.field(pytree_node=False, default=0)
  asked: str = flax.struct.field(pytree_node=False, default=probabilities.ANY)


@flax.struct.dataclass
class Table:
  """Answers that have ended, the first `number` of the O.

  Attributes:
    id_O: of `Answers`.
    begun_O: turn in which each was given a slot.
    ended_O: turn that ended it.
    result: Result of O rows.
    number: of them.
  """

  id_O: jax.Array
  begun_O: jax.Array
  ended_O: jax.Array
  result: results.Result
  number: jax.Array


@flax.struct.dataclass
class State:
  """All that changes.

  Attributes:
    rows: of the decoder.
    id_B: the answer of each slot; -1 of a free one.
    begun_B: turn in which it was given.
    u_BxMxU: its uniforms.
    sampling: Sampling.
    values: as of results.Request.
    next_G: how many answers of each group have been given slots.
    have: how many prompts have been stored.
    page: how many of the next ones are read together; of no use at chunk 0.
    chunk: how many chunks of them have been read.
    wanted: whether each model reads them, see `decoders.Decoder.reads`.
    reader: their caches, one a model.
    store: caches of `stored` prompts; prompt p lies at p mod `stored`.
    has_read: whether each model has read each of them; None of one that reads
      all.
    table: Table.
    turn: how many there were.
    busy: slots that had an answer, summed over the turns.
  """

  rows: Any
  id_B: jax.Array
  begun_B: jax.Array
  u_BxMxU: jax.Array
  sampling: probabilities.Sampling
  values: tuple[tuple[jax.Array, ...], ...]
  next_G: jax.Array
  have: jax.Array
  page: jax.Array
  chunk: jax.Array
  wanted: tuple[jax.Array | None, ...]
  reader: tuple[cache_lib.Cache, ...]
  store: tuple[cache_lib.Cache, ...]
  has_read: tuple[jax.Array | None, ...]
  table: Table
  turn: jax.Array
  busy: jax.Array
