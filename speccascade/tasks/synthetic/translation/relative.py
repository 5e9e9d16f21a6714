"""Sentence patterns with a relative clause."""

from speccascade.tasks.synthetic.draws import Draw, choice
from speccascade.tasks.synthetic.translation import clauses, english, german
from speccascade.tasks.synthetic.translation.clauses import LEXICON
from speccascade.tasks.synthetic.translation.phrases import (
  Gap,
)
from speccascade.tasks.synthetic.translation.sentences import (
  Sentence,
  add_relative,
  be,
  sentence,
)


def _said(c):
  return sentence(
    [c], english.clause(c), lambda style: german.clause(c, 'main', style)
  )


def relative_subject(draw: Draw) -> Sentence | None:
  """'The woman who lives in Vienna bought a coat.'."""
  noun = clauses.any_noun(draw, LEXICON.nouns['adult'])
  head = clauses.noun_phrase(draw, noun, ('the',), None, 20)
  add_relative(draw, head)
  c = clauses.statement(
    draw, clauses.frame(draw, 'buy', 'social', 'travel', 'own', 'chore'), head
  )
  c.time_first = False
  return _said(c)


def relative_object(draw: Draw) -> Sentence | None:
  """'The book that my sister bought yesterday was expensive.'."""
  while True:
    frame = clauses.frame(
      draw, 'play', 'chore', 'buy', 'own', 'social', 'wait', 'work',
      without=('present', 'fact'),
    )  # fmt: skip
    nouns = [x for x in frame.verbs[0][1] if x.role not in ('sich', 'fixed')]
    number = len(nouns) - 1
    if not nouns or nouns[number].role != 'np':
      continue
    noun = clauses.any_noun(draw, nouns[number].nouns)
    if noun.kind in LEXICON.adjectives and noun.article == 'both' and (
      noun.kind not in ('parent', 'sibling', 'offspring')
    ):  # fmt: skip
      break
  head = clauses.noun_phrase(draw, noun, ('the',), None, 0)
  doer = clauses.subject(draw, frame.subject)
  bare = clauses.person_kind(head) or draw(0, 1)
  gap = Gap(head, '' if bare else 'that')
  state = 'state' in frame.options
  c = clauses.plain(draw, frame, doer, 'past', given={number: gap})
  if state:
    c.tense = 'habit'
  elif draw(0, 1):
    c.time = clauses.past_time(draw, c)
  head.relative = c
  adjective = choice(draw, LEXICON.adjectives[noun.kind])
  tense = 'habit' if state else choice(draw, ('past', 'habit'))
  main = be(draw, head, adjective, tense)
  return _said(main)


def object_with_relative(draw: Draw) -> Sentence | None:
  """'Peter is reading the book that his aunt gave him.'."""
  noun = clauses.any_noun(draw, LEXICON.nouns['relatable'])
  head = clauses.noun_phrase(draw, noun, ('the',), None, 20)
  found = [
    pair
    for category in ('play', 'chore', 'buy', 'own', 'dress', 'work')
    for pair in clauses.frames_for(head, category)
  ]
  if not found:
    return None
  frame, number = choice(draw, found)
  doer = clauses.subject(draw, frame.subject)
  tenses = ('past', 'future') if 'state' not in frame.options else ('habit',)
  c = clauses.plain(
    draw, frame, doer, choice(draw, tenses), given={number: head}
  )
  clauses.set_time(draw, c)
  c.time_first = c.time is not None
  inner = clauses.frame(draw, 'relative')
  if inner.english == frame.english or 'creates' in frame.options:
    return None
  head.relative = clauses.plain(
    draw, inner, clauses.subject(draw, 'person'), 'past',
    given={len(inner.verbs[0][1]) - 1: Gap(head, 'that')},
  )  # fmt: skip
  return _said(c)


def relative_place(draw: Draw) -> Sentence | None:
  """'The town where they live is very small.'."""
  frame = clauses.frame(draw, 'live', 'wait', 'thing', without=('moved',))
  complement = frame.verbs[0][1][-1:]
  if not complement or complement[0].role not in ('at', 'spot'):
    return None
  relation, nouns = '', complement[0].nouns
  if complement[0].relations:
    relation = choice(draw, complement[0].relations)
    nouns = LEXICON.spots[relation]
  noun = clauses.any_noun(draw, nouns)
  if noun.article != 'both' or noun.kind not in LEXICON.adjectives:
    return None
  head = clauses.noun_phrase(draw, noun, ('the',), None, 0)
  gap = Gap(head, 'that' if relation else 'where', relation)
  doer = clauses.subject(draw, frame.subject)
  tense = choice(draw, ('habit', 'past'))
  number = len(frame.verbs[0][1]) - 1
  head.relative = clauses.plain(draw, frame, doer, tense, given={number: gap})
  adjective = choice(draw, LEXICON.adjectives[noun.kind])
  return _said(be(draw, head, adjective, tense))
