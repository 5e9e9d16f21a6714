"""The stories and wordings of the generated reports.

They are read from `templates.txt`; its head explains the format.
"""

import dataclasses
import functools
import re

from etils import epath

from speccascade.tasks.synthetic.word_problems.templates import expand

_FILE = epath.Path(__file__).with_suffix('.txt')


@dataclasses.dataclass
class Story:
  """Sentences that make a report, each a tuple of wordings.

  Attributes:
    slots: tables; a row of each is drawn for a report.
    numbers: {name: (low, high, whether it is in words up to ten)}.
    sums: {name: names of the two numbers it is the sum of}.
    lead: the first sentence.
    fact: sentences that every report has.
    also: sentences that it may have.
    quote: what somebody says; a report has one at most.
    summary: wordings of the summary.
  """

  slots: list[list[dict[str, str]]] = dataclasses.field(default_factory=list)
  numbers: dict[str, tuple[int, int, bool]] = dataclasses.field(
    default_factory=dict
  )
  sums: dict[str, tuple[str, str]] = dataclasses.field(default_factory=dict)
  lead: list[tuple[str, ...]] = dataclasses.field(default_factory=list)
  fact: list[tuple[str, ...]] = dataclasses.field(default_factory=list)
  also: list[tuple[str, ...]] = dataclasses.field(default_factory=list)
  quote: list[tuple[str, ...]] = dataclasses.field(default_factory=list)
  summary: list[tuple[str, ...]] = dataclasses.field(default_factory=list)

  @property
  def told(self) -> frozenset[str]:
    """Names of the slots in its summaries, in lower case."""
    names = re.findall(r'\{(\w+)\}', ' '.join(sum(self.summary, ())))
    return frozenset(name.lower() for name in names)


@functools.cache
def load() -> dict[str, Story]:
  """Reads the stories that ship with the package, by name."""
  stories, common = {}, []
  story = None
  for line in _FILE.read_text().splitlines():
    head, _, text = line.partition(': ')
    keyword, *names = head.split() or ['#']
    if keyword == '#':
      continue
    elif keyword == 'story':
      story = stories[names[0]] = Story(slots=list(common))
    elif keyword == 'slot':
      rows = [
        dict(zip(names, row.split('/'), strict=True))
        for row in text.split(', ')
      ]
      (story.slots if story else common).append(rows)
    elif keyword in ('count', 'number'):
      low, _, high = text.partition('-')
      story.numbers[names[0]] = int(low), int(high), keyword == 'count'
    elif keyword == 'sum':
      story.sums[names[0]] = tuple(text.split(' + '))
    else:
      getattr(story, keyword).append(expand(text))
  return stories
