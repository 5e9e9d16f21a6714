"""Sentence patterns with a subordinate clause, except relative clauses."""

from speccascade.tasks.synthetic.draws import Draw, choice
from speccascade.tasks.synthetic.translation import (
  clauses,
  english,
  german,
  lexicon,
)
from speccascade.tasks.synthetic.translation.clauses import LEXICON
from speccascade.tasks.synthetic.translation.phrases import (
  NounPhrase,
  Pronoun,
)
from speccascade.tasks.synthetic.translation.sentences import (
  Sentence,
  doers,
  sentence,
  with_state,
)


def _subordinate(first, second, conjunctions, leading, comma=True):
  """English and German of two clauses, `second` after a conjunction.

  Args:
    first: the main clause.
    second: the subordinate clause.
    conjunctions: the English one, the German ones that put the verb last, and
      the German ones that leave it second.
    leading: whether the subordinate clause comes first.
    comma: whether English has one before a conjunction in the middle.
  """
  word, last, second_place = conjunctions
  if leading:
    text = f'{word} {english.clause(second)}, {english.clause(first)}'

    def worded(style):
      conjunction = choice(style.draw, last)
      before = german.clause(second, 'final', style)
      return (
        f'{conjunction} {before}, {german.clause(first, "inverted", style)}'
      )
  else:
    mark = ',' if comma else ''
    text = f'{english.clause(first)}{mark} {word} {english.clause(second)}'

    def worded(style):
      conjunction = choice(style.draw, (*last, *second_place))
      order = 'main' if conjunction in second_place else 'final'
      after = german.clause(second, order, style)
      return f'{german.clause(first, "main", style)}, {conjunction} {after}'

  return sentence([first, second], text, worded)


def because(draw: Draw) -> Sentence:
  """'He went to bed because he was tired.'."""
  leading = draw(0, 2) == 0
  tense = choice(draw, ('past', 'past', 'past', 'now'))
  frame, doer, state = with_state(draw, 'because', tense, leading)
  c = clauses.plain(draw, frame, doer, tense)
  if frame.category not in ('rest', 'stay'):  # early, late
    clauses.with_manner(draw, c)
  if tense == 'past' and draw(0, 2) == 0:
    c.time = clauses.past_time(draw, c)
  _, last, second = words = ('because', ('weil', 'da'), ('denn',))
  if not leading:
    words = ('because', ('weil', 'weil'), second)
  return _subordinate(c, state, words, leading, comma=False)


def although(draw: Draw) -> Sentence:
  """'Although she was ill, she went to work.'."""
  leading = draw(0, 1) == 0
  key = choice(draw, ('although', 'although', 'because'))
  frame, doer, state = with_state(draw, key, 'past', leading)
  c = clauses.plain(draw, frame, doer, 'past', negated=key == 'because')
  clauses.with_manner(draw, c)
  words = ('although', ('obwohl', 'obwohl', 'obgleich'), ())
  return _subordinate(c, state, words, leading)


def if_(draw: Draw) -> Sentence:
  """'If it rains, we will stay at home.'."""
  leading = draw(0, 2) > 0
  frame, doer, state = with_state(draw, 'because', 'habit', leading)
  habit = 'once' not in frame.options and draw(0, 1)
  c = clauses.plain(draw, frame, doer, 'habit' if habit else 'future')
  if frame.category not in ('rest', 'stay'):
    clauses.with_manner(draw, c)
  if habit and draw(0, 1):
    often = choice(draw, ('oft', 'immer', 'meistens'))
    c.often = LEXICON.adverbs['often'][often]
  word, last = ('when', ('wenn',)) if habit else ('if', ('wenn', 'falls'))
  return _subordinate(c, state, (word, last, ()), leading, comma=False)


def when(draw: Draw) -> Sentence | None:
  """'When the telephone rang, Anna was reading a newspaper.'."""
  frame = clauses.frame(draw, 'trigger')
  trigger = clauses.plain(
    draw, frame, clauses.subject(draw, frame.subject, False), 'past'
  )
  other = _going_on(draw, trigger.subject)
  if other is None:
    return None
  leading = draw(0, 1) == 0
  return _subordinate(
    other, trigger, ('when', ('als',), ()), leading, comma=False
  )


def _going_on(draw, *others):
  """Draws what somebody else was doing; None if pronouns are ambiguous."""
  frame = clauses.frame(
    draw, 'play', 'chore', 'work', 'eat', 'drink',
    without=('still', 'moment', 'state'),
  )  # fmt: skip
  doer = clauses.subject(draw, frame.subject)
  if others and isinstance(doer, Pronoun) and doer.gender[0] != '1':
    return None  # 'While Anna was eating, she ...': who?
  nouns = [x.noun.english for x in others if isinstance(x, NounPhrase)]
  if isinstance(doer, NounPhrase) and doer.noun.english in nouns:
    return None
  speaking = [x for x in (doer, *others) if x.gender[0] == '1']
  if doer in others or len(speaking) > 1:
    return None
  return clauses.plain(draw, frame, doer, 'was')


def while_(draw: Draw) -> Sentence | None:
  """'While my mother was cooking, my father was reading.'."""
  first = _going_on(draw)
  second = _going_on(draw, first.subject)
  if second is None:
    return None
  return _subordinate(
    first, second, ('while', ('während',), ()), draw(0, 1) == 0, comma=False
  )


def that(draw: Draw) -> Sentence | None:
  """'She thinks that the train will arrive on time.'."""
  told = draw(0, 2) == 0
  frame = clauses.frame(draw, 'told' if told else 'report')
  inner = _any_frame(draw)
  if frame.english[0] == 'hope' and 'state' in inner.options:
    return None
  if frame.english[0] != 'hear' and draw(0, 1) and inner.category != 'thing':
    doer, who = doers(draw, inner.subject)
  else:
    doer = clauses.subject(draw, 'person')
    who = clauses.subject(draw, inner.subject)
  main = clauses.plain(draw, frame, doer, 'past' if told else 'habit')
  if frame.english[0] == 'hear' and draw(0, 1):
    main.tense = 'perfect'
  second = _inner(draw, inner, who, 'past' if told else None)
  return _subordinate(
    main, second, ('that', ('dass',), ()), leading=False, comma=False
  )


def that_because(draw: Draw) -> Sentence:
  """'My aunt says that Peter stayed at home because he was ill.'."""
  frame, doer, state = with_state(draw, 'because', 'past')
  main = clauses.plain(
    draw, clauses.frame(draw, 'report', 'told'),
    clauses.subject(draw, 'person'), 'habit',
  )  # fmt: skip
  if main.frame.category == 'told':
    main.tense = 'past'
  c = clauses.with_manner(draw, clauses.plain(draw, frame, doer, 'past'))
  if draw(0, 1):
    c.time = clauses.past_time(draw, c)
  parts = [english.clause(x) for x in (main, c, state)]

  def worded(style):
    first = german.clause(main, 'main', style)
    second = german.clause(c, 'final', style)
    third = german.clause(state, 'final', style)
    return f'{first}, dass {second}, weil {third}'

  return sentence(
    [main, c, state], '{} that {} because {}'.format(*parts), worded
  )


def _any_frame(draw):
  return clauses.frame(
    draw, 'rest', 'outing', 'chore', 'work', 'buy', 'eat', 'social', 'own',
    'travel', 'live', 'thing', 'thing', without=('present',),
  )  # fmt: skip


def _inner(draw, frame, who, tense=None):
  """Draws a clause that somebody reports or wonders about."""
  state = 'state' in frame.options
  if tense is None:
    tense = 'habit' if state else choice(draw, ('past', 'future', 'perfect'))
  if 'fact' in frame.options:
    tense = 'habit'
  deniable = state or clauses.person_kind(who)
  negated = deniable and draw(0, 9) == 0
  c = clauses.plain(draw, frame, who, tense, negated)
  clauses.with_manner(draw, c)
  if tense == 'future':
    c.time = clauses.future_time(draw, c) if draw(0, 2) else None
  elif tense == 'past':
    c.time = clauses.past_time(draw, c) if draw(0, 2) else None
  return c


def whether(draw: Draw) -> Sentence:
  """'We do not know whether the shop is open.'."""
  doer = clauses.subject(draw, 'person')
  frame = clauses.frame(draw, 'ask')
  main = clauses.plain(draw, frame, doer, 'habit', negated=True)
  if draw(0, 2) == 0:
    main.negated, main.modal = False, choice(draw, ('would', 'want'))
  inner = _any_frame(draw)
  second = _inner(draw, inner, clauses.subject(draw, inner.subject))
  second.negated = False
  return _subordinate(
    main, second, ('whether', ('ob',), ()), leading=False, comma=False
  )


def _in_turn(draw):
  """Draws the frames of an earlier and a later action."""
  never = ('state', 'moment', 'present')
  return (
    clauses.frame(draw, 'chore', 'work', 'eat', 'drink', without=never),
    clauses.frame(draw, 'rest', 'stay', 'play', 'outing', without=never),
  )


def before(draw: Draw) -> Sentence:
  """'Before she went to bed, she called her mother.'."""
  leading = draw(0, 1) == 0
  earlier, later = _in_turn(draw)
  doer, again = doers(draw, lexicon.doer_kind(earlier, later))
  first, second = (again, doer) if leading else (doer, again)
  main = clauses.plain(draw, earlier, first, 'past')
  other = clauses.plain(draw, later, second, 'past')
  words = ('before', ('bevor', 'bevor', 'ehe'), ())
  return _subordinate(main, other, words, leading, comma=False)


def after(draw: Draw) -> Sentence:
  """'After he had tidied his room, he watched television.'."""
  earlier, later = _in_turn(draw)
  doer, again = doers(draw, lexicon.doer_kind(earlier, later))
  other = clauses.plain(draw, earlier, doer, 'pluperfect')
  main = clauses.plain(draw, later, again, 'past')
  return _subordinate(main, other, ('after', ('nachdem',), ()), leading=True)
