"""Short answers as the field compares them, and the words that they share.

Sources: SQuAD 2.0's evaluation (Rajpurkar et al. 2018), that of Natural
Questions' open form (Lee et al. 2019) and of TriviaQA (Joshi et al. 2017).

To compare by a normalisation, an output and its references are both normalised;
`exact_match` and `f1` then ask for any of the references.
"""

import collections
import re
import string
import unicodedata
from collections.abc import Sequence

_ARTICLES = re.compile(r'\b(a|an|the)\b')
_PUNCTUATION = str.maketrans('', '', string.punctuation)
_QUOTES = '‘’´`'
_SPACED = str.maketrans(dict.fromkeys(string.punctuation + _QUOTES, ' '))
_NUMBER = re.compile(r'-?\$?\d[\d,]*(?:\.\d+)?')
_NO_ANSWER = 'unanswerable'


def squad(text: str) -> str:
  """Returns lower case without punctuation, articles and further spaces."""
  text = text.lower().translate(_PUNCTUATION)
  return ' '.join(_ARTICLES.sub(' ', text).split())


def squad_v2(text: str) -> str:
  """Returns `squad` of a text; that of 'unanswerable' is ''."""
  text = squad(text)
  return '' if text == _NO_ANSWER else text


def natural_questions(text: str) -> str:
  """Returns `squad` of a text in Unicode's normal form NFD."""
  return squad(unicodedata.normalize('NFD', text))


def trivia(text: str) -> str:
  """Returns lower case with spaces for punctuation, and without articles."""
  text = text.replace('_', ' ').lower().translate(_SPACED)
  return ' '.join(_ARTICLES.sub(' ', text).split())


def number(text: str) -> str:
  """Returns the last number of a text without '$', ',' and an ending '.0'.

  '' where there is none.
  """
  found = _NUMBER.findall(text)
  if not found:
    return ''
  plain = found[-1].replace(',', '').replace('$', '')
  return plain.removesuffix('.').removesuffix('.0').removesuffix('.00')


def first_line(text: str) -> str:
  """Returns the first line that is not blank."""
  return next((line for line in text.splitlines() if line.strip()), '')


def exact_match(output: str, references: Sequence[str]) -> float:
  """Returns 1.0 if an output is one of its references, else 0.0."""
  return float(output in references)


def f1(output: str, references: Sequence[str]) -> float:
  """Returns the F1 of the words of an output, with its nearest reference.

  1.0 where both have no words, and 0.0 where one has none.
  """
  return max(_f1(output.split(), text.split()) for text in references)


def _f1(words, others):
  if not words or not others:
    return float(words == others)
  same = (collections.Counter(words) & collections.Counter(others)).total()
  return 2 * same / (len(words) + len(others))
