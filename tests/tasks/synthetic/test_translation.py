"""Samples of German forms; the digest of the examples covers the rest."""

import pytest

from speccascade.tasks.synthetic.translation import (
  german,
  lexicon,
  times,
)
from speccascade.tasks.synthetic.translation.clauses import LEXICON
from speccascade.tasks.synthetic.translation.phrases import (
  Clause,
  Gap,
  NounPhrase,
  Pronoun,
  Time,
)

HE, SHE, THEY = Pronoun('he', 'm'), Pronoun('she', 'f'), Pronoun('they', 'p')
YESTERDAY = Time('yesterday', ('gestern',))
PRETERITE = german.Style(lambda low, _: low, perfect=False, werden=False)
PERFECT = german.Style(lambda low, _: low, perfect=True, werden=True)
TIME_FIRST = german.Style(lambda _, high: high, perfect=False, werden=False)


def np(name, determiner='the', **rest):
  return NounPhrase(LEXICON.nouns[name][0], determiner, **rest)


def clause(verb, subject, *phrases, tense='past', **rest):
  """A clause of the first frame of a verb that takes so many phrases."""
  for frames in LEXICON.frames.values():
    for frame in frames:
      v, complements = frame.verbs[0]
      fixed = [x.text for x in complements if x.role == 'fixed']
      wanted = [x for x in complements if x.role not in ('sich', 'fixed')]
      said = ' '.join([v.prefix + v.infinitive, *fixed])
      if said == verb and len(wanted) == len(phrases):
        return Clause(frame, subject, list(phrases), tense, **rest)
  raise KeyError(verb)


@pytest.mark.parametrize(
  ('name', 'determiner', 'adjective', 'plural', 'forms'),
  [
    ('Mann', 'the', 'alt', False,
     'der alte Mann/den alten Mann/dem alten Mann'),
    ('Mann', 'the', 'alt', True,
     'die alten Männer/die alten Männer/den alten Männern'),
    ('Frau', 'a', 'alt', False,
     'eine alte Frau/eine alte Frau/einer alten Frau'),
    ('Haus', 'a', 'hoch', False,
     'ein hohes Haus/ein hohes Haus/einem hohen Haus'),
    ('Auto', 'poss', 'neu', True,
     'ihre neuen Autos/ihre neuen Autos/ihren neuen Autos'),
    ('Junge', 'this', 'müde', False,
     'dieser müde Junge/diesen müden Jungen/diesem müden Jungen'),
    ('Kaffee', 'none', 'gut', False, 'guter Kaffee/guten Kaffee/gutem Kaffee'),
    ('Buch', 'num', 'neu', True,
     'drei neue Bücher/drei neue Bücher/drei neuen Büchern'),
    ('Buch', 'many', 'neu', True,
     'viele neue Bücher/viele neue Bücher/vielen neuen Büchern'),
    ('Schweiz', 'the', None, False, 'die Schweiz/die Schweiz/der Schweiz'),
    ('Anna', 'the', None, False, 'Anna/Anna/Anna'),
  ],
)  # fmt: skip
def test_german_noun_phrases(name, determiner, adjective, plural, forms):
  words = {w.forms[0][0]: w for ws in LEXICON.adjectives.values() for w in ws}
  phrase = np(
    name, determiner, plural=plural, number=3, owner=SHE,
    adjective=words.get(adjective),
  )  # fmt: skip
  cases = [german.phrase(phrase, c, PRETERITE) for c in ('nom', 'acc', 'dat')]
  assert '/'.join(cases) == forms


@pytest.mark.parametrize(
  ('text', 'parts', 'first_person'),
  [
    ('kaufen', 'kauft kaufte gekauft haben', 'kaufe'),
    ('verkaufen', 'verkauft verkaufte verkauft haben', 'verkaufe'),
    ('reparieren', 'repariert reparierte repariert haben', 'repariere'),
    ('öffnen', 'öffnet öffnete geöffnet haben', 'öffne'),
    ('sammeln', 'sammelt sammelte gesammelt haben', 'sammle'),
    ('gehen/geht/ging/ist gegangen', 'geht ging gegangen sein', 'gehe'),
    ('sein/ist/war/-', 'ist war  haben', 'bin'),
  ],
)
def test_german_verbs(text, parts, first_person):
  verb = lexicon.verb(text)
  assert parts.split(' ') == [
    verb.present, verb.past, verb.participle, verb.auxiliary,
  ]  # fmt: skip
  assert german.finite(verb, False, '1s') == first_person


def _relative(name, verb, *phrases, plural=False, gap=''):
  head = np(name, plural=plural)
  head.relative = clause(verb, *phrases, Gap(head, gap))
  return head


RISE = clause('aufstehen', HE, tense='habit', time=times.clock(7, 0))
COAT = clause('kaufen', np('Lehrer'), np('Mantel', 'a'), time=YESTERDAY)
BOOK = _relative('Buch', 'kaufen', SHE, gap='that')
PEOPLE = _relative('Leute', 'danken', HE, plural=True)


@pytest.mark.parametrize(
  ('c', 'style', 'order', 'text'),
  [
    # The finite verb is second, first or last; separable prefixes.
    (COAT, PRETERITE, 'main', 'Der Lehrer kaufte gestern einen Mantel.'),
    (COAT, TIME_FIRST, 'main', 'Gestern kaufte der Lehrer einen Mantel.'),
    (COAT, PERFECT, 'main', 'Der Lehrer hat gestern einen Mantel gekauft.'),
    (COAT, PERFECT, 'final', 'Der Lehrer gestern einen Mantel gekauft hat.'),
    (RISE, PRETERITE, 'main', 'Er steht um sieben Uhr auf.'),
    (RISE, PRETERITE, 'inverted', 'Steht er um sieben Uhr auf.'),
    (RISE, PRETERITE, 'joined', 'Steht um sieben Uhr auf.'),
    (RISE, PRETERITE, 'final', 'Er um sieben Uhr aufsteht.'),
    (RISE, PRETERITE, 'zu', 'Um sieben Uhr aufzustehen.'),
    # haben and sein; modal verbs; the future.
    (clause('fahren', SHE, np('Wien')), PERFECT, 'main',
     'Sie ist nach Wien gefahren.'),
    (clause('haben', SHE, np('Hund', 'a')), PERFECT, 'main',
     'Sie hatte einen Hund.'),
    (clause('lernen Deutsch', THEY, tense='habit', modal='would'), PRETERITE,
     'main', 'Sie möchten Deutsch lernen.'),
    (clause('lernen Deutsch', HE, tense='future', time=YESTERDAY), PERFECT,
     'main', 'Er wird gestern Deutsch lernen.'),
    # nicht and kein.
    (clause('kaufen', HE, np('Buch'), negated=True), PERFECT, 'main',
     'Er hat das Buch nicht gekauft.'),
    (clause('kaufen', HE, np('Apfel', 'none', plural=True), negated=True),
     PERFECT, 'main', 'Er hat keine Äpfel gekauft.'),
    # Datives before accusatives; pronouns before both, the accusative first.
    (clause('zeigen', HE, np('Kind'), np('Bild', 'a')), PRETERITE, 'main',
     'Er zeigte dem Kind ein Bild.'),
    (clause('zeigen', HE, SHE, Pronoun('it', 'm')), PRETERITE, 'main',
     'Er zeigte ihn ihr.'),
    # Prepositions with two cases; contractions.
    (clause('legen', HE, np('Brief'), np('Tisch', relation='auf')), PRETERITE,
     'main', 'Er legte den Brief auf den Tisch.'),
    (clause('liegen', np('Brief'), np('Tisch', relation='auf')), PRETERITE,
     'main', 'Der Brief lag auf dem Tisch.'),
    (clause('gehen', HE, np('Kino')), PRETERITE, 'main', 'Er ging ins Kino.'),
    # Relative clauses follow the verb that ends the main clause.
    (clause('verkaufen', HE, BOOK), PERFECT, 'main',
     'Er hat das Buch verkauft, das sie gekauft hat.'),
    (clause('schlafen', PEOPLE), PRETERITE, 'main',
     'Die Leute, denen er dankte, schliefen.'),
  ],
)  # fmt: skip
def test_german_clauses(c, style, order, text):
  assert german.punctuate(german.clause(c, order, style)) == text


def test_numbers_and_times():
  numbers = [times.german_number(n) for n in (1, 16, 17, 21, 30, 66, 100)]
  assert ' '.join(numbers) == (
    'eins sechzehn siebzehn einundzwanzig dreißig sechsundsechzig hundert'
  )
  assert [times.clock(*x).german for x in ((1, 0), (12, 30), (3, 45))] == [
    ('um ein Uhr',), ('um halb eins',), ('um Viertel vor vier',),
  ]  # fmt: skip
  assert times.date(3, 'May') == Time(
    'on the third of May', ('am dritten Mai',)
  )
