"""The scenes, moves and wordings of the generated word problems.

They are read from `templates.txt`; its head explains the format.
"""

import dataclasses
import functools
import itertools
import re

from etils import epath

_FILE = epath.Path(__file__).with_suffix('.txt')


@dataclasses.dataclass(frozen=True)
class Move:
  """One turn of a story.

  Attributes:
    operation: a name of `generated.OPERATIONS`.
    telling: wordings for the question.
    solution: wordings of the worked solution, one tuple a calculation.
  """

  operation: str
  telling: tuple[str, ...]
  solution: tuple[tuple[str, ...], ...]

  @property
  def num_steps(self) -> int:
    """Number of calculations."""
    return len(self.solution)


@dataclasses.dataclass
class Scene:
  """Moves that make a story in any order: an opening, steps, an ending.

  Attributes:
    limit: the largest quantity of the story.
    span: the largest amount added or taken away at once.
    settings: rows of words that the wordings use, one row a story.
    opening: moves that state or compute the first quantity.
    step: moves that change it.
    ending: moves that ask for it, or for something computed from it.
  """

  limit: int
  span: int
  settings: list[dict[str, str]] = dataclasses.field(default_factory=list)
  opening: list[Move] = dataclasses.field(default_factory=list)
  step: list[Move] = dataclasses.field(default_factory=list)
  ending: list[Move] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Templates:
  """The contents of the file: names by gender, and scenes by name."""

  he: tuple[str, ...]
  she: tuple[str, ...]
  scenes: dict[str, Scene]


def expand(wording: str) -> tuple[str, ...]:
  """Spells out alternatives: '[a|b] c' -> ('a c', 'b c')."""
  parts = re.split(r'\[(.*?)\]', wording)
  return tuple(
    map(''.join, itertools.product(*(part.split('|') for part in parts)))
  )


@functools.cache
def load() -> Templates:
  """Reads the scenes that ship with the package."""
  names, phrases, scenes = {}, {}, {}
  for line in _FILE.read_text().splitlines():
    keyword, _, rest = line.strip().partition(' ')
    if not keyword or keyword == '#':
      continue
    elif keyword == 'names':
      gender, *names_of_gender = rest.split()
      names[gender] = tuple(names_of_gender)
    elif keyword == 'phrase':
      name, _, phrases[name] = rest.partition(': ')
    elif keyword == 'scene':
      name, limit, span = rest.split()
      scene = scenes[name] = Scene(int(limit), int(span))
    elif keyword == 'setting':
      columns, _, rows = rest.partition(': ')
      scene.settings += [
        dict(zip(columns.split(), row.split('/'), strict=True))
        for row in rows.split(', ')
      ]
    else:
      operation, _, text = rest.partition(': ')
      text = re.sub(r'@(\w+)', lambda match: phrases[match[1]], text)
      telling, *solution = map(expand, text.split(' => '))
      move = Move(operation, telling, tuple(solution))
      getattr(scene, keyword).append(move)
  return Templates(names['he'], names['she'], scenes)
