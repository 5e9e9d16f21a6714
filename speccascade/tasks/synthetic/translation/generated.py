"""Generates English sentences and their German translations.

A sentence is drawn from a pattern. It has one English wording and several
correct German ones: one is the target, and all are references. The content of
a sentence, which is the verbs and nouns of its clauses, decides its split, so
no two splits share a sentence in another tense, time or word order.
"""

import dataclasses

from speccascade.tasks import base
from speccascade.tasks.example import Example
from speccascade.tasks.synthetic.draws import choice, drawer, split_of
from speccascade.tasks.synthetic.translation import (
  facts,
  german,
  relative,
  sentences,
  subordinate,
)
from speccascade.tasks.synthetic.translation.phrases import (
  Gap,
  NounPhrase,
)

_MIN_WORDS, _MAX_WORDS = 6, 30
_WORDINGS = 8  # German wordings drawn; equal ones are one reference

# How often a pattern is drawn.
_PATTERNS = (
  (sentences.statement, 24),
  (sentences.both, 5),
  (sentences.and_, 4),
  (sentences.and_it, 4),
  (sentences.but, 3),
  (sentences.to_infinitive, 5),
  (sentences.in_order_to, 4),
  (facts.comparison, 2),
  (facts.age, 1),
  (facts.price, 1),
  (facts.quality, 2),
  (facts.located, 3),
  (facts.exists, 2),
  (subordinate.because, 6),
  (subordinate.although, 5),
  (subordinate.if_, 5),
  (subordinate.when, 4),
  (subordinate.while_, 3),
  (subordinate.that, 6),
  (subordinate.that_because, 3),
  (subordinate.whether, 3),
  (subordinate.before, 3),
  (subordinate.after, 3),
  (relative.relative_subject, 4),
  (relative.relative_object, 5),
  (relative.object_with_relative, 3),
  (relative.relative_place, 2),
)
_DRAWN = tuple(pattern for pattern, weight in _PATTERNS for _ in range(weight))


def _told(sentence):
  """Each clause, relative ones too, with its phrases."""
  clauses = list(sentence.clauses)
  for c in clauses:
    phrases = (c.subject, *c.phrases, c.at, c.companion, c.beneficiary)
    clauses += [p.relative for p in phrases if getattr(p, 'relative', None)]
    yield c, phrases


def content(sentence: sentences.Sentence) -> tuple[tuple[str, ...], ...]:
  """Returns the English verb and nouns of each clause."""
  said = []
  for c, phrases in _told(sentence):
    nouns = [
      p.noun.english or p.noun.englishes
      for p in phrases
      if isinstance(p, NounPhrase | Gap)
    ]
    verb = f'{c.frame.english[0]} {c.frame.pattern}'
    if not c.phrases and c.how:  # is old, costs ten euros
      nouns.append(c.how.english)
    said.append((verb, *nouns))
  return tuple(said)


def _repeats(sentence):
  """Whether two of its phrases have one noun, 'my son ... my son'."""
  phrases = {
    id(p): p.noun.english
    for _, phrases in _told(sentence)
    for p in phrases
    if isinstance(p, NounPhrase)
  }
  return len(set(phrases.values())) < len(phrases)


def _fits(text):
  return _MIN_WORDS <= len(text.split()) <= _MAX_WORDS


# Of every choice the first, the perfect and werden among them.
_PLAIN = german.Style(lambda low, high: low, perfect=True, werden=True)


@dataclasses.dataclass(frozen=True)
class Source:
  """Generates sentences and translations; pair i depends on i alone.

  Attributes:
    seed: another seed gives other sentences, split the same way.
    plain: whether a sentence's first translation is always worded by the same
      choices, instead of by chance; the references stay.
  """

  seed: int = 0
  plain: bool = False

  def sentence(
    self, split: str, index: int
  ) -> tuple[sentences.Sentence, tuple[str, ...]]:
    """Returns a sentence and different German wordings of it.

    Args:
      split: 'train', 'validation' or 'test'.
      index: any number from 0 on.

    Raises:
      ValueError: if there is no such split, or `index` is negative.
    """
    draw = drawer(self.seed, split, index)
    while True:
      sentence = choice(draw, _DRAWN)(draw)
      if (
        sentence is None
        or _repeats(sentence)
        or not _fits(sentence.english)
        or split_of(repr(content(sentence))) != split
      ):
        continue
      styles = (
        german.Style(draw, bool(draw(0, 1)), bool(draw(0, 1)))
        for _ in range(_WORDINGS)
      )
      wordings = tuple(dict.fromkeys(map(sentence.german, styles)))
      if all(map(_fits, wordings)):
        return sentence, wordings

  def example(self, split: str, index: int) -> Example:
    """Returns an English sentence, a German one, and all wordings drawn."""
    sentence, wordings = self.sentence(split, index)
    target = sentence.german(_PLAIN) if self.plain else wordings[0]
    return Example(
      id=index, prompt=sentence.english, target=target, reference=wordings
    )


def task(seed: int = 0, plain: bool = False) -> base.Task:
  """Generated English sentences to translate to German, in WMT's format."""
  return base.SourceTask(
    name='translation',
    metric='bleu',
    max_new_tokens=80,
    source=Source(seed, plain),
  )
