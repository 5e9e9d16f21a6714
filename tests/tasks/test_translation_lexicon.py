import re

import pytest

from speccascade.tasks import translation_lexicon as lexicon

LEXICON = lexicon.load()
OPTIONS = (
  'how at with by for once moment still state dated since first then because '
  'although fact present moved unwanted daily creates'
).split()


def all_frames():
  return [frame for frames in LEXICON.frames.values() for frame in frames]


@pytest.mark.parametrize(
  ('text', 'forms'),
  [
    ('kaufen', 'kauft kaufte gekauft haben'),
    ('verkaufen', 'verkauft verkaufte verkauft haben'),
    ('reparieren', 'repariert reparierte repariert haben'),
    ('arbeiten', 'arbeitet arbeitete gearbeitet haben'),
    ('öffnen', 'öffnet öffnete geöffnet haben'),
    ('wohnen', 'wohnt wohnte gewohnt haben'),
    ('lernen', 'lernt lernte gelernt haben'),
    ('bügeln', 'bügelt bügelte gebügelt haben'),
    ('gehen/geht/ging/ist gegangen', 'geht ging gegangen sein'),
    ('sein/ist/war/-', 'ist war  haben'),
  ],
)
def test_principal_parts(text, forms):
  verb = lexicon.verb(text)
  assert [verb.present, verb.past, verb.participle, verb.auxiliary] == (
    forms.split(' ')
  )


def test_separable_prefixes():
  verb = lexicon.verb('vor|bereiten')
  assert (verb.prefix, verb.infinitive, verb.participle) == (
    'vor', 'bereiten', 'bereitet',
  )  # fmt: skip
  verb = lexicon.verb('ein|kaufen')
  assert (verb.prefix, verb.participle) == ('ein', 'gekauft')


def test_english_forms():
  assert lexicon.english_verb('carry') == ('carry', 'carried', 'carried')
  assert lexicon.english_verb('plan') == ('plan', 'planned', 'planned')
  assert lexicon.english_verb('play') == ('play', 'played', 'played')
  assert lexicon.english_verb('like') == ('like', 'liked', 'liked')
  assert lexicon.english_verb('visit') == ('visit', 'visited', 'visited')
  assert [lexicon.ing(x) for x in ('make', 'swim', 'lie', 'visit', 'see')] == [
    'making', 'swimming', 'lying', 'visiting', 'seeing',
  ]  # fmt: skip
  assert [lexicon.plural(x) for x in ('box', 'party', 'day', 'church')] == [
    'boxes', 'parties', 'days', 'churches',
  ]  # fmt: skip


def test_nouns():
  boy = LEXICON.nouns['Junge'][0]
  assert (boy.forms, boy.gender, boy.weak) == (
    (('Junge', 'Jungen'),),
    'm',
    True,
  )
  assert (boy.english, boy.englishes, boy.sex) == ('boy', 'boys', 'he')
  doctor = LEXICON.nouns['Arzt'][0]
  assert doctor.feminine.forms == (('Ärztin', 'Ärztinnen'),)
  assert (doctor.feminine.gender, doctor.feminine.sex) == ('f', 'she')
  assert doctor.feminine.english == doctor.english == 'doctor'
  parents = LEXICON.nouns['Eltern'][0]
  assert (parents.forms, parents.english) == ((('', 'Eltern'),), '')
  cake = LEXICON.nouns['Kirschkuchen'][0]
  assert (cake.gender, cake.english, cake.forms) == (
    'm', 'cherry cake', (('Kirschkuchen', 'Kirschkuchen'),),
  )  # fmt: skip
  assert LEXICON.nouns['Schweiz'][0].article == 'german'
  assert LEXICON.nouns['Berlin'][0].article == 'none'


def test_the_vocabulary_is_large():
  nouns = {n.id for kind in LEXICON.nouns.values() for n in kind}
  verbs = {v.prefix + v.infinitive for f in all_frames() for v, _ in f.verbs}
  adjectives = {w.forms[0][0] for k in LEXICON.adjectives.values() for w in k}
  assert len(nouns) > 300
  assert len(verbs) > 120
  assert len(adjectives) > 60


def test_frames_fit_the_words():
  kinds = {n.kind for nouns in LEXICON.nouns.values() for n in nouns}
  assert set(LEXICON.adjectives) <= kinds
  for frame in all_frames():
    assert set(frame.options) <= set(OPTIONS), frame.id
    assert frame.subject in LEXICON.nouns or frame.subject in ('it', 'anything')
    assert all(
      x in LEXICON.adverbs['how'] for x in frame.options.get('how', ())
    )
    for name in frame.options.get('at', ()):
      assert all(noun.place for noun in LEXICON.nouns[name]), (frame.id, name)
    for name in ('because', 'although'):
      assert set(frame.options.get(name, ())) <= set(LEXICON.frames), frame.id
    said = set(re.findall(r'\{(\d)\}', frame.pattern))
    for _, complements in frame.verbs:
      wanted = [x for x in complements if x.role not in ('sich', 'fixed')]
      assert all(x.nouns or x.relations for x in wanted), frame.id
      assert all(LEXICON.spots[r] for x in wanted for r in x.relations)
      if said:
        assert said == {str(n + 1) for n in range(len(wanted))}, frame.id
      for x in wanted:
        if x.role in ('at', 'to', 'from'):
          assert all(noun.place for noun in x.nouns), frame.id
