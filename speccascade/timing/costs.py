"""What the parts of decoding cost on this machine.

Letters: S prompt width, T tokens of a block, G most tokens of a draft.
"""

import dataclasses
import sys
from collections.abc import Sequence
from typing import Annotated, Literal

import pydantic
from etils import epath
from pydantic import dataclasses as checked

from speccascade import pairs
from speccascade.decoding import blocks, results, schedules
from speccascade.storage import json_text
from speccascade.timing import parts, turns

# What sums and quotients of costs need to stay within float32.
_Milliseconds = Annotated[float, pydantic.Field(strict=True, ge=1e-12, le=1e12)]
_Width = Annotated[int, pydantic.Field(ge=1)]
_Spread = Annotated[float, pydantic.Field(strict=True, ge=1, le=1e30)]


@checked.dataclass(frozen=True)
class Costs:
  """Times of the parts of decoding, in milliseconds.

  Attributes:
    drafter_step: time of a drafter step, which is one token.
    verifier_block: {T: time of a block of T tokens}.
    prefill: {S: {role: time of the prefill of prompts of width S}}.
    spread: the slowest over the fastest run of a part, the worst of all parts;
      far above 1 on a busy machine. None if it is not known.

  Raises:
    ValueError: a time is not a positive, finite number.
  """

  drafter_step: _Milliseconds
  verifier_block: dict[_Width, _Milliseconds]
  prefill: dict[_Width, dict[Literal['drafter', 'verifier'], _Milliseconds]]
  spread: _Spread | None = None

  def iteration_G(self, widths: Sequence[int], G: int) -> tuple[float, ...]:
    """Returns the time of an iteration with 1, 2, ..., G drafted tokens.

    An iteration takes a drafter step for each token and the narrowest block
    that holds them. This is the parameter of the schedule `cost`, and the only
    time that counts depend on: given it again, from JSON too, another machine
    counts the same.

    Args:
      widths: widths of the available blocks; the widest is at least G.
      G: most tokens of a draft.

    Returns:
      Milliseconds.
    """
    return tuple(
      d * self.drafter_step
      + self.verifier_block[min(w for w in widths if w >= d)]
      for d in range(1, G + 1)
    )

  def weighed(self, plan: schedules.Plan) -> tuple[float, ...] | None:
    """Returns the parameter of a measured schedule; None if a time lacks.

    It is `iteration_G` of the plan's blocks, for a schedule that may do without
    drafts after the time of the verifier alone.
    """
    G, schedule = plan.gamma + 1, schedules.get(plan.schedule)
    widths = blocks.widths(G, schedule)
    if not set(widths) <= self.verifier_block.keys():
      return None
    cost_G = self.iteration_G(widths, G)
    if schedule.begin is None:
      return cost_G
    return self.verifier_block[1], *cost_G

  def to_json(self) -> str:
    """Returns a line that `from_json` takes; every float is kept exactly."""
    return json_text.seal(json_text.dumps(dataclasses.asdict(self))) + '\n'


def from_json(text: str | bytes) -> Costs:
  """Returns the costs that `to_json` told.

  Raises:
    ValueError: one line that names the first fault.
  """
  try:
    return pydantic.TypeAdapter(Costs).validate_python(json_text.loads(text))
  except pydantic.ValidationError as error:
    fault = error.errors(include_url=False)[0]
    where = '.'.join(map(str, fault['loc']))
    line = f'{where}: {fault["msg"]}' if where else fault['msg']
    raise ValueError(ascii(line)[1:-1]) from None


def read(path: epath.PathLike) -> Costs | None:
  """Reads costs, if they are there.

  Args:
    path: JSON file of `Costs.to_json`.

  Returns:
    Costs; None without a file, or with a torn or foreign one, of which a line
    tells.
  """
  try:
    return from_json(epath.Path(path).read_bytes())
  except FileNotFoundError:
    return None
  except ValueError as error:
    print(f'{path}: {error}; costs are measured again', file=sys.stderr)
    return None


def costs(
  pair: pairs.Pair,
  prompts: Sequence[results.Prompts],
  widths: Sequence[int],
  new_tokens: int,
  rounds: int = 15,
  known: Costs | None = None,
) -> Costs:
  """Times the parts of decoding.

  Args:
    pair: Pair.
    prompts: of different widths S and equal numbers of rows; steps and blocks
      are timed after the first.
    widths: T of the verifier blocks.
    new_tokens: most generated tokens, for which the caches have room.
    rounds: number of timings of each part.
    known: costs of the pair, which stay; only other parts are timed.
  """
  loops = parts.blocks(pair, prompts[0], widths, new_tokens)
  loops |= parts.prefills(pair, prompts, new_tokens, max(widths))
  ms = {} if known is None else _by_part(known)
  missing = {part: loop for part, loop in loops.items() if part not in ms}
  timed = turns.measure(missing, rounds)
  ms |= {part: turn.ms for part, turn in timed.items()}
  spreads = [turn.spread for turn in timed.values()]
  if known is not None and known.spread is not None:
    spreads.append(known.spread)
  prefill = {}
  for part, time in ms.items():
    if part[1] in parts.ROLES:
      prefill.setdefault(part[0], {})[part[1]] = time
  return Costs(
    drafter_step=ms['drafter', 1],
    verifier_block={T: x for (role, T), x in ms.items() if role == 'verifier'},
    prefill=prefill,
    spread=max(spreads, default=None),
  )


def _by_part(costs):
  """{name of a part, as its loop has: its milliseconds}."""
  found = {('drafter', 1): costs.drafter_step}
  found |= {('verifier', T): ms for T, ms in costs.verifier_block.items()}
  for S, by_role in costs.prefill.items():
    found |= {(S, role): ms for role, ms in by_role.items()}
  return found
