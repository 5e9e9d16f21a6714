"""English: the forms and the word order of a generated sentence."""

import re

from speccascade.tasks.synthetic.translation import lexicon, times
from speccascade.tasks.synthetic.translation.phrases import (
  Clause,
  Gap,
  Phrase,
  Pronoun,
)

_OBJECTS = {
  'I': 'me', 'we': 'us', 'he': 'him', 'she': 'her', 'it': 'it', 'they': 'them'
}  # fmt: skip
_POSSESSIVES = {
  'I': 'my', 'we': 'our', 'he': 'his', 'she': 'her', 'it': 'its',
  'they': 'their',
}  # fmt: skip
_SPOTS = {
  'auf': 'on', 'unter': 'under', 'neben': 'next to', 'hinter': 'behind',
  'vor': 'in front of', 'in': 'in', 'an': 'on', 'über': 'over',
}  # fmt: skip
_BE = ('be', 'was', 'been')
_HAVE = ('have', 'had', 'had')
# What comes before the infinitive: present and past.
_MODALS = {
  'can': (('can',), ('be', 'able to')),
  'must': (('have', 'to'), ('have', 'to')),
  'want': (('want', 'to'), ('want', 'to')),
  'may': (('be', 'allowed to'), ('be', 'allowed to')),
  'should': (('should',), ('should',)),
  'would': (('would', 'like to'), ('would', 'like to')),
  'like': (('like', 'to'), ('like', 'to')),
}
_VERBS = {
  'be': _BE, 'have': _HAVE, 'want': lexicon.english_verb('want'),
  'like': lexicon.english_verb('like'),
}  # fmt: skip
_FIXED = ('can', 'should', 'will', 'would')
_SOUND = re.compile(r'(?!uni|use|eu|one)[aeiou]|hour|honest', re.I)


def person(phrase: Phrase) -> str:
  """Returns 'I', 'they' (all plurals) or 'he' (all other singulars)."""
  if phrase.gender == '1s':
    return 'I'
  return 'they' if phrase.gender in ('p', '1p') else 'he'


def phrase(np: Phrase, subject: bool = False, negated: bool = False) -> str:
  """Returns a phrase's text; `negated`: 'any apples'."""
  if isinstance(np, Pronoun):
    return np.english if subject else _OBJECTS[np.english]
  if isinstance(np, Gap):
    return np.english if subject else ''
  words = [np.adjective.english] if np.adjective else []
  words.append(np.noun.englishes if np.plural else np.noun.english)
  first = {
    'a': 'an' if _SOUND.match(words[0]) else 'a',
    'this': 'these' if np.plural else 'this',
    'num': times.english_number(np.number),
    'poss': np.owner and _POSSESSIVES[np.owner.english],
    'none': 'any' if negated else '',
  }.get(np.determiner, np.determiner)
  if np.noun.article != 'both':
    first = ''
  text = ' '.join(filter(None, [first, *words]))
  if np.relative:
    text = f'{text} {relative(np.relative)}'
  return text


def third_person(base: str) -> str:
  """Returns 'has', 'goes', 'carries', 'reads'."""
  if base == 'have':
    return 'has'
  return base + 'es' if base.endswith('o') else lexicon.plural(base)


def _finite(forms, past, who, negated):
  """Returns the words of a finite verb: ['does', 'not', 'read']."""
  base = forms[0]
  no = ['not'] if negated else []
  if base == 'be':
    now = {'I': 'am', 'he': 'is', 'they': 'are'}[who]
    return [('were' if who == 'they' else 'was') if past else now, *no]
  if negated:
    do = 'did' if past else 'does' if who == 'he' else 'do'
    return [do, 'not', base]
  if past:
    return [forms[1]]
  return [third_person(base) if who == 'he' else base]


def verb_words(c: Clause, who: str) -> list[str]:
  """Returns the words of the verb group, the finite one first."""
  base, _, participle = forms = c.frame.english
  past = c.tense in ('past', 'was')
  not_ = ['not'] if c.negated else []
  if c.modal:
    first, *rest = _MODALS[c.modal][past]
    if first == 'can' and c.negated:
      return ['cannot', base]
    if first in _FIXED:
      return [first, *not_, *rest, base]
    return [*_finite(_VERBS[first], past, who, c.negated), *rest, base]
  if c.tense == 'future':
    return ['will', *not_, base]
  if c.tense in ('now', 'was'):
    return [*_finite(_BE, past, who, c.negated), lexicon.ing(base)]
  have = 'has' if who == 'he' else 'have'
  if c.tense == 'since':
    return [have, *not_, 'been', lexicon.ing(base)]
  if c.tense in ('perfect', 'pluperfect'):
    return ['had' if c.tense == 'pluperfect' else have, *not_, participle]
  return _finite(forms, past, who, c.negated)


def _complements(c):
  """Yields each complement's text, with its preposition of place."""
  _, complements = c.frame.verbs[0]
  roles = [x.role for x in complements if x.role not in ('sich', 'fixed')]
  for role, np in zip(roles, c.phrases, strict=True):
    text = phrase(np, negated=c.negated)
    place = np.noun.place if not isinstance(np, Pronoun) else None
    before = {
      'to': place and place.english_to,
      'at': place and place.english_at,
      'from': 'from',
      'spot': _SPOTS.get(getattr(np, 'relation', '')),
    }.get(role, '')
    if isinstance(np, Gap) and np.english == 'where':
      before = ''
    yield f'{before} {text}'.strip()


def _rest(c):
  """Returns the texts that follow the verb, except the time."""
  texts = dict(enumerate(_complements(c), 1))
  pattern = c.frame.pattern
  if pattern == '{1} {2}' and isinstance(c.phrases[1], Pronoun):
    pattern = '{2} to {1}'  # showed it to her
  pattern = re.sub(r'\{(\d)\}', lambda m: texts[int(m[1])], pattern)
  additions = [
    c.how and c.how.english,
    c.vehicle and f'by {c.vehicle.noun.english}',
    c.beneficiary and f'for {phrase(c.beneficiary)}',
    c.companion and f'with {phrase(c.companion)}',
    c.at and f'{c.at.noun.place.english_at} {phrase(c.at)}',
  ]
  return [pattern, *additions]


def clause(c: Clause, subject: bool = True) -> str:
  """Returns a clause's text, with or without its subject."""
  words = verb_words(c, person(c.subject))
  adverb = c.often or c.done
  if adverb:
    auxiliary = len(words) > 1 or words[0] in ('am', 'is', 'are', 'was', 'were')
    words.insert(1 if auxiliary else 0, adverb.english)
  time = c.time.english if c.time else ''
  text = [
    f'{time},' if time and c.time_first else '',
    phrase(c.subject, subject=True) if subject else '',
    *words, *_rest(c),
    '' if c.time_first else time,
  ]  # fmt: skip
  return ' '.join(filter(None, text))


def infinitive(c: Clause) -> str:
  """Returns a clause's text as an infinitive, without 'to' and subject."""
  time = c.time.english if c.time else ''
  words = [c.frame.english[0], *_rest(c), time]
  return ' '.join(filter(None, words))


def place(c: Clause) -> str:
  """Returns the text of the last complement, a place."""
  return list(_complements(c))[-1]


def relative(c: Clause) -> str:
  """Returns the text of a relative clause."""
  if isinstance(c.subject, Gap):
    return clause(c)
  gap = next(np for np in c.phrases if isinstance(np, Gap))
  return f'{gap.english} {clause(c)}'.strip()


def punctuate(text: str, mark: str = '.') -> str:
  """Adds a capital at the start and a mark at the end."""
  text = re.sub(' +', ' ', text).strip()
  return text[0].upper() + text[1:] + mark
