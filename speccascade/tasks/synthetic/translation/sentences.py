"""The form of a generated sentence, and patterns of main clauses alone.

A pattern draws a Sentence, or None if its parts do not fit together.
"""

import dataclasses
from collections.abc import Callable

from speccascade.tasks.synthetic.draws import Draw, choice
from speccascade.tasks.synthetic.translation import (
  clauses,
  english,
  german,
  lexicon,
)
from speccascade.tasks.synthetic.translation.clauses import LEXICON
from speccascade.tasks.synthetic.translation.phrases import (
  Clause,
  Gap,
  NounPhrase,
  Phrase,
  Pronoun,
  reference,
)

# Adjectives that go with 'too', and those that do not even go with 'very'.
_GRADED = ('big', 'boring', 'cold', 'complicated', 'difficult', 'expensive',
           'heavy', 'high', 'hot', 'long', 'old', 'short', 'small',
           'spicy', 'young')  # fmt: skip
_ABSOLUTE = ('black', 'blue', 'broken', 'brown', 'delicious', 'fresh', 'green',
             'grey', 'red', 'white', 'wonderful', 'yellow')  # fmt: skip
_AUXILIARIES = ('habe', 'hat', 'haben', 'bin', 'ist', 'sind')


@dataclasses.dataclass(frozen=True)
class Sentence:
  """A sentence before it is scored or split.

  Attributes:
    clauses: what it says.
    english: its wording.
    german: words it in a style.
  """

  clauses: tuple[Clause, ...]
  english: str
  german: Callable[[german.Style], str]


def sentence(
  said: list[Clause],
  english_text: str,
  german_text: Callable[[german.Style], str],
) -> Sentence:
  """Returns a sentence of clauses, given its text without punctuation."""
  if any(c.tense == 'was' for c in said):  # the background is in the preterite

    def worded(style):
      style = dataclasses.replace(style, perfect=False)
      return german.punctuate(german_text(style))
  else:

    def worded(style):
      return german.punctuate(german_text(style))

  return Sentence(tuple(said), english.punctuate(english_text), worded)


def doers(draw: Draw, kind: str) -> tuple[Phrase, Pronoun]:
  """Draws a subject and the pronoun that takes it up again."""
  while True:
    doer = clauses.subject(draw, kind)
    again = reference(draw, doer)
    if again:
      if isinstance(doer, NounPhrase) and draw(0, 3) == 0:
        add_relative(draw, doer)
      return doer, again


def add_relative(draw: Draw, head: NounPhrase) -> None:
  """Adds a relative clause to a person such as 'the gardener'."""
  if head.noun.kind != 'adult' or head.determiner != 'the':
    return
  frame = clauses.frame(draw, 'live', 'live', 'own', 'collect', 'buy', 'work')
  lasting = {'state', 'still'} & frame.options.keys()
  tense = 'habit' if lasting and draw(0, 3) else 'past'
  if 'fact' in frame.options:
    tense = 'habit'
  c = clauses.plain(draw, frame, Gap(head, 'who'), tense)
  if tense == 'past' and not lasting and draw(0, 1):
    c.time = clauses.past_time(draw, c)
  head.relative = c


def statement(draw: Draw) -> Sentence:
  """One clause of any kind: 'Tomorrow, she will buy a new coat.'."""
  categories = ('rest', 'stay', 'play', 'outing', 'collect', 'chore', 'work',
                'buy', 'eat', 'drink', 'social', 'social', 'quarrel', 'laugh',
                'wait', 'think', 'own', 'dress', 'rise', 'travel', 'live',
                'thing', 'thing', 'put')  # fmt: skip
  frame = clauses.frame(draw, *categories)
  c = clauses.statement(draw, frame, clauses.subject(draw, frame.subject))
  return sentence([c], english.clause(c), lambda s: german.clause(c, 'main', s))


def be(draw: Draw, doer: Phrase, adjective: lexicon.Word, tense: str) -> Clause:
  """Draws a clause of 'be' and an adjective."""
  degree = choice(draw, ('', '', 'sehr very', 'zu too'))
  if degree and (
    adjective.english in _GRADED
    or (degree != 'zu too' and adjective.english not in _ABSOLUTE)
  ):
    before, too = degree.split()
    forms = tuple((f'{before} {form}', '') for form, _ in adjective.forms)
    adjective = lexicon.Word(forms, f'{too} {adjective.english}')
  frame = LEXICON.frames['copula'][0]
  return Clause(frame, doer, [], tense, how=adjective)


def to_infinitive(draw: Draw) -> Sentence:
  """'He forgot to close the window.'."""
  frame = clauses.frame(draw, 'attempt')
  never, categories = ('state',), ('chore', 'work', 'social', 'buy')
  if frame.english[0] == 'begin':
    never, categories = ('state', 'still', 'once'), ('chore', 'work')
  elif frame.english[0] in ('decide', 'hope', 'plan'):
    categories += ('rise', 'stay', 'outing', 'travel')
  inner = clauses.frame(draw, *categories, without=never)
  doer = clauses.subject(draw, inner.subject)
  main = clauses.plain(draw, frame, doer, 'past')
  if 'still' not in frame.options and draw(0, 1):
    main.time = clauses.past_time(draw, main)
    main.time_first = True
  second = clauses.with_manner(draw, clauses.plain(draw, inner, doer, 'habit'))
  text = f'{english.clause(main)} to {english.infinitive(second)}'

  def worded(style):
    before = german.clause(main, 'main', style)
    return f'{before}, {german.clause(second, "zu", style)}'

  return sentence([main, second], text, worded)


def in_order_to(draw: Draw) -> Sentence:
  """'She went to the market to buy apples.'."""
  errand = clauses.frame(draw, 'errand')
  noun = clauses.any_noun(draw, LEXICON.nouns[errand.subject])
  doer = clauses.subject(draw, 'adult' if noun.kind == 'work' else 'person')
  place = clauses.noun_phrase(draw, noun, ('the',), None, 20)
  place.plural = False
  walk = LEXICON.frames['walk'][0]
  tense = choice(draw, ('past', 'past', 'future', 'habit'))
  main = clauses.plain(draw, walk, doer, tense, given={0: place})
  clauses.set_time(draw, main)
  main.time_first = main.time is not None
  second = clauses.plain(draw, errand, doer, 'habit')
  text = f'{english.clause(main)} to {english.infinitive(second)}'

  def worded(style):
    before = german.clause(main, 'main', style)
    return f'{before}, um {german.clause(second, "zu", style)}'

  return sentence([main, second], text, worded)


def _joined(first, second):
  """Joins two clauses of one subject; German may share an auxiliary."""
  text = f'{english.clause(first)} and {english.clause(second, subject=False)}'

  def worded(style):
    one = german.clause(first, 'main', style)
    other = german.clause(second, 'joined', style)
    verb, _, rest = other.partition(' ')
    if style.perfect and verb in _AUXILIARIES and verb in one.split():
      other = rest
    return f'{one} und {other}'

  return sentence([first, second], text, worded)


def and_(draw: Draw) -> Sentence:
  """'Peter got up at seven o'clock and went to school.'."""
  pairs = (('rise', 'eat'), ('rise', 'chore'), ('eat', 'chore'),
           ('chore', 'rest'), ('work', 'play'), ('outing', 'eat'),
           ('buy', 'stay'), ('social', 'outing'), ('travel', 'social'),
           ('work', 'stay'), ('chore', 'outing'))  # fmt: skip
  never = ('state', 'fact', 'present', 'once')
  one, other = (
    clauses.frame(draw, name, without=never) for name in choice(draw, pairs)
  )
  doer = clauses.subject(draw, lexicon.doer_kind(one, other))
  first = clauses.plain(draw, one, doer, 'past')
  clauses.set_time(draw, first)
  return _joined(first, clauses.plain(draw, other, doer, 'past'))


def and_it(draw: Draw) -> Sentence | None:
  """'He bought a newspaper and read it.'."""
  frame = choice(draw, clauses.frames_with('first'))
  doer = clauses.subject(draw, frame.subject)
  phrases = clauses.fill(draw, frame, doer, False)
  found = clauses.frames_for(phrases[0], 'then')
  if not found or isinstance(phrases[0], Pronoun):
    return None
  again = reference(draw, phrases[0])
  if not again or again.gender == doer.gender:
    return None
  main = Clause(frame, doer, phrases, 'past')
  clauses.set_time(draw, main)
  frame, number = choice(draw, found)
  second = clauses.plain(draw, frame, doer, 'past', given={number: again})
  return _joined(main, second)


def both(draw: Draw) -> Sentence | None:
  """'Anna will fly to Rome, but we will go to Vienna by train.'."""
  category = choice(draw, ('play', 'outing', 'chore', 'work', 'buy', 'eat',
                           'drink', 'social', 'travel', 'live'))  # fmt: skip
  tense = choice(draw, ('past', 'future', 'habit'))
  said = []
  for _ in range(2):
    never = ('fact', 'once', 'moment') if tense == 'habit' else ('fact',)
    frame = clauses.frame(draw, category, without=never)
    doer = clauses.subject(draw, frame.subject)
    c = clauses.plain(draw, frame, doer, tense)
    clauses.set_time(draw, c)
    clauses.add(draw, c)
    said.append(c)
  first, second = said
  if first.frame is second.frame:
    return None
  if first.subject.gender == second.subject.gender and (
    isinstance(first.subject, Pronoun) or isinstance(second.subject, Pronoun)
  ):
    return None
  english_word, word = choice(draw, ((', but', ', aber'), (', and', ' und')))
  text = f'{english.clause(first)}{english_word} {english.clause(second)}'

  def worded(style):
    one = german.clause(first, 'main', style)
    return f'{one}{word} {german.clause(second, "main", style)}'

  return sentence(said, text, worded)


def but(draw: Draw) -> Sentence:
  """'Anna wanted to visit her uncle, but she was ill.'."""
  frame, doer, state = with_state(draw, 'although', 'past')
  main = clauses.plain(draw, frame, doer, 'past')
  main.modal = 'want'
  if draw(0, 1):
    main.time = clauses.past_time(draw, main)
    main.time_first = draw(0, 1) == 0
  text = f'{english.clause(main)}, but {english.clause(state)}'

  def worded(style):
    first = german.clause(main, 'main', style)
    return f'{first}, aber {german.clause(state, "main", style)}'

  return sentence([main, state], text, worded)


def with_state(
  draw: Draw, key: str, tense: str, leading: bool = False
) -> tuple[lexicon.Frame, Phrase, Clause]:
  """Draws what somebody does, and a state of theirs or of the weather.

  Args:
    draw: draws a number.
    key: 'because', if the state explains it, or 'although'.
    tense: of the state; a state in 'now' is told in 'habit', if not of rain.
    leading: whether the state is told first.

  Returns:
    The frame of what is done, its subject, and the clause of the state.
  """
  while True:
    state = clauses.frame(draw, 'state', 'state', 'weather')
    if key in state.options:
      break
  category = choice(draw, state.options[key])
  never = ('state', 'once', 'moment') if category == 'travel' else ('state',)
  frame = clauses.frame(draw, category, without=never)
  if state.category == 'weather':
    who = clauses.subject(draw, state.subject)
    if state.english[0] != 'be':
      tense = {'past': 'was'}.get(tense, tense)
    elif tense == 'now':
      tense = 'habit'
    return frame, clauses.subject(draw, frame.subject), clauses.plain(
      draw, state, who, tense
    )  # fmt: skip
  doer, again = doers(draw, frame.subject)
  if leading:
    doer, again = again, doer
  tense = {'now': 'habit'}.get(tense, tense)
  return frame, doer, clauses.plain(draw, state, again, tense)
