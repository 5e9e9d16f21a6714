"""The content of a generated sentence, apart from a language.

Genders: 'm', 'f', 'n' and 'p' for a plural of any; '1s' and '1p' for I and we.
"""

import dataclasses

from speccascade.tasks.synthetic.draws import Draw
from speccascade.tasks.synthetic.translation import lexicon


@dataclasses.dataclass(frozen=True)
class Pronoun:
  """A personal pronoun: its English nominative and its German gender."""

  english: str
  gender: str


@dataclasses.dataclass(frozen=True)
class Gap:
  """What a relative clause is about, left out of it.

  Attributes:
    head: the phrase that the clause belongs to.
    english: 'who', 'that', 'where', or '' for none.
    relation: as of a NounPhrase.
  """

  head: 'NounPhrase'
  english: str
  relation: str = ''

  @property
  def noun(self) -> lexicon.Noun:
    """The noun that the clause modifies."""
    return self.head.noun

  @property
  def gender(self) -> str:
    """The gender of the relative pronoun."""
    return self.head.gender


@dataclasses.dataclass
class NounPhrase:
  """A noun with what is before and after it.

  Attributes:
    noun: the noun; its feminine is put in once a pronoun shows the sex.
    determiner: 'the', 'a', 'this', 'poss', 'num', 'some', 'many', 'enough',
      'little' or 'none'.
    plural: whether it is plural.
    adjective: before the noun, or None.
    owner: whose it is, where the determiner is 'poss'.
    number: how many, where the determiner is 'num'.
    relation: the two-way preposition of a spot, or ''.
    relative: a clause with a gap, or None.
  """

  noun: lexicon.Noun
  determiner: str
  plural: bool = False
  adjective: lexicon.Word | None = None
  owner: Pronoun | None = None
  number: int = 0
  relation: str = ''
  relative: 'Clause | None' = None

  @property
  def gender(self) -> str:
    """The noun's gender, or 'p' if plural."""
    return 'p' if self.plural else self.noun.gender


Phrase = NounPhrase | Pronoun | Gap


@dataclasses.dataclass(frozen=True)
class Time:
  """A time: English, and German wordings of it."""

  english: str
  german: tuple[str, ...]


@dataclasses.dataclass
class Clause:
  """A verb with all that goes with it.

  Attributes:
    frame: the verb.
    subject: who does it.
    phrases: the complements, in the order of the frame's.
    tense: 'habit' (sleeps), 'now' (is sleeping), 'past', 'was' (was sleeping),
      'perfect', 'pluperfect', 'future' or 'since' (has been sleeping).
    modal: a key of both languages' tables, or ''; its tense is the clause's.
    negated: whether it is denied.
    time: when, or None; how long so far, if the tense is 'since'.
    time_first: whether English begins with the time.
    often: an adverb of how often, or None.
    done: 'already' and the like, of a perfect, or None.
    how: an adverb of manner, or None.
    at: the place where, beyond the complements, or None.
    companion: with whom, or None.
    beneficiary: for whom, or None.
    vehicle: by what, or None.
  """

  frame: lexicon.Frame
  subject: Phrase
  phrases: list[Phrase]
  tense: str
  modal: str = ''
  negated: bool = False
  time: Time | None = None
  time_first: bool = False
  often: lexicon.Word | None = None
  done: lexicon.Word | None = None
  how: lexicon.Word | None = None
  at: NounPhrase | None = None
  companion: NounPhrase | None = None
  beneficiary: NounPhrase | None = None
  vehicle: NounPhrase | None = None


def reference(draw: Draw, phrase: Phrase) -> Pronoun | None:
  """Returns the pronoun for a phrase, or None where none is clear.

  A teacher may be a man or a woman: the pronoun settles it, so the noun is
  changed to the feminine one half of the time.
  """
  if isinstance(phrase, Pronoun):
    return phrase
  if isinstance(phrase, Gap):
    phrase = phrase.head
  if phrase.plural:
    return Pronoun('they', 'p')
  if phrase.noun.kind == 'child' and phrase.noun.gender == 'n':
    return None  # das Mädchen ... es or sie: both are used
  if phrase.noun.sex is None:
    return Pronoun('it', phrase.noun.gender)
  if phrase.noun.feminine and draw(0, 1):
    phrase.noun = phrase.noun.feminine
  return Pronoun(phrase.noun.sex, phrase.noun.gender)
