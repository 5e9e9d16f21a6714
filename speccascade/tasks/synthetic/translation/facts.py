"""Sentence patterns that say how, where or how old somebody or something is."""

from speccascade.tasks.synthetic.draws import Draw, choice
from speccascade.tasks.synthetic.translation import (
  clauses,
  english,
  german,
  lexicon,
  times,
)
from speccascade.tasks.synthetic.translation.clauses import IT, LEXICON
from speccascade.tasks.synthetic.translation.phrases import (
  Clause,
)
from speccascade.tasks.synthetic.translation.sentences import (
  Sentence,
  be,
  sentence,
)


def comparison(draw: Draw) -> Sentence | None:
  """'My brother is taller than his friend.'."""
  person = draw(0, 1)
  one = clauses.subject(draw, 'person' if person else 'goods', pronouns=False)
  nouns = LEXICON.nouns['person' if person else one.noun.kind]
  if len(nouns) < 2:
    return None
  noun = clauses.any_noun(draw, nouns, (one.noun.english,))
  relative = noun.kind in ('parent', 'sibling', 'offspring', 'friend')
  codes = ('the', 'this') if person else ('the', 'this', 'poss')
  other = clauses.noun_phrase(draw, noun, () if relative else codes, one, 0)
  if one.plural != other.plural:
    return None
  words = LEXICON.adverbs['more' if person else 'worth']
  how = choice(draw, tuple(words.values()))
  tense = 'habit' if person else choice(draw, ('habit', 'past'))
  c = Clause(LEXICON.frames['copula'][0], one, [], tense, how=how)
  text = f'{english.clause(c)} than {english.phrase(other)}'

  def worded(style):
    second = german.phrase(other, 'nom', style)
    return f'{german.clause(c, "main", style)} als {second}'

  return sentence([c, Clause(c.frame, other, [], tense)], text, worded)


def _measure(text, english_text):
  return lexicon.Word(((text, ''),), english_text)


def age(draw: Draw) -> Sentence:
  """'My aunt is forty-two years old.'."""
  n = draw(2, 99)
  what = _measure(
    f'{times.german_number(n)} Jahre alt',
    f'{times.english_number(n)} years old',
  )
  kind = choice(draw, ('adult', 'building')) if n > 17 else 'building'
  doer = clauses.subject(draw, kind, False)
  c = Clause(LEXICON.frames['copula'][0], doer, [], 'habit', how=what)
  return sentence([c], english.clause(c), lambda s: german.clause(c, 'main', s))


def price(draw: Draw) -> Sentence:
  """'The new bicycle costs eighty-five euros.'."""
  n = draw(3, 100)
  c = clauses.plain(
    draw, LEXICON.frames['price'][0], clauses.subject(draw, 'goods'),
    choice(draw, ('habit', 'past', 'future')),
  )  # fmt: skip
  c.how = _measure(
    f'{times.german_number(n)} Euro', f'{times.english_number(n)} euros'
  )
  return sentence([c], english.clause(c), lambda s: german.clause(c, 'main', s))


def quality(draw: Draw) -> Sentence:
  """'This new film is very exciting.'."""
  kind = choice(draw, tuple(LEXICON.adjectives))
  noun = clauses.any_noun(draw, LEXICON.nouns[kind])
  doer = clauses.noun_phrase(draw, noun, ('the', 'this', 'poss'), None, 0)
  adjective = choice(draw, LEXICON.adjectives[noun.kind])
  c = be(draw, doer, adjective, choice(draw, ('habit', 'past')))
  return sentence([c], english.clause(c), lambda s: german.clause(c, 'main', s))


def located(draw: Draw) -> Sentence:
  """'There are three books on the table.'."""
  frame = choice(draw, clauses.frames_with('moved'))
  noun = clauses.any_noun(draw, LEXICON.nouns[frame.subject])
  doer = clauses.noun_phrase(draw, noun, ('a', 'num', 'some', 'many'), None)
  c = clauses.plain(draw, frame, doer, choice(draw, ('habit', 'past')))
  place = english.place(c)
  return sentence(
    [c],
    f'{_there(c.tense, doer)} {english.phrase(doer)} {place}',
    lambda style: german.clause(c, 'located', style),
  )


def _there(tense, np):
  plural = np.gender == 'p'
  verbs = ('was', 'were') if tense == 'past' else ('is', 'are')
  return f'there {verbs[plural]}'


def exists(draw: Draw) -> Sentence:
  """'There are many cafés in this town.'."""
  c = clauses.plain(
    draw, LEXICON.frames['exist'][0], IT, choice(draw, ('habit', 'past'))
  )
  town = clauses.any_noun(
    draw, LEXICON.nouns[choice(draw, ('town', 'city', 'abroad'))]
  )
  codes = ('this', 'the', 'poss')
  c.at = clauses.noun_phrase(draw, town, codes, clauses.WE, 20)
  c.at.plural = False
  return sentence(
    [c],
    f'{_there(c.tense, c.phrases[0])} {english.phrase(c.phrases[0])} '
    f'{c.at.noun.place.english_at} {english.phrase(c.at)}',
    lambda style: german.clause(c, 'main', style),
  )
