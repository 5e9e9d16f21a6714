import random

import pytest

from speccascade.tasks import translation_german as german
from speccascade.tasks import translation_subordinate as subordinate
from speccascade.tasks import translation_times as times
from speccascade.tasks.translation_clauses import IT, LEXICON
from speccascade.tasks.translation_phrases import (
  Clause,
  Gap,
  NounPhrase,
  Pronoun,
  Time,
)

ME, WE = Pronoun('I', '1s'), Pronoun('we', '1p')
HE, SHE, THEY = Pronoun('he', 'm'), Pronoun('she', 'f'), Pronoun('they', 'p')
YESTERDAY = Time('yesterday', ('gestern',))
TOMORROW = Time('tomorrow', ('morgen',))


def lowest(low, high):
  """Always the first choice: the subject leads, the first synonym is used."""
  del high
  return low


def highest(low, high):
  """Always the last choice: a time leads, the last synonym is used."""
  del low
  return high


PRETERITE = german.Style(lowest, perfect=False, werden=False)
PERFECT = german.Style(lowest, perfect=True, werden=True)
TIME_FIRST = german.Style(highest, perfect=False, werden=False)


def np(name, determiner='the', **rest):
  return NounPhrase(LEXICON.nouns[name][0], determiner, **rest)


def adjective(form):
  words = (word for words in LEXICON.adjectives.values() for word in words)
  return next(word for word in words if word.forms[0][0] == form)


def clause(verb, subject, *phrases, tense='past', nth=0, **rest):
  """A clause of the nth frame of a verb that takes so many phrases."""
  found = []
  for frames in LEXICON.frames.values():
    for frame in frames:
      wanted = [x for x in frame.verbs[0][1] if x.role not in ('sich', 'fixed')]
      if frame.id.strip() == verb and len(wanted) == len(phrases):
        found.append(frame)
  return Clause(found[nth], subject, list(phrases), tense, **rest)


def say(c, style=PRETERITE, order='main'):
  return german.punctuate(german.clause(c, order, style))


@pytest.mark.parametrize(
  ('name', 'determiner', 'adjective_', 'plural', 'forms'),
  [
    ('Mann', 'the', 'alt', False, 'der alte Mann/den alten Mann/'
     'dem alten Mann'),
    ('Frau', 'the', 'alt', False, 'die alte Frau/die alte Frau/der alten Frau'),
    ('Haus', 'the', 'alt', False, 'das alte Haus/das alte Haus/dem alten Haus'),
    (
      'Mann', 'the', 'alt', True,
      'die alten Männer/die alten Männer/den alten Männern',
    ),
    (
      'Mann', 'a', 'alt', False,
      'ein alter Mann/einen alten Mann/einem alten Mann',
    ),
    (
      'Frau', 'a', 'alt', False,
      'eine alte Frau/eine alte Frau/einer alten Frau',
    ),
    (
      'Haus', 'a', 'hoch', False,
      'ein hohes Haus/ein hohes Haus/einem hohen Haus',
    ),
    (
      'Auto', 'poss', 'teuer', False,
      'ihr teures Auto/ihr teures Auto/ihrem teuren Auto',
    ),
    (
      'Auto', 'poss', 'neu', True,
      'ihre neuen Autos/ihre neuen Autos/ihren neuen Autos',
    ),
    (
      'Junge', 'this', 'müde', False,
      'dieser müde Junge/diesen müden Jungen/diesem müden Jungen',
    ),
    ('Wasser', 'none', 'kalt', False, 'kaltes Wasser/kaltes Wasser/'
     'kaltem Wasser'),
    ('Milch', 'none', 'kalt', False, 'kalte Milch/kalte Milch/kalter Milch'),
    ('Kaffee', 'none', 'gut', False, 'guter Kaffee/guten Kaffee/gutem Kaffee'),
    ('Buch', 'none', 'neu', True, 'neue Bücher/neue Bücher/neuen Büchern'),
    ('Buch', 'num', 'neu', True, 'drei neue Bücher/drei neue Bücher/'
     'drei neuen Büchern'),
    ('Buch', 'many', 'neu', True, 'viele neue Bücher/viele neue Bücher/'
     'vielen neuen Büchern'),
    ('Nachbar', 'the', 'nett', False,
     'der nette Nachbar/den netten Nachbarn/dem netten Nachbarn'),
    ('Zeit', 'little', None, False, 'wenig Zeit/wenig Zeit/wenig Zeit'),
    ('Schweiz', 'the', None, False, 'die Schweiz/die Schweiz/der Schweiz'),
    ('Anna', 'the', None, False, 'Anna/Anna/Anna'),
    ('Apfelkuchen', 'a', 'lecker', False,
     'ein leckerer Apfelkuchen/einen leckeren Apfelkuchen/'
     'einem leckeren Apfelkuchen'),
    ('Tomatensuppe', 'the', 'heiß', False,
     'die heiße Tomatensuppe/die heiße Tomatensuppe/der heißen Tomatensuppe'),
  ],
)  # fmt: skip
def test_noun_phrases(name, determiner, adjective_, plural, forms):
  phrase = np(
    name, determiner, plural=plural, number=3, owner=SHE,
    adjective=adjective(adjective_) if adjective_ else None,
  )  # fmt: skip
  cases = [german.phrase(phrase, c, PRETERITE) for c in ('nom', 'acc', 'dat')]
  assert '/'.join(cases) == forms


def test_kein_is_inflected_like_ein():
  apples = np('Apfel', 'none', plural=True, adjective=adjective('rot'))
  assert german.phrase(apples, 'acc', PRETERITE, negated=True) == (
    'keine roten Äpfel'
  )
  dog = np('Hund', 'a', adjective=adjective('klein'))
  assert (
    german.phrase(dog, 'nom', PRETERITE, negated=True) == 'kein kleiner Hund'
  )
  assert german.phrase(dog, 'acc', PRETERITE, negated=True) == (
    'keinen kleinen Hund'
  )


@pytest.mark.parametrize(
  ('verb', 'person', 'present', 'past'),
  [
    ('lesen/liest/las/gelesen', '1s', 'lese', 'las'),
    ('lesen/liest/las/gelesen', 'f', 'liest', 'las'),
    ('lesen/liest/las/gelesen', 'p', 'lesen', 'lasen'),
    ('kaufen', '1p', 'kaufen', 'kauften'),
    ('sammeln', '1s', 'sammle', 'sammelte'),
    ('sammeln', 'p', 'sammeln', 'sammelten'),
    ('wandern', '1s', 'wandere', 'wanderte'),
    ('spielen', '1s', 'spiele', 'spielte'),
    ('arbeiten', 'm', 'arbeitet', 'arbeitete'),
    ('öffnen', 'n', 'öffnet', 'öffnete'),
    ('wohnen', 'm', 'wohnt', 'wohnte'),
    ('sein/ist/war/-', '1s', 'bin', 'war'),
    ('sein/ist/war/-', 'p', 'sind', 'waren'),
    ('haben/hat/hatte/-', '1p', 'haben', 'hatten'),
    ('wissen/weiß/wusste/gewusst', '1s', 'weiß', 'wusste'),
    ('auf|stehen/steht/stand/ist gestanden', 'm', 'steht', 'stand'),
  ],
)
def test_finite_verbs(verb, person, present, past):
  verb = german.lexicon.verb(verb)
  assert german.finite(verb, False, person) == present
  assert german.finite(verb, True, person) == past


BREAKFAST = clause('aufstehen', HE, tense='habit', time=times.clock(7, 0))
COAT = clause('kaufen', np('Lehrer'), np('Mantel', 'a'), time=YESTERDAY)
MAN = np('Mann')
MAN.relative = clause('arbeiten', Gap(MAN, 'who'), tense='habit')
BOOK = np('Buch')
BOOK.relative = clause('kaufen', SHE, Gap(BOOK, 'that'), time=YESTERDAY)
WOMAN = np('Frau')
WOMAN.relative = clause('helfen', HE, Gap(WOMAN, ''))
PEOPLE = np('Leute', plural=True)
PEOPLE.relative = clause('danken', HE, Gap(PEOPLE, ''))
CHAIR = np('Stuhl')
CHAIR.relative = clause(
  'schlafen', np('Katze'), Gap(CHAIR, 'that', 'auf'), tense='habit'
)
BUS = np('Bus')
BUS.relative = clause('warten', WE, Gap(BUS, ''), tense='habit')


@pytest.mark.parametrize(
  ('c', 'style', 'text'),
  [
    # The verb is second, whatever leads.
    (COAT, PRETERITE, 'Der Lehrer kaufte gestern einen Mantel.'),
    (COAT, TIME_FIRST, 'Gestern kaufte der Lehrer einen Mantel.'),
    (COAT, PERFECT, 'Der Lehrer hat gestern einen Mantel gekauft.'),
    # Separable prefixes.
    (BREAKFAST, PRETERITE, 'Er steht um sieben Uhr auf.'),
    (
      clause('anrufen', ME, np('Nachbar'), tense='habit'),
      PRETERITE, 'Ich rufe den Nachbarn an.',
    ),
    (clause('aufstehen', WE), PERFECT, 'Wir sind aufgestanden.'),
    (clause('einkaufen', THEY), PERFECT, 'Sie haben eingekauft.'),
    (clause('aufstehen', HE, tense='past', modal='must'), PERFECT,
     'Er musste aufstehen.'),
    # haben and sein; sein and haben themselves stay in the preterite.
    (clause('fahren', SHE, np('Wien')), PERFECT, 'Sie ist nach Wien gefahren.'),
    (clause('haben', SHE, np('Hund', 'a')), PERFECT, 'Sie hatte einen Hund.'),
    (clause('putzen', HE, np('Tür'), tense='pluperfect'), PRETERITE,
     'Er hatte die Tür geputzt.'),
    # Modal verbs and the future.
    (clause('lernen Deutsch', SHE, tense='habit', modal='want'), PRETERITE,
     'Sie will Deutsch lernen.'),
    (clause('lernen Deutsch', THEY, tense='habit', modal='would'), PRETERITE,
     'Sie möchten Deutsch lernen.'),
    (clause('lernen Deutsch', ME, tense='habit', modal='like'), PRETERITE,
     'Ich lerne gern Deutsch.'),
    (clause('lernen Deutsch', ME, tense='future', time=TOMORROW), PRETERITE,
     'Ich lerne morgen Deutsch.'),
    (clause('lernen Deutsch', ME, tense='future', time=TOMORROW), PERFECT,
     'Ich werde morgen Deutsch lernen.'),
    (clause('lernen Deutsch', np('Anna'), tense='since',
            time=Time('for three years', ('seit drei Jahren',))), PRETERITE,
     'Anna lernt seit drei Jahren Deutsch.'),
    # nicht and kein.
    (clause('kaufen', HE, np('Buch'), negated=True, time=YESTERDAY), PERFECT,
     'Er hat gestern das Buch nicht gekauft.'),
    (clause('kaufen', HE, np('Apfel', 'none', plural=True), negated=True),
     PERFECT, 'Er hat keine Äpfel gekauft.'),
    (clause('fahren', HE, np('Berlin'), negated=True), PRETERITE,
     'Er fuhr nicht nach Berlin.'),
    (clause('gehen ins Bett', HE, negated=True), PERFECT,
     'Er ist nicht ins Bett gegangen.'),
    # Datives before accusatives; pronouns before both, the accusative first.
    (clause('zeigen', HE, np('Kind'), np('Bild', 'a')), PRETERITE,
     'Er zeigte dem Kind ein Bild.'),
    (clause('zeigen', HE, np('Kind'), Pronoun('it', 'n')), PRETERITE,
     'Er zeigte es dem Kind.'),
    (clause('zeigen', HE, SHE, Pronoun('it', 'm')), PRETERITE,
     'Er zeigte ihn ihr.'),
    (clause('helfen', np('Anna'), THEY), PERFECT, 'Anna hat ihnen geholfen.'),
    (clause('ausruhen', ME, time=YESTERDAY), PERFECT,
     'Ich habe mich gestern ausgeruht.'),
    # Prepositions: with one case, and with two.
    (clause('warten', HE, np('Zug')), PERFECT, 'Er hat auf den Zug gewartet.'),
    (clause('wohnen', HE, np('Schwester', 'poss', owner=HE), tense='habit',
            nth=2),
     PRETERITE, 'Er wohnt bei seiner Schwester.'),
    (clause('lernen Deutsch', HE, companion=np('Freund', 'poss', owner=HE)),
     PRETERITE, 'Er lernte mit seinem Freund Deutsch.'),
    (clause('backen', HE, np('Kuchen', 'a'),
            beneficiary=np('Bruder', 'poss', owner=HE)), PRETERITE,
     'Er backte einen Kuchen für seinen Bruder.'),
    (clause('zurückkommen', HE, np('Schweiz')), PRETERITE,
     'Er kam aus der Schweiz zurück.'),
    (clause('legen', HE, np('Brief'), np('Tisch', relation='auf')), PRETERITE,
     'Er legte den Brief auf den Tisch.'),
    (clause('liegen', np('Brief'), np('Tisch', relation='auf')), PRETERITE,
     'Der Brief lag auf dem Tisch.'),
    (clause('hängen', HE, np('Bild'), np('Wand', relation='an')), PRETERITE,
     'Er hängte das Bild an die Wand.'),
    (clause('gehen', HE, np('Kino')), PRETERITE, 'Er ging ins Kino.'),
    (clause('schwimmen', HE, at=np('See')), PRETERITE, 'Er schwamm am See.'),
    (clause('fahren', HE, np('Bahnhof'), vehicle=np('Bus')), PRETERITE,
     'Er fuhr mit dem Bus zum Bahnhof.'),
    # Relative clauses.
    (clause('schlafen', MAN), PRETERITE, 'Der Mann, der arbeitet, schlief.'),
    (clause('verkaufen', HE, BOOK), PRETERITE,
     'Er verkaufte das Buch, das sie gestern kaufte.'),
    (clause('verkaufen', HE, BOOK), PERFECT,
     'Er hat das Buch verkauft, das sie gestern gekauft hat.'),
    (clause('schlafen', WOMAN), PERFECT, 'Die Frau, der er geholfen hat, hat '
     'geschlafen.'),
    (clause('schlafen', PEOPLE), PRETERITE,
     'Die Leute, denen er dankte, schliefen.'),
    (clause('reparieren', HE, CHAIR), PRETERITE,
     'Er reparierte den Stuhl, auf dem die Katze schläft.'),
    (clause('abfahren', BUS), PERFECT,
     'Der Bus, auf den wir warten, ist abgefahren.'),
  ],
)  # fmt: skip
def test_main_clauses(c, style, text):
  assert say(c, style) == text


@pytest.mark.parametrize(
  ('c', 'order', 'style', 'text'),
  [
    (BREAKFAST, 'final', PRETERITE, 'Er um sieben Uhr aufsteht.'),
    (BREAKFAST, 'inverted', PRETERITE, 'Steht er um sieben Uhr auf.'),
    (BREAKFAST, 'joined', PRETERITE, 'Steht um sieben Uhr auf.'),
    (BREAKFAST, 'zu', PRETERITE, 'Um sieben Uhr aufzustehen.'),
    (COAT, 'zu', PRETERITE, 'Gestern einen Mantel zu kaufen.'),
    (COAT, 'final', PERFECT, 'Der Lehrer gestern einen Mantel gekauft hat.'),
    (
      clause('aufstehen', WE, tense='habit', modal='can'),
      'final', PRETERITE, 'Wir aufstehen können.',
    ),
    (clause('liegen', np('Ball', 'a'), np('Bett', relation='unter')),
     'located', TIME_FIRST, 'Unter dem Bett war ein Ball.'),
  ],
)  # fmt: skip
def test_other_orders(c, order, style, text):
  assert say(c, style, order) == text


TIRED = clause('sein müde', SHE)
HOME = clause('gehen nach Hause', SHE)
RAIN = clause('regnen', IT, tense='habit')
STAY = clause('bleiben zu Hause', WE, tense='future')
RING = clause('klingeln', np('Telefon'))
READING = clause('lesen', np('Anna'), np('Zeitung', 'a'), tense='was')


@pytest.mark.parametrize(
  ('first', 'second', 'conjunctions', 'leading', 'english', 'german_'),
  [
    (HOME, TIRED, ('because', ('weil',), ()), False,
     'She went home because she was tired.',
     'Sie ging nach Hause, weil sie müde war.'),
    (HOME, TIRED, ('because', (), ('denn',)), False,
     'She went home because she was tired.',
     'Sie ging nach Hause, denn sie war müde.'),
    (HOME, TIRED, ('although', ('obwohl',), ()), True,
     'Although she was tired, she went home.',
     'Obwohl sie müde war, ging sie nach Hause.'),
    (STAY, RAIN, ('if', ('wenn',), ()), True,
     'If it rains, we will stay at home.',
     'Wenn es regnet, werden wir zu Hause bleiben.'),
    (READING, RING, ('when', ('als',), ()), True,
     'When the telephone rang, Anna was reading a newspaper.',
     'Als das Telefon klingelte, las Anna eine Zeitung.'),
    (clause('glauben', HE, tense='habit'), STAY, ('that', ('dass',), ()), False,
     'He thinks that we will stay at home.',
     'Er glaubt, dass wir zu Hause bleiben werden.'),
  ],
)  # fmt: skip
def test_subordinate_clauses(
  first, second, conjunctions, leading, english, german_
):
  sentence = subordinate._subordinate(
    first, second, conjunctions, leading, comma=False
  )
  assert sentence.english == english
  assert sentence.german(PRETERITE) == german_


def test_the_background_stays_in_the_preterite():
  sentence = subordinate._subordinate(
    READING, RING, ('when', ('als',), ()), leading=False, comma=False
  )
  assert sentence.german(PERFECT) == (
    'Anna las eine Zeitung, als das Telefon klingelte.'
  )


def test_definite_objects_may_stand_before_the_time():
  c = clause('kaufen', HE, np('Buch'), time=YESTERDAY)
  uniform = random.Random(0).random
  style = german.Style(
    lambda low, high: low + int(uniform() * (high - low + 1)), True, False
  )
  assert {say(c, style) for _ in range(50)} == {
    'Er hat das Buch gestern gekauft.',
    'Er hat gestern das Buch gekauft.',
    'Gestern hat er das Buch gekauft.',
  }


def test_commas_and_capitals():
  assert german.punctuate('das Buch, das er las,, ist neu ,') == (
    'Das Buch, das er las, ist neu.'
  )
