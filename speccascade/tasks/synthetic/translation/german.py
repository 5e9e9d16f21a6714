"""German: inflection and word order.

Cases are 'nom', 'acc' and 'dat'; genders as in `phrases`.
"""

import dataclasses
import re

from speccascade.tasks.synthetic.draws import Draw, choice
from speccascade.tasks.synthetic.translation import lexicon, times
from speccascade.tasks.synthetic.translation.phrases import (
  Clause,
  Gap,
  NounPhrase,
  Phrase,
  Pronoun,
)

# The endings of dieser, diese, dieses, diese; adjectives have them too where
# no determiner shows the case.
_STRONG = {
  'nom': {'m': 'er', 'f': 'e', 'n': 'es', 'p': 'e'},
  'acc': {'m': 'en', 'f': 'e', 'n': 'es', 'p': 'e'},
  'dat': {'m': 'em', 'f': 'er', 'n': 'em', 'p': 'en'},
}
_THE = {'er': 'der', 'e': 'die', 'es': 'das', 'em': 'dem', 'en': 'den'}
_PRONOUNS = {
  '1s': {'nom': 'ich', 'acc': 'mich', 'dat': 'mir'},
  '1p': {'nom': 'wir', 'acc': 'uns', 'dat': 'uns'},
  'm': {'nom': 'er', 'acc': 'ihn', 'dat': 'ihm'},
  'f': {'nom': 'sie', 'acc': 'sie', 'dat': 'ihr'},
  'n': {'nom': 'es', 'acc': 'es', 'dat': 'ihm'},
  'p': {'nom': 'sie', 'acc': 'sie', 'dat': 'ihnen'},
}
_POSSESSIVES = {
  '1s': 'mein', '1p': 'unser', 'm': 'sein', 'f': 'ihr', 'n': 'sein', 'p': 'ihr'
}  # fmt: skip
# Without an ending in these: ein Mann, ein Kind.
_BARE_EIN = {('nom', 'm'), ('nom', 'n'), ('acc', 'n')}
_CONTRACTIONS = {
  'an das': 'ans', 'an dem': 'am', 'bei dem': 'beim', 'in das': 'ins',
  'in dem': 'im', 'von dem': 'vom', 'zu dem': 'zum', 'zu der': 'zur',
}  # fmt: skip
# Present singular and plural, preterite.
_MODALS = {
  'can': ('kann', 'können', 'konnte'),
  'must': ('muss', 'müssen', 'musste'),
  'want': ('will', 'wollen', 'wollte'),
  'may': ('darf', 'dürfen', 'durfte'),
  'should': ('sollte', 'sollten', 'sollte'),
  'would': ('möchte', 'möchten', 'wollte'),
}
_FIRST_PERSON = {'sein': 'bin', 'mögen': 'mag', 'wissen': 'weiß'}
_HABEN = lexicon.verb('haben/hat/hatte/-')
_SEIN = lexicon.verb('sein/ist/war/-')
_WERDEN = lexicon.verb('werden/wird/wurde/-')
_NEVER_FIRST = ('gerade', 'zurzeit')
_DEFINITE = ('the', 'this', 'poss')

# Where the parts of a clause stand between its verbs, first to last.
_ORDER = (
  'early', 'subject', 'pronoun', 'dative pronoun', 'time', 'dative', 'definite',
  'late', 'not', 'how', 'with', 'at', 'indefinite', 'for', 'preposition',
  'whither', 'fixed',
)  # fmt: skip
_RANK = {name: rank for rank, name in enumerate(_ORDER)}


@dataclasses.dataclass(frozen=True)
class Style:
  """What a writer chooses once a sentence; the rest is drawn as it comes.

  Attributes:
    draw: for the rest.
    perfect: whether the past is told in the perfect, not in the preterite.
    werden: whether the future is told by werden, not by the present.
  """

  draw: Draw
  perfect: bool
  werden: bool


@dataclasses.dataclass(frozen=True)
class _Part:
  """A part of a clause; its tail is a relative clause that may follow later."""

  name: str
  text: str
  tail: str = ''
  can_lead: bool = False
  gap: bool = False


def determiner(word: str, case: str, gender: str) -> str:
  """Inflects 'der', 'ein', 'kein', 'mein', 'dies', ..."""
  ending = _STRONG[case][gender]
  if word == 'der':
    return _THE[ending]
  if word.endswith(('ein', 'ihr', 'unser')) and (case, gender) in _BARE_EIN:
    return word
  return word + ending


def adjective(stem: str, case: str, gender: str, shown: bool) -> str:
  """Inflects an adjective; `shown`: the determiner before it has an ending."""
  if not shown:
    return stem + _STRONG[case][gender]
  weak = case == 'nom' or (case == 'acc' and gender in 'fn')
  return stem + ('e' if weak and gender != 'p' else 'en')


def noun(forms: tuple[str, str], case: str, plural: bool, weak: bool) -> str:
  """Inflects a noun, given its (singular, plural)."""
  if plural:
    needs_n = case == 'dat' and not forms[1].endswith(('n', 's'))
    return forms[1] + ('n' if needs_n else '')
  return forms[1] if weak and case != 'nom' else forms[0]


def phrase(np: Phrase, case: str, style: Style, negated: bool = False) -> str:
  """Returns a phrase's text without its relative clause; `negated`: kein."""
  if isinstance(np, Pronoun):
    return _PRONOUNS[np.gender][case]
  if isinstance(np, Gap):
    return 'denen' if (case, np.gender) == ('dat', 'p') else (
      determiner('der', case, np.gender)
    )  # fmt: skip
  gender = np.gender
  shown, words = False, []
  stem = {
    'the': 'der', 'a': 'ein', 'this': 'dies', 'poss': '', 'some': 'einig',
    'many': 'viel',
  }.get(np.determiner)  # fmt: skip
  if np.determiner == 'poss':
    stem = _POSSESSIVES[np.owner.gender]
  elif negated and np.determiner in ('a', 'none'):
    stem = 'kein'
  if np.noun.article == 'none':
    stem = None
  if stem:
    words.append(determiner(stem, case, gender))
    # After einige and viele the adjective has their own ending.
    shown = stem == 'der' or words[0] != stem
    shown = shown and np.determiner not in ('some', 'many')
  elif np.determiner == 'num':
    words.append(times.german_number(np.number))
  elif np.determiner in ('enough', 'little'):
    words.append({'enough': 'genug', 'little': 'wenig'}[np.determiner])
  if np.adjective:
    stem = choice(style.draw, np.adjective.forms)[1]
    words.append(adjective(stem, case, gender, shown))
  forms = choice(style.draw, np.noun.forms)
  words.append(noun(forms, case, np.plural, np.noun.weak))
  return ' '.join(words)


def after(preposition: str, text: str) -> str:
  """Joins a preposition and a phrase: 'in', 'dem Haus' -> 'im Haus'."""
  article, _, rest = text.partition(' ')
  short = _CONTRACTIONS.get(f'{preposition} {article}')
  return f'{short} {rest}' if short and rest else f'{preposition} {text}'


def finite(verb: lexicon.Verb, past: bool, gender: str) -> str:
  """Inflects a verb for its subject, without the prefix."""
  plural = gender in ('p', '1p')
  if past:
    e = '' if verb.past.endswith('e') else 'e'
    return verb.past + (f'{e}n' if plural else '')
  if plural:
    return 'sind' if verb.infinitive == 'sein' else verb.infinitive
  if gender != '1s':
    return verb.present
  stem = re.sub('e?n$', '', verb.infinitive)
  stem = stem[:-2] + 'l' if re.search('[^aeiou]el$', stem) else stem
  return _FIRST_PERSON.get(verb.infinitive, stem + 'e')


def infinitive_with_zu(verb: lexicon.Verb) -> str:
  """Returns 'zu essen' or 'aufzustehen'."""
  if verb.prefix:
    return f'{verb.prefix}zu{verb.infinitive}'
  return f'zu {verb.infinitive}'


def _verbs(verb, c, gender, style):
  """Returns the finite verb, its separable prefix, and what ends the clause."""
  infinitive = verb.prefix + verb.infinitive
  participle = verb.prefix + verb.participle
  past = c.tense in ('past', 'was')
  if c.modal in _MODALS:
    singular, plural, preterite = _MODALS[c.modal]
    plain = plural if gender in ('p', '1p') else singular
    many = 'n' if gender in ('p', '1p') else ''
    return preterite + many if past else plain, '', infinitive
  auxiliary = _SEIN if verb.auxiliary == 'sein' else _HABEN
  if c.tense in ('perfect', 'pluperfect') or (
    c.tense == 'past' and style.perfect and verb.participle
  ):
    return finite(auxiliary, c.tense == 'pluperfect', gender), '', participle
  if c.tense == 'future' and (style.werden or not c.time):
    return finite(_WERDEN, False, gender), '', infinitive
  return finite(verb, past, gender), verb.prefix, ''


def _relative(np, style):
  """Returns the relative clause of a phrase, in commas, or ''."""
  if not isinstance(np, NounPhrase) or not np.relative:
    return ''
  return f', {clause(np.relative, "final", style)},'


def _prepositional(name, preposition, case, np, style, can_lead=False):
  text = after(preposition, phrase(np, case, style))
  if isinstance(np, Gap):
    text = f'{preposition} {phrase(np, case, style)}'
  return _Part(name, text, _relative(np, style), can_lead, isinstance(np, Gap))


def _noun_phrase(complement, np, style, negated):
  """Returns the part of a noun phrase without a preposition."""
  text = phrase(np, complement.case, style, negated)
  definite = getattr(np, 'determiner', '') in _DEFINITE or (
    isinstance(np, NounPhrase) and np.noun.article == 'none'
  )
  if isinstance(np, Pronoun):
    name = 'pronoun' if complement.case == 'acc' else 'dative pronoun'
  elif complement.case == 'dat':
    name = 'dative'
  else:
    name = 'definite' if definite else 'indefinite'
  return _Part(name, text, _relative(np, style), gap=isinstance(np, Gap))


def _complement(complement, np, style, negated):
  if complement.role == 'np':
    if complement.preposition:
      return _prepositional(
        'preposition', complement.preposition, complement.case, np, style
      )
    return _noun_phrase(complement, np, style, negated)
  if complement.role == 'spot':
    return _prepositional('whither', np.relation, complement.case, np, style)
  place = np.noun.place
  if complement.role == 'at':
    preposition, case = place.at, 'dat'
  elif complement.role == 'from':
    preposition, case = ('aus' if place.at == 'in' else 'von'), 'dat'
  else:
    preposition, case = choice(style.draw, place.to)
  return _prepositional('whither', preposition, case, np, style)


def _additions(c, style):
  """Returns the parts that are not complements."""
  draw, parts = style.draw, []
  if c.time:
    text = choice(draw, c.time.german)
    parts.append(_Part('time', text, can_lead=text not in _NEVER_FIRST))
  if c.often:
    parts.append(_Part('time', choice(draw, c.often.forms)[0]))
  if c.done:
    parts.append(_Part('not', choice(draw, c.done.forms)[0]))
  if c.modal == 'like':
    parts.append(_Part('how', 'gern'))
  if c.how:
    parts.append(_Part('how', choice(draw, c.how.forms)[0]))
  for np, preposition in ((c.companion, 'mit'), (c.vehicle, 'mit')):
    if np:
      parts.append(_prepositional('with', preposition, 'dat', np, style))
  if c.at:
    preposition = c.at.noun.place.at
    parts.append(_prepositional('at', preposition, 'dat', c.at, style, True))
  if c.beneficiary:
    name = choice(draw, ('for', 'at'))
    parts.append(_prepositional(name, 'für', 'acc', c.beneficiary, style))
  return parts


def _parts(c, complements, style):
  """Returns the parts of a clause in order, except its verbs."""
  parts = [
    _Part(
      'subject', phrase(c.subject, 'nom', style), _relative(c.subject, style),
      True, isinstance(c.subject, Gap),
    )
  ]  # fmt: skip
  phrases = iter(c.phrases)
  kein = False
  for complement in complements:
    if complement.role == 'sich':
      gender = c.subject.gender
      oneself = _PRONOUNS[gender]['acc'] if gender[0] == '1' else 'sich'
      parts.append(_Part('pronoun', oneself))
    elif complement.role == 'fixed':
      parts.append(_Part('fixed', complement.text))
    else:
      np = next(phrases)
      parts.append(_complement(complement, np, style, c.negated))
      kein |= (
        c.negated and complement.role == 'np' and not complement.preposition
        and getattr(np, 'determiner', '') in ('a', 'none')
        and np.noun.article == 'both'
      )  # fmt: skip
  parts += _additions(c, style)
  if c.negated and not kein:
    parts.append(_Part('not', 'nicht'))
  if isinstance(c.subject, NounPhrase) and style.draw(0, 1):
    # Pronouns may stand before a noun: 'Gestern half ihr der Mann'.
    parts = [
      dataclasses.replace(part, name='early')
      if 'pronoun' in part.name
      else part
      for part in parts
    ]
  names = {part.name for part in parts}
  datives_definite = 'dative' not in names or not any(
    isinstance(np, NounPhrase) and np.determiner not in _DEFINITE
    for np in c.phrases
  )
  near = 'definite' in names and not any(part.tail for part in parts[1:])
  if near and datives_definite and style.draw(0, 1):
    # Definite objects may stand before the time: 'Er hat das Buch gestern ...'
    parts = [
      dataclasses.replace(part, name='late') if part.name == 'time' else part
      for part in parts
    ]
  return sorted(parts, key=lambda part: (not part.gap, _RANK[part.name]))


def _joined(parts, end):
  """Joins parts, the clause's end, and moved relative clauses."""
  texts, tails = [], []
  for number, part in enumerate(parts, 1):
    inline = part.name == 'subject' or (number == len(parts) and not end)
    texts.append(part.text + (part.tail if inline else ''))
    tails.append('' if inline else part.tail)
  text = ' '.join(filter(None, [*texts, end]))
  return text + ''.join(tails)


def clause(c: Clause, order: str, style: Style) -> str:
  """Returns a clause's text.

  Args:
    c: the clause.
    order: 'main' (verb second), 'inverted' (verb first: something stands
      before it already), 'joined' (verb first, the subject left out), 'final'
      (verb last), 'zu' (infinitive, the subject left out) or 'located' (verb
      second, most often after the place).
    style: of the sentence.
  """
  verb, complements = choice(style.draw, c.frame.verbs)
  parts = _parts(c, complements, style)
  v, prefix, end = _verbs(verb, c, c.subject.gender, style)
  if order in ('joined', 'zu'):
    parts = [part for part in parts if part.name != 'subject']
  if order == 'zu':
    return _joined(parts, infinitive_with_zu(verb))
  if order == 'final':
    return _joined(parts, f'{end} {prefix}{v}'.strip())
  if order in ('inverted', 'joined'):
    return f'{v} {_joined(parts, end or prefix)}'
  weights = {'subject': 4, 'time': 4, 'late': 4, 'at': 1}
  leads = [p for p in parts if p.can_lead for _ in range(weights[p.name])]
  if order == 'located':
    leads += [p for p in parts if p.name == 'whither'] * 12
  first = choice(style.draw, leads)
  rest = _joined([p for p in parts if p is not first], end or prefix)
  return f'{first.text}{first.tail} {v} {rest}'


def punctuate(text: str, mark: str = '.') -> str:
  """Tidies commas and adds a capital at the start and a mark at the end."""
  text = re.sub(' +', ' ', text).replace(' ,', ',').replace(',,', ',')
  text = text.strip(' ,')
  return text[0].upper() + text[1:] + mark
