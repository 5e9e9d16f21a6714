"""The words of the generated sentences, German and English.

They are read from `lexicon.txt` and `frames.txt`; the head of each explains its
format.
"""

import dataclasses
import functools
import re

from etils import epath

_FILES = tuple(
  epath.Path(__file__).with_name(f'{name}.txt')
  for name in ('lexicon', 'frames')
)
_GENDERS = {'der': 'm', 'die': 'f', 'das': 'n'}
_DATIVE = ('nach', 'zu')  # whither, with the dative
# Verbs that start like these, or end in -ieren, have no ge- in the participle.
_NO_GE = re.compile(r'(be|emp|ent|er|ge|ver|zer)|.*ieren$')
# Stems that need an -e- before -t: arbeitet, öffnet.
_NEEDS_E = re.compile(r'.*(d|t|[bdfgkpt][mn]|ch[mn])$')
_DOUBLED = re.compile(r'[^aeiou]*[aeiou][bdgmnpt]$')  # swim, swimming
_ALSO_DOUBLED = ('begin', 'forget', 'travel', 'unwrap')


@dataclasses.dataclass(frozen=True, eq=False)
class Place:
  """Prepositions of a place, of rest and of motion, and their German cases."""

  at: str
  to: tuple[tuple[str, str], ...]
  english_at: str
  english_to: str


@dataclasses.dataclass(frozen=True, eq=False)
class Noun:
  """A noun.

  Attributes:
    kind: what it stands for; frames and adjectives name kinds.
    forms: synonyms of one gender, each (singular, plural); '' for no such form.
    gender: 'm', 'f' or 'n'.
    english: its singular, or ''.
    englishes: its plural, or ''.
    weak: whether all but the nominative singular look like the plural.
    feminine: the noun for a woman, where English has one noun for both.
    sex: 'he' or 'she' of a person or a name, else None.
    place: prepositions, if it is a place.
    article: 'both', 'german' (die Schweiz, Switzerland) or 'none', for names.
  """

  kind: str
  forms: tuple[tuple[str, str], ...]
  gender: str
  english: str
  englishes: str
  weak: bool = False
  feminine: 'Noun | None' = None
  sex: str | None = None
  place: Place | None = None
  article: str = 'both'

  @property
  def id(self) -> str:
    """The first German form, which identifies the noun."""
    return self.forms[0][0] or self.forms[0][1]


@dataclasses.dataclass(frozen=True, eq=False)
class Word:
  """An adjective or adverb: German synonyms, as (form, stem), and English."""

  forms: tuple[tuple[str, str], ...]
  english: str


@dataclasses.dataclass(frozen=True, eq=False)
class Verb:
  """Principal parts of a German verb.

  Attributes:
    prefix: the separable prefix, or ''.
    infinitive: without the prefix, like the other parts.
    present: third person singular.
    past: preterite, third person singular.
    participle: '' where the preterite is always preferred to the perfect.
    auxiliary: 'haben' or 'sein'.
  """

  prefix: str
  infinitive: str
  present: str
  past: str
  participle: str
  auxiliary: str


@dataclasses.dataclass(frozen=True, eq=False)
class Complement:
  """What a German verb governs.

  Attributes:
    role: 'np' (noun phrase, with a preposition or not), 'sich', 'to', 'at',
      'from', 'spot' (two-way preposition) or 'fixed' (words that stay).
    case: 'acc' or 'dat', where the verb or preposition asks for one.
    preposition: of a noun phrase, or ''.
    nouns: the nouns that fit.
    determiners: codes of `clauses.noun_phrase`, or () for the usual ones.
    text: the fixed words.
    relations: prepositions of a spot.
  """

  role: str
  case: str = ''
  preposition: str = ''
  nouns: tuple[Noun, ...] = ()
  determiners: tuple[str, ...] = ()
  text: str = ''
  relations: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class Frame:
  """A verb with its complements, in both languages.

  Attributes:
    category: what the patterns of sentences choose it by.
    subject: the kind of its subject.
    verbs: German synonyms, each with its complements, equally many noun
      phrases in the same order.
    english: base, past, participle.
    pattern: the rest of the English verb phrase; {1} is the first complement.
    options: what may be added, as the head of the file says.
  """

  category: str
  subject: str
  verbs: tuple[tuple[Verb, tuple[Complement, ...]], ...]
  english: tuple[str, str, str]
  pattern: str
  options: dict[str, tuple[str, ...]]


@dataclasses.dataclass(frozen=True, eq=False)
class Lexicon:
  """The contents of the files.

  Attributes:
    nouns: by kind or group.
    adjectives: by kind of noun.
    adverbs: by keyword, then by the first German form.
    frames: by category.
    spots: nouns by the preposition that says where things are put.
  """

  nouns: dict[str, tuple[Noun, ...]]
  adjectives: dict[str, tuple[Word, ...]]
  adverbs: dict[str, dict[str, Word]]
  frames: dict[str, tuple[Frame, ...]]
  spots: dict[str, tuple[Noun, ...]]


def doer_kind(*frames: Frame) -> str:
  """Returns the kind of a subject that suits all frames."""
  kinds = {f.subject for f in frames} - {'person'}
  return max(kinds, key='adult'.__ne__) if kinds else 'person'


def plural(english: str) -> str:
  """Returns the regular plural: 'boxes', 'parties', 'dogs'."""
  if re.search('(s|x|z|ch|sh)$', english):
    return english + 'es'
  return re.sub('([^aeiou])y$', r'\1ie', english) + 's'


def verb(text: str) -> Verb:
  """Reads a verb; parts that are not given are those of a weak verb."""
  parts = text.split('/')
  prefix, _, infinitive = parts[0].rpartition('|')
  if len(parts) == 1:
    stem = infinitive.removesuffix('n')
    stem = stem if re.search('e[lr]$', stem) else stem.removesuffix('e')
    e = 'e' if _NEEDS_E.match(stem) else ''
    ge = '' if _NO_GE.match(infinitive) else 'ge'
    parts += [f'{stem}{e}t', f'{stem}{e}te', f'{ge}{stem}{e}t']
  _, present, past, participle = parts
  auxiliary = 'sein' if participle.startswith('ist ') else 'haben'
  participle = participle.removeprefix('ist ').strip('-')
  return Verb(prefix, infinitive, present, past, participle, auxiliary)


def english_verb(text: str) -> tuple[str, str, str]:
  """Reads an English verb; a base alone is regular."""
  if '/' in text:
    base, past, participle = text.split('/')
    return base, past, participle
  stem = re.sub('([^aeiou])y$', r'\1ie', text).removesuffix('e')
  if _DOUBLED.match(text):
    stem += stem[-1]
  return text, stem + 'ed', stem + 'ed'


def ing(base: str) -> str:
  """Returns the -ing form: 'making', 'swimming', 'lying'."""
  if base.endswith('ie'):
    return base[:-2] + 'ying'
  if _DOUBLED.match(base) or base in _ALSO_DOUBLED:
    return base + base[-1] + 'ing'
  return re.sub('(?<=[^e])e$', '', base) + 'ing'


def _entries(text):
  """'a=b, c' -> ('a', 'b'), ('c', 'c')."""
  for entry in text.split(', '):
    german, _, english = entry.partition('=')
    yield german, english or german


def _word(german, english):
  forms = (form.partition('/') for form in german.split('~'))
  return Word(tuple((form, stem or form) for form, _, stem in forms), english)


def _noun(kind, german, english, people, place=None):
  """Reads a noun; names and cities have no article."""
  article, _, rest = german.rpartition(' ')
  if article not in _GENDERS:
    return Noun(kind, ((german, ''),), 'n', english, '', place=place,
                article='none')  # fmt: skip
  first, *_ = synonyms = [form.split('/') for form in rest.split('~')]
  forms = tuple(
    (form[0].strip('-'), form[1].removeprefix('-')) for form in synonyms
  )
  singular, _, englishes = english.partition('/')
  gender = _GENDERS[article]
  sex = {'m': 'he', 'f': 'she'}.get(gender) if kind in people else None
  feminine = None
  if first[-1].endswith('in') and len(first) > 2:
    feminine = Noun(
      kind, ((first[-1], first[-1] + 'nen'),), 'f', singular,
      englishes or plural(singular), sex='she',
    )  # fmt: skip
  return Noun(
    kind, forms, gender, singular.strip('-'),
    englishes or plural(singular) if forms[0][1] else '',
    'weak' in first, feminine, sex if forms[0][0] else None, place,
    'german' if place and singular[0].isupper() else 'both',
  )  # fmt: skip


def _compound(kind, head, german, english):
  forms = tuple(
    tuple(german + form.lower() if form else '' for form in pair)
    for pair in head.forms
  )
  return Noun(
    kind, forms, head.gender, f'{english} {head.english}',
    head.englishes and f'{english} {head.englishes}', place=head.place,
  )  # fmt: skip


def _place(text):
  german, _, english = text.partition(' = ')
  at, _, to = german.partition('>')
  to = tuple((p, 'dat' if p in _DATIVE else 'acc') for p in to.split('|'))
  return Place(at, to, *english.split('>'))


def _complement(token, nouns):
  """Reads 'acc:fruit!the,poss', 'auf+acc:bus', 'to:city', '=zu_Hause', ..."""
  if token == 'sich':
    return Complement('sich')
  if token.startswith('='):
    return Complement('fixed', text=token[1:].replace('_', ' '))
  head, _, kind = token.partition(':')
  if head == 'spot':
    case, _, relations = kind.partition(':')
    return Complement('spot', case, relations=tuple(relations.split(',')))
  kind, _, determiners = kind.partition('!')
  determiners = tuple(determiners.split(',')) if determiners else ()
  if head in ('to', 'at', 'from'):
    return Complement(head, nouns=nouns[kind], determiners=determiners)
  preposition, _, case = head.rpartition('+')
  return Complement('np', case, preposition, nouns[kind], determiners)


def _frame(category, subject, text, nouns):
  german, _, english = text.partition(' = ')
  english, _, options = english.partition(' | ')
  verbs = []
  for words in reversed(german.replace('ist ', 'ist_').split('~')):
    words = words.split()
    name = next(w for w in words if w != 'sich')
    complements = [_complement(w, nouns) for w in words if w != name]
    if not complements and verbs:  # those of the synonym that follows
      complements = verbs[0][1]
    verbs.insert(0, (verb(name.replace('_', ' ')), tuple(complements)))
  base, _, pattern = english.partition(' ')
  words = [option.split() for option in options.split(', ') if option]
  return Frame(
    category, subject, tuple(verbs), english_verb(base), pattern.strip(),
    {key: tuple(w.replace('_', ' ') for w in rest) for key, *rest in words},
  )  # fmt: skip


def _members(nouns, names):
  """Returns the nouns of kinds, groups and nouns, in order, each once."""
  return tuple(dict.fromkeys(n for name in names for n in nouns[name]))


@functools.cache
def load() -> Lexicon:
  """Reads the words that ship with the package."""
  nouns, adjectives, adverbs, frames, spots = {}, {}, {}, {}, {}
  people = ()

  def add(noun):
    for key in (noun.kind, noun.id):
      nouns[key] = (*nouns.get(key, ()), noun)

  for line in (x for f in _FILES for x in f.read_text().splitlines()):
    head, _, rest = line.partition(': ')
    keyword, *names = head.split() or ['#']
    if keyword == '#':
      continue
    elif keyword == 'people':
      people = tuple(rest.split())
    elif keyword == 'names':
      gender = {'he': 'm', 'she': 'f'}[names[0]]
      for name in rest.split(', '):
        add(Noun('name', ((name, ''),), gender, name, '', sex=names[0],
                 article='none'))  # fmt: skip
    elif keyword == 'noun':
      for german, english in _entries(rest):
        add(_noun(names[0], german, english, people))
    elif keyword == 'compound':
      for german, english in _entries(rest):
        add(_compound(names[0], nouns[names[1]][0], german, english))
    elif keyword == 'place':
      place = _place(' '.join(names[1:]))
      for german, english in _entries(rest):
        add(_noun(names[0], german, english, people, place))
    elif keyword == 'group':
      nouns[names[0]] = _members(nouns, rest.split())
    elif keyword == 'spot':
      for relation in names[0].split(','):
        members = _members(nouns, rest.split(', '))
        spots[relation] = (*spots.get(relation, ()), *members)
    elif keyword == 'adjectives':
      words = tuple(_word(*entry) for entry in _entries(rest))
      for kind in names:
        adjectives[kind] = (*adjectives.get(kind, ()), *words)
    elif keyword == 'adverbs':
      adverbs[names[0]] = {
        word.forms[0][0]: word
        for word in (_word(*entry) for entry in _entries(rest))
      }
    else:
      frame = _frame(*names, rest, nouns)
      frames[names[0]] = (*frames.get(names[0], ()), frame)
  return Lexicon(nouns, adjectives, adverbs, frames, spots)
