import pytest

from speccascade.tasks import translation_english as english
from speccascade.tasks.translation_clauses import LEXICON
from speccascade.tasks.translation_phrases import (
  Clause,
  Gap,
  NounPhrase,
  Pronoun,
  Time,
)

ME, HE, THEY = Pronoun('I', '1s'), Pronoun('he', 'm'), Pronoun('they', 'p')
BUY = next(f for f in LEXICON.frames['buy'] if f.id.strip() == 'kaufen')
GO = next(f for f in LEXICON.frames['stay'] if 'nach Hause' in f.id)
BE = LEXICON.frames['copula'][0]
SHOW = next(f for f in LEXICON.frames['social'] if f.id.strip() == 'zeigen')
OFTEN = LEXICON.adverbs['often']['oft']
ALREADY = LEXICON.adverbs['done']['schon']
EARLY = LEXICON.adverbs['how']['früh']
TODAY = Time('today', ('heute',))


def np(name, determiner='the', **rest):
  return NounPhrase(LEXICON.nouns[name][0], determiner, **rest)


@pytest.mark.parametrize(
  ('c', 'text'),
  [
    (Clause(GO, HE, [], 'habit'), 'he goes home'),
    (Clause(GO, ME, [], 'habit', often=OFTEN), 'I often go home'),
    (Clause(GO, HE, [], 'habit', negated=True), 'he does not go home'),
    (Clause(GO, HE, [], 'now', time=TODAY), 'he is going home today'),
    (Clause(GO, ME, [], 'was'), 'I was going home'),
    (
      Clause(GO, HE, [], 'past', time=TODAY, time_first=True),
      'today, he went home',
    ),
    (Clause(GO, THEY, [], 'past', negated=True), 'they did not go home'),
    (
      Clause(GO, HE, [], 'perfect', done=ALREADY),
      'he has already gone home',
    ),
    (Clause(GO, HE, [], 'pluperfect'), 'he had gone home'),
    (
      Clause(GO, ME, [], 'future', how=EARLY, time=TODAY),
      'I will go home early today',
    ),
    (Clause(GO, ME, [], 'since', time=TODAY), 'I have been going home today'),
    (Clause(GO, HE, [], 'habit', modal='must'), 'he has to go home'),
    (
      Clause(GO, HE, [], 'habit', modal='must', negated=True),
      'he does not have to go home',
    ),
    (
      Clause(GO, HE, [], 'past', modal='may', negated=True),
      'he was not allowed to go home',
    ),
    (
      Clause(GO, HE, [], 'habit', modal='can', negated=True),
      'he cannot go home',
    ),
    (Clause(GO, HE, [], 'past', modal='can'), 'he was able to go home'),
    (Clause(GO, ME, [], 'habit', modal='would'), 'I would like to go home'),
    (
      Clause(BE, THEY, [], 'habit', often=OFTEN, how=EARLY),
      'they are often early',
    ),
    (
      Clause(BUY, HE, [np('Apfel', 'none', plural=True)], 'past', negated=True),
      'he did not buy any apples',
    ),
    (
      Clause(SHOW, HE, [np('Kind'), np('Bild', 'a')], 'past'),
      'he showed the child a picture',
    ),
    (
      Clause(SHOW, HE, [THEY, Pronoun('it', 'n')], 'past'),
      'he showed it to them',
    ),
  ],
)
def test_clauses(c, text):
  assert english.clause(c) == text


def test_a_place_is_told_by_the_noun_s_preposition():
  go = next(f for f in LEXICON.frames['outing'] if 'zoo' in str(f.options) or
            any(x.role == 'to' for x in f.verbs[0][1]))  # fmt: skip
  c = Clause(go, HE, [np('Kino')], 'past', companion=np('Anna'))
  assert english.clause(c) == 'he went to the cinema with Anna'
  c = Clause(GO, HE, [], 'past', at=np('Strand'), vehicle=np('Zug'))
  assert english.clause(c) == 'he went home by train on the beach'


@pytest.mark.parametrize(
  ('phrase', 'text'),
  [
    (np('Apfel', 'a'), 'an apple'),
    (np('Universität', 'a'), 'a university'),
    (np('Messer', 'this', plural=True), 'these knives'),
    (np('Kind', 'num', plural=True, number=21), 'twenty-one children'),
    (np('Onkel', 'poss', owner=THEY), 'their uncle'),
    (np('Schweiz'), 'Switzerland'),
    (np('Eltern', 'poss', owner=ME, plural=True), 'my parents'),
    (np('Milch', 'none'), 'milk'),
    (HE, 'him'),
  ],
)
def test_phrases(phrase, text):
  assert english.phrase(phrase) == text


def test_relative_clauses():
  man, book, town = np('Mann'), np('Buch'), np('Stadt')
  live = next(f for f in LEXICON.frames['live'] if f.id.strip() == 'wohnen')
  man.relative = Clause(GO, Gap(man, 'who'), [], 'past')
  book.relative = Clause(BUY, HE, [Gap(book, 'that')], 'past')
  town.relative = Clause(live, HE, [Gap(town, 'where')], 'habit')
  assert english.phrase(man) == 'the man who went home'
  assert english.phrase(book) == 'the book that he bought'
  assert english.phrase(town) == 'the town where he lives'
