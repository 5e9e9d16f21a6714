"""Generates short news reports and their summaries of one sentence.

A report tells the facts of one story, worded at random, among sentences that
the summary omits. The story and the facts in its summary decide its split, so
no two splits share the content of a summary in another wording.
"""

import dataclasses

from speccascade.tasks import base
from speccascade.tasks.example import Example
from speccascade.tasks.synthetic.draws import Draw, choice, drawer, split_of
from speccascade.tasks.synthetic.summaries import templates

_MIN_SENTENCES, _MAX_SENTENCES = 3, 6
_WORDINGS = 8  # summaries drawn; equal ones are one reference

_STORIES = templates.load()
_NAMES = tuple(_STORIES)
_WORDS = 'zero one two three four five six seven eight nine ten'.split()


def _number(n, in_words):
  return _WORDS[n] if in_words and n < len(_WORDS) else str(n)


def _fill(draw: Draw, story: templates.Story) -> dict[str, str]:
  """Draws the texts of the slots, with and without a capital."""
  slots = {}
  for rows in story.slots:
    slots |= choice(draw, rows)
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
  """Returns the text of a report."""
  facts = list(story.fact)
  others = list(story.also)
  if draw(0, 1):
    others.append(choice(draw, story.quote))
  fewest = max(_MIN_SENTENCES, 1 + len(facts))
  most = min(_MAX_SENTENCES, 1 + len(facts) + len(others))
  num_remarks = draw(fewest, most) - 1 - len(facts)
  body = facts
  for _ in range(num_remarks):
    remark = others.pop(draw(0, len(others) - 1))
    body.insert(draw(1, len(body)), remark)
  sentences = [choice(draw, story.lead), *body]
  return ' '.join(choice(draw, x).format_map(slots) for x in sentences)


def _sum_up(draw: Draw, story: templates.Story, slots: dict[str, str]) -> str:
  """Returns the text of a summary."""
  return choice(draw, choice(draw, story.summary)).format_map(slots)


def _split_of(name: str, slots: dict[str, str]) -> str:
  """Returns the split of a content: 'fire; cause: a candle; hurt: two'."""
  told = sorted(_STORIES[name].told)
  content = '; '.join([name, *(f'{slot}: {slots[slot]}' for slot in told)])
  return split_of(content)


@dataclasses.dataclass(frozen=True)
class Source:
  """Generates reports and summaries; example i depends on i alone.

  Attributes:
    seed: another seed gives other reports, split the same way.
  """

  seed: int = 0

  def example(self, split: str, index: int) -> Example:
    """Returns a report, its summary, and all summaries drawn.

    Args:
      split: 'train', 'validation' or 'test'.
      index: any number from 0 on.

    Raises:
      ValueError: if there is no such split, or `index` is negative.
    """
    draw = drawer(self.seed, split, index)
    while True:
      name = choice(draw, _NAMES)
      story = _STORIES[name]
      slots = _fill(draw, story)
      if _split_of(name, slots) == split:
        report = _tell(draw, story, slots)
        summaries = tuple(
          dict.fromkeys(_sum_up(draw, story, slots) for _ in range(_WORDINGS))
        )
        return Example(
          id=index, prompt=report, target=summaries[0], reference=summaries
        )


def task(seed: int = 0) -> base.Task:
  """Generated reports to summarise, in XSum's format."""
  return base.SourceTask(
    name='summaries', metric='rouge2', max_new_tokens=64, source=Source(seed)
  )
