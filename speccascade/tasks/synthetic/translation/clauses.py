"""Draws noun phrases and clauses of the generated translations."""

import functools
import itertools
import re

from speccascade.tasks.synthetic.draws import Draw, choice
from speccascade.tasks.synthetic.translation import lexicon, times
from speccascade.tasks.synthetic.translation.lexicon import Frame, Noun
from speccascade.tasks.synthetic.translation.phrases import (
  Clause,
  NounPhrase,
  Phrase,
  Pronoun,
  Time,
  reference,
)

LEXICON = lexicon.load()
_PRONOUNS = tuple(
  Pronoun(*pair)
  for pair in (('I', '1s'), ('he', 'm'), ('she', 'f'), ('we', '1p'),
               ('they', 'p'))
)  # fmt: skip
_FIRST_PERSON = ('1s', '1p')
_I, WE = _PRONOUNS[0], _PRONOUNS[3]
IT = Pronoun('it', 'n')
_RELATIVES = ('parent', 'sibling', 'offspring', 'friend')
_PEOPLE = (*_RELATIVES, 'adult', 'child', 'name')
_ROOMS = ('room', 'kitchen', 'cellar', 'bathroom')
_OLD = tuple(
  word
  for words in LEXICON.adjectives.values()
  for word in words
  if word.english in ('old', 'famous')
)
_COUNTED = ('collectible', 'vegetable', 'flower', 'fruit', 'letter')
_USUAL = ('the', 'the', 'the', 'a', 'a', 'poss', 'poss', 'this', 'few', 'none',
          'some', 'many')  # fmt: skip
_DENIED = ('the', 'the', 'a', 'none', 'poss')
# How often a statement has a tense, and what rules the tense out.
_TENSES = (
  ('past', 9, ('fact', 'present')),
  ('perfect', 3, ('fact', 'present', 'state', 'still')),
  ('future', 4, ('fact', 'present', 'state')),
  ('habit', 4, ('once', 'moment')),
  ('now', 3, ('moment', 'still', 'state')),
  ('since', 2, ()),
)
# What people remember the year of.
_MILESTONES = ('buy', 'live', 'own', 'relative', 'travel')
_MODALS = ('can', 'must', 'want', 'may', 'should', 'would', 'like')
# Manners that say when, that happen once, and that last.
_POINTS = ('früh', 'spät', 'pünktlich', 'gut', 'lange', 'tief')
_SUDDEN = ('plötzlich', 'sofort')
_LASTING = ('lange',)
_PAST_MODALS = ('can', 'must', 'want', 'may')


def person_kind(phrase: Phrase) -> bool:
  """Whether a phrase is about people."""
  if isinstance(phrase, Pronoun):
    return phrase.english != 'it'
  return phrase.noun.kind in _PEOPLE


def _owner(draw, phrase):
  """Returns the pronoun of a person, for a possessive, or None."""
  return reference(draw, phrase) if person_kind(phrase) else None


def _adjective(draw, noun, percent):
  words = LEXICON.adjectives.get(noun.kind)
  return choice(draw, words) if words and draw(1, 100) <= percent else None


def noun_phrase(
  draw: Draw, noun: Noun, codes=(), owner: Phrase | None = None, percent=35
) -> NounPhrase:
  """Draws what goes with a noun.

  Args:
    draw: draws a number.
    noun: the noun.
    codes: determiners to choose from, as in the frames' file, or () for all.
    owner: what a possessive refers to, if it is a person.
    percent: how often there is an adjective.
  """
  if noun.article != 'both':
    return NounPhrase(noun, 'the')
  singular, plural = noun.forms[0]
  relative = noun.kind in _RELATIVES and not codes
  code = 'poss' if relative else choice(draw, codes or _USUAL)
  adjective = _adjective(draw, noun, percent)
  possessor = None
  if code == 'poss':
    possessor = owner and _owner(draw, owner)
    if possessor is None and relative:
      possessor = choice(draw, (_I, _I, WE))
    if possessor is None:
      code = 'the'
  if code in ('num', 'few', 'none', 'some', 'many', 'plural') and plural:
    number = draw(2, 4 if code == 'few' else 9)
    if code == 'num' and noun.kind in _COUNTED and draw(0, 1):
      number = draw(10, 100)
    code = {'plural': 'the', 'few': 'num'}.get(code, code)
    return NounPhrase(noun, code, True, adjective, possessor, number)
  if code in ('num', 'few', 'some', 'many', 'plural'):
    code = 'none'
  if code == 'a' and not (singular and plural):
    code = 'none'
  many = not singular or (
    bool(plural) and code in ('the', 'poss') and draw(0, 9) == 0
  )
  return NounPhrase(noun, code, many, adjective, possessor)


def any_noun(draw: Draw, nouns, avoid=()) -> Noun:
  """Draws a kind, then one of its nouns; if possible none in `avoid`."""
  nouns = [noun for noun in nouns if noun.english not in avoid] or nouns
  kind = choice(draw, tuple(dict.fromkeys(noun.kind for noun in nouns)))
  return choice(draw, [noun for noun in nouns if noun.kind == kind])


def subject(draw: Draw, kind: str, pronouns: bool = True) -> Phrase:
  """Draws the subject of a frame whose subjects are of a kind."""
  if kind == 'it':
    return IT
  if kind in ('person', 'adult'):
    sort = draw(0 if pronouns else 5, 19)
    if sort < 5:
      return choice(draw, _PRONOUNS)
    if sort < 9:
      return NounPhrase(any_noun(draw, LEXICON.nouns['name']), 'the')
    if sort < 13:
      noun = any_noun(draw, LEXICON.nouns[choice(draw, _RELATIVES)])
      return noun_phrase(draw, noun, (), None, 25)
    name = 'child' if kind == 'person' and sort > 17 else 'adult'
    noun = any_noun(draw, LEXICON.nouns[name])
    return noun_phrase(draw, noun, ('the', 'the', 'the', 'a', 'this'), None, 25)
  noun = any_noun(draw, LEXICON.nouns[kind])
  codes = ('the', 'the', 'the', 'this')
  if kind in ('sun', 'weather'):
    return NounPhrase(noun, 'the')
  if kind in ('pet', 'goods', 'laid', 'upright', 'device', 'picture'):
    codes += ('poss',)
  return noun_phrase(draw, noun, codes, choice(draw, (_I, WE)), 25)


def _object_pronoun(draw, doer):
  """Draws an object pronoun other than the doer's."""
  own = doer.gender if isinstance(doer, Pronoun) else ''
  avoid = _FIRST_PERSON if own in _FIRST_PERSON else ()
  return choice(draw, [p for p in _PRONOUNS if p.gender not in avoid])


def _place(draw, noun, codes, owner):
  """Draws a place; rooms and gardens may have a possessive."""
  if not noun.forms[0][1]:
    codes = ('the',)  # the only one: the post office
  elif not codes:
    at_home = noun.kind in ('garden', *_ROOMS)
    codes = ('the', 'the', 'the', 'poss' if at_home else 'a')
  np = noun_phrase(draw, noun, codes, owner, 25)
  np.plural = not np.noun.forms[0][0]
  return np


def _used(phrases):
  """Returns nouns to avoid beside these; a girl has no daughter."""
  nouns = [p.noun for p in phrases if not isinstance(p, Pronoun)]
  used = [noun.english for noun in nouns]
  if any(noun.kind == 'child' for noun in nouns):
    used += [noun.english for noun in LEXICON.nouns['offspring']]
  return used


def fill(
  draw: Draw, frame: Frame, doer: Phrase, negated: bool, given=None
) -> list[Phrase]:
  """Draws the complements of a frame.

  Args:
    draw: draws a number.
    frame: the frame.
    doer: its subject.
    negated: whether it is denied; few determiners fit then.
    given: {number of a complement, from 0: its phrase}, not drawn.
  """
  phrases, given = [], given or {}
  wanted = (
    x for x in frame.verbs[0][1] if x.role not in ('sich', 'fixed')
  )  # fmt: skip
  for number, complement in enumerate(wanted):
    if number in given:
      phrases.append(given[number])
      continue
    codes = complement.determiners
    if negated and complement.role == 'np':
      codes = [c for c in codes or _DENIED if c in _DENIED] or ('the',)
      codes = tuple(codes)
    avoid = _used([doer, *phrases, *given.values()])
    if complement.role == 'spot':
      relation = choice(draw, complement.relations)
      noun = any_noun(draw, LEXICON.spots[relation], avoid)
      np = noun_phrase(draw, noun, ('the', 'the', 'poss'), doer, 15)
      np.plural = False
      np.relation = relation
    elif complement.role != 'np':
      noun = any_noun(draw, complement.nouns, avoid)
      np = _place(draw, noun, codes, doer)
    elif complement.nouns is LEXICON.nouns['person']:
      if draw(0, 3) == 0:
        np = _object_pronoun(draw, doer)
      else:
        noun = any_noun(draw, complement.nouns, avoid)
        few = ('the', 'the', 'this') + (() if negated else ('a',))
        few = () if noun.kind in _RELATIVES else few
        np = noun_phrase(draw, noun, few, doer, 25)
    else:
      noun = any_noun(draw, complement.nouns, avoid)
      family = noun.kind in _RELATIVES and 'few' not in codes
      np = noun_phrase(draw, noun, () if family else codes, doer)
      if 'creates' in frame.options and np.adjective in _OLD:
        np.adjective = None
    phrases.append(np)
  return phrases


def add(draw: Draw, c: Clause, often: int = 60) -> None:
  """Adds a manner, a place, a companion, ... as the frame allows."""
  options = c.frame.options
  kinds = [k for k in ('how', 'how', 'at', 'at', 'with', 'for', 'by')
           if k in options]  # fmt: skip
  if not kinds or draw(1, 100) > often:
    return
  chosen = {choice(draw, kinds)}
  if draw(0, 3) == 0 and 'how' not in chosen:
    chosen |= {choice(draw, kinds)} - {'how'}
  if {'by', 'with'} <= chosen:  # mit ... mit
    chosen.remove('with')
  avoid = _used([c.subject, *c.phrases])
  for kind in sorted(chosen):
    if kind == 'how':
      with_manner(draw, c, 100)
    elif kind == 'at':
      nouns = tuple(
        itertools.chain(*(LEXICON.nouns[name] for name in options['at']))
      )
      c.at = _place(draw, any_noun(draw, nouns, avoid), (), c.subject)
    elif kind == 'by':
      noun = LEXICON.nouns[choice(draw, options['by'])][0]
      c.vehicle = NounPhrase(noun, 'the')
    else:
      noun = any_noun(draw, LEXICON.nouns['person'], avoid)
      if c.companion or c.beneficiary:
        continue
      few = () if noun.kind in _RELATIVES else ('the', 'the', 'a')
      np = noun_phrase(draw, noun, few, c.subject, 20)
      if kind == 'with':
        c.companion = np
      else:
        c.beneficiary = np


def past_time(draw: Draw, c: Clause) -> Time | None:
  """Draws a past time that suits the frame."""
  options = c.frame.options
  if 'state' in options:
    return times.past(draw, 'far') if 'dated' in options else None
  long_ago = 'once' in options and c.frame.category in _MILESTONES
  return times.past(draw, 'any' if long_ago else 'near')


def future_time(draw: Draw, c: Clause) -> Time:
  """Draws a future time that suits the frame."""
  far = 'once' in c.frame.options and c.frame.category in _MILESTONES
  return times.future(draw, 'any' if far else 'near')


def set_time(draw: Draw, c: Clause) -> None:
  """Draws a time, a frequency or a duration, as the tense requires."""
  state = 'state' in c.frame.options
  if c.tense in ('past', 'was') and draw(1, 100) <= 75:
    c.time = past_time(draw, c)
  elif c.tense == 'future' and draw(1, 100) <= 75:
    c.time = future_time(draw, c)
  elif c.tense == 'now' and draw(1, 100) <= 60:
    c.time = times.now(draw)
  elif c.tense == 'since':
    unit = choice(draw, c.frame.options['since'])
    c.time = times.since(draw, unit)
  elif c.tense == 'perfect' and not c.negated:
    c.done = choice(draw, tuple(LEXICON.adverbs['done'].values()))
  elif c.tense == 'habit' and not state and not c.negated:
    daily = 'daily' in c.frame.options
    if daily or draw(0, 1):
      c.time = times.habit(draw, person_kind(c.subject), daily)
    else:
      c.often = choice(draw, tuple(LEXICON.adverbs['often'].values()))
  c.time_first = c.time is not None and c.tense != 'since' and draw(0, 2) == 0


def statement(
  draw: Draw, frame: Frame, doer: Phrase, modal_percent: int = 30
) -> Clause:
  """Draws a whole clause about a subject: any tense, time and additions."""
  options = frame.options
  person = person_kind(doer)
  negated = draw(0, 6) == 0 and (person or 'state' in options)
  plain_only = {'state', 'unwanted', 'present'} & options.keys()
  if person and not plain_only and draw(1, 100) <= modal_percent:
    c = Clause(frame, doer, [], 'habit', negated=negated)
    if draw(0, 2) == 0:
      c.tense, c.modal = 'past', choice(draw, _PAST_MODALS)
      c.time = past_time(draw, c) if draw(0, 2) else None
    else:
      c.modal = choice(draw, _MODALS)
      if c.modal == 'like' and {'once', 'moment', 'daily'} & options.keys():
        c.modal = 'want'
      if c.modal != 'like' and draw(0, 1):
        c.time = future_time(draw, c)
    c.negated = negated = negated and c.modal not in ('like', 'would')
    c.time_first = c.time is not None and draw(0, 3) == 0
  else:
    tenses = [
      name for name, weight, never in _TENSES for _ in range(weight)
      if not any(key in options for key in never)
      and (name != 'since' or 'since' in options)
    ]  # fmt: skip
    c = Clause(frame, doer, [], choice(draw, tenses), negated=negated)
    c.negated = negated and (
      c.tense not in ('since', 'perfect', 'habit') or 'state' in options
    )
    negated = c.negated
    set_time(draw, c)
  c.phrases = fill(draw, frame, doer, negated)
  if not negated:
    add(draw, c)
  return c


def plain(
  draw: Draw, frame: Frame, doer: Phrase, tense: str, negated=False, given=None
) -> Clause:
  """Draws a clause in a given tense, without a time or additions."""
  phrases = fill(draw, frame, doer, negated, given)
  return Clause(frame, doer, phrases, tense, negated=negated)


def with_manner(draw: Draw, c: Clause, percent: int = 25) -> Clause:
  """Adds a manner to a clause where its frame and its time allow one."""
  options = c.frame.options.get('how')
  if options and not c.negated and draw(1, 100) <= percent:
    how = choice(draw, options)
    hour = c.time and re.search(
      r'\bat (?!the)|before|after|morning|evening', c.time.english
    )
    done_once = c.tense in ('past', 'perfect', 'pluperfect') and not c.modal
    if not (
      (how in _POINTS and (hour or c.tense in ('now', 'since')))
      or (how in _SUDDEN and not done_once)
      or (how in _LASTING and c.tense == 'since')
      or c.done
      or (c.often and c.often.english in ('never', 'rarely'))
    ):
      c.how = LEXICON.adverbs['how'][how]
  return c


def frame(draw: Draw, *categories: str, without=()) -> Frame:
  """Draws a frame of one of the categories, without some options."""
  while True:
    drawn = choice(draw, LEXICON.frames[choice(draw, categories)])
    if not any(option in drawn.options for option in without):
      return drawn


@functools.cache
def frames_with(name: str) -> tuple[Frame, ...]:
  """Returns the frames of a category or with an option."""
  return tuple(
    frame
    for frames in LEXICON.frames.values()
    for frame in frames
    if name == frame.category or name in frame.options
  )


def frames_for(np: Phrase, name: str) -> list[tuple[Frame, int]]:
  """Returns the frames of `frames_with` that take a phrase, and where."""
  return [
    (frame, number)
    for frame in frames_with(name)
    for number, complement in enumerate(frame.verbs[0][1])
    if not isinstance(np, Pronoun) and np.noun in complement.nouns
  ]
