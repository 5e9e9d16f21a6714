"""Short news reports and their summaries of one sentence, without end.

A report tells one story: its facts, worded at random, between remarks that do
not matter. Its story and what its summary tells decide the split it may appear
in: no two splits share a summary's content, whatever the wording.
"""

import dataclasses
import hashlib
import random
from collections.abc import Callable

from speccascade.tasks import summary_templates as templates
from speccascade.tasks import xsum

# The split of a content, by the last five bits of its hash.
_SPLITS = ('test', 'validation', *['train'] * 30)
_MIN_SENTENCES, _MAX_SENTENCES = 3, 6
_WORDINGS = 8  # summaries drawn; equal ones are one reference

_STORIES = templates.load()
_NAMES = tuple(_STORIES)
_WORDS = 'zero one two three four five six seven eight nine ten'.split()

Draw = Callable[[int, int], int]  # a number from low to high, both included


def _choice(draw: Draw, options):
  return options[draw(0, len(options) - 1)]


def _number(n, in_words):
  return _WORDS[n] if in_words and n < len(_WORDS) else str(n)


def _fill(draw: Draw, story: templates.Story) -> dict[str, str]:
  """Draws what the slots stand for, with and without a capital."""
  slots = {}
  for rows in story.slots:
    slots |= _choice(draw, rows)
  numbers = {
    name: draw(low, high) for name, (low, high, _) in story.numbers.items()
  }
  for name, n in numbers.items():
    slots[name] = _number(n, story.numbers[name][2])
  for name, (one, other) in story.sums.items():
    slots[name] = _number(numbers[one] + numbers[other], True)
  capitals = {
    name.capitalize(): text[0].upper() + text[1:]
    for name, text in slots.items()
  }
  return slots | capitals


def _tell(draw: Draw, story: templates.Story, slots: dict[str, str]) -> str:
  """Words a report."""
  facts = list(story.fact)
  others = list(story.also)
  if draw(0, 1):
    others.append(_choice(draw, story.quote))
  fewest = max(_MIN_SENTENCES, 1 + len(facts))
  most = min(_MAX_SENTENCES, 1 + len(facts) + len(others))
  num_remarks = draw(fewest, most) - 1 - len(facts)
  body = facts
  for _ in range(num_remarks):
    remark = others.pop(draw(0, len(others) - 1))
    body.insert(draw(1, len(body)), remark)
  sentences = [_choice(draw, story.lead), *body]
  return ' '.join(_choice(draw, x).format_map(slots) for x in sentences)


def _sum_up(draw: Draw, story: templates.Story, slots: dict[str, str]) -> str:
  """Words a summary."""
  return _choice(draw, _choice(draw, story.summary)).format_map(slots)


def _split_of(name: str, slots: dict[str, str]) -> str:
  """Returns the split of a content: 'fire; cause: a candle; hurt: two'."""
  told = sorted(_STORIES[name].told)
  content = '; '.join([name, *(f'{slot}: {slots[slot]}' for slot in told)])
  digest = hashlib.blake2b(content.encode(), digest_size=1).digest()
  return _SPLITS[digest[0] % len(_SPLITS)]


@dataclasses.dataclass(frozen=True)
class Generated:
  """A source of reports for `xsum.Summarization`; i is drawn from i alone.

  Attributes:
    seed: another seed gives other reports, split the same way.
  """

  seed: int = 0

  def document(
    self, split: str, index: int
  ) -> tuple[str, str, tuple[str, ...]]:
    """Returns a report, its summary, and all summaries known.

    Args:
      split: 'train', 'validation' or 'test'.
      index: any number from 0 on.

    Raises:
      ValueError: for another split or a negative index.
    """
    if split not in _SPLITS or index < 0:
      raise ValueError(
        f'No report {index} of split {split!r}: splits are train, validation '
        'and test, indices start at 0.'
      )
    uniform = random.Random(f'{self.seed}/{split}/{index}').random

    def draw(low, high):
      return low + int(uniform() * (high - low + 1))

    while True:
      name = _choice(draw, _NAMES)
      story = _STORIES[name]
      slots = _fill(draw, story)
      if _split_of(name, slots) == split:
        report = _tell(draw, story, slots)
        summaries = tuple(
          dict.fromkeys(_sum_up(draw, story, slots) for _ in range(_WORDINGS))
        )
        return report, summaries[0], summaries


def task(seed: int = 0) -> xsum.Summarization:
  """Generated reports, in the class that reads official XSum."""
  return xsum.Summarization(source=Generated(seed), name='summaries')
