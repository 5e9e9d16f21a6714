"""ROUGE as the field reports it: the mean F1 over words that are stemmed.

Words are runs of a-z and 0-9 in lower case, stemmed by Porter's algorithm if
longer than three. The rouge-score library computes it, as Hugging Face's
`evaluate` and PEGASUS report it. T5's own evaluation does not stem. The Perl
script ROUGE-1.5.5 with -m, of which XSum's first figures are, also maps the
irregular forms of WordNet, as 'went' to 'go', and gives up to 0.1 points of 100
more.

Source: Lin 2004, "ROUGE: A package for automatic evaluation of summaries".
"""

import functools
import types
from collections.abc import Sequence
from typing import Literal, get_args

Kind = Literal['rouge1', 'rouge2', 'rougeL', 'rougeLsum']
KINDS = get_args(Kind)


def f1(
  kind: Kind, output: str, references: Sequence[str], stem: bool = True
) -> float:
  """Returns the F1 of an output and the nearest of its references.

  Args:
    kind: one of KINDS. In 'rougeLsum' a newline ends a sentence.
    output: the text to score.
    references: texts, at least one.
    stem: whether words are stemmed.

  Returns:
    A number from 0 to 1; 0 for a text without words.
  """
  scores = _scorer(kind, stem).score_multi(references, output)
  return float(scores[kind].fmeasure)


@functools.cache
def _scorer(kind, stem):
  from rouge_score import rouge_scorer  # Slow to import: it needs scipy.

  return rouge_scorer.RougeScorer([kind], tokenizer=_tokenizer(stem))


@functools.cache
def _tokenizer(stem):
  from nltk.stem import porter
  from rouge_score import tokenize

  stemmer = None
  if stem:
    # Stemming takes most of the time, and words recur.
    cached = functools.lru_cache(2**16)(porter.PorterStemmer().stem)
    stemmer = types.SimpleNamespace(stem=cached)
  words = functools.partial(tokenize.tokenize, stemmer=stemmer)
  return types.SimpleNamespace(tokenize=words)
