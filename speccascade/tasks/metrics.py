"""Metrics of outputs, from statistics of each output that add up.

A corpus metric is a function of sums over examples: BLEU is a function of
n-gram counts, a mean is a sum of scores over a number of examples. With the
statistics of each example stored, the quality of any subset or resample can be
computed without the texts.

To add a metric, write a class of the form of `Metric` and list it in METRICS.

Letters: N examples, K statistics of each.

Sources: Papineni et al. 2002 for BLEU, as Post 2018, arXiv 1804.08771
(sacrebleu) computes it; `rouge` for ROUGE.
"""

import abc
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import sacrebleu

from speccascade.tasks import answers, rouge

Reference = str | tuple[str, ...]

_ORDERS = 4  # BLEU's n-grams.
_MANY = 2**40  # More words than any output has.


class Metric(Protocol):
  """Measures outputs against references; higher is better.

  Attributes:
    name: its name in tasks and records.
    binary: whether each output is right or wrong.
    size: K.
  """

  name: str
  binary: bool
  size: int

  def score(self, output: str, reference: Reference) -> float:
    """Returns the score of one output, from 0 to 1."""

  def statistics(self, output: str, reference: Reference) -> list[float]:
    """Returns K statistics of one output, which add up over outputs."""

  def of_one(self, statistics_K: Sequence[float]) -> float:
    """Returns the score of one output by its statistics, from 0 to 1."""

  def is_valid(self, statistics_K: Sequence[float]) -> bool:
    """Returns whether numbers can be the statistics of one output."""

  def value(self, sums_K: Sequence[float]) -> float:
    """Returns the metric of a corpus from its summed statistics."""

  def values(self, sums_K: np.ndarray) -> np.ndarray:
    """Returns `value` of many corpora: [..., K] to [...]."""

  def best(self, statistics_K: np.ndarray) -> np.ndarray:
    """Returns the statistics that an output would have if it were right."""

  def worst(self, statistics_K: np.ndarray) -> np.ndarray:
    """Returns the statistics that an output would have if it were wrong."""

  def text(self, value: float) -> str:
    """Returns a value in the digits that the metric is reported with."""


class MeanScore(abc.ABC):
  """Base of the metrics that are the mean of their outputs' scores."""

  binary = False
  size = 2

  @abc.abstractmethod
  def score(self, output: str, reference: Reference) -> float:
    """Returns the score of one output, from 0 to 1."""

  def statistics(self, output: str, reference: Reference) -> list[float]:
    """Returns the output's score, and 1 to count it."""
    return [self.score(output, reference), 1]

  def of_one(self, statistics_K: Sequence[float]) -> float:
    """Returns the score that they hold."""
    return statistics_K[0]

  def is_valid(self, statistics_K: Sequence[float]) -> bool:
    """Returns whether it is a score, and 1."""
    return (
      len(statistics_K) == self.size
      and 0 <= statistics_K[0] <= 1
      and statistics_K[1] == 1
    )

  def value(self, sums_K: Sequence[float]) -> float:
    """Returns the mean score, from 0 to 1."""
    return float(sums_K[0] / sums_K[1])

  def values(self, sums_K: np.ndarray) -> np.ndarray:
    """Returns mean scores."""
    return sums_K[..., 0] / sums_K[..., 1]

  def best(self, statistics_K: np.ndarray) -> np.ndarray:
    """Returns a score of 1."""
    return np.array([statistics_K[1], statistics_K[1]])

  def worst(self, statistics_K: np.ndarray) -> np.ndarray:
    """Returns a score of 0."""
    return np.array([0, statistics_K[1]])

  def text(self, value: float) -> str:
    """Returns the value with three decimals."""
    return f'{value:.3f}'


class ExactMatch(MeanScore):
  """The share of outputs that equal their reference, or one of several."""

  name = 'exact_match'
  binary = True

  def score(self, output: str, reference: Reference) -> float:
    """Returns 1.0 if the output is a reference, else 0.0."""
    return answers.exact_match(output, _several(reference))


class F1(MeanScore):
  """The mean F1 of the words of outputs, with the nearest reference of each."""

  name = 'f1'

  def score(self, output: str, reference: Reference) -> float:
    """Returns the F1, from 0 to 1."""
    return answers.f1(output, _several(reference))


class Answered(MeanScore):
  """The share of outputs that are not blank, where nothing says what is right.

  Prompts without answers measure speed, and what they measure is worth nothing
  where nothing is written.
  """

  name = 'answered'
  binary = True

  def score(self, output: str, reference: Reference) -> float:
    """Returns 1.0 if the output is not blank, else 0.0."""
    del reference
    return float(bool(output.strip()))


class PassAt1(ExactMatch):
  """The share of outputs whose code passes its tests.

  The task runs the code; what is scored is the verdict.
  """

  name = 'pass_at_1'


class Rouge(MeanScore):
  """The mean F1 of a kind of ROUGE, with the nearest reference of each output.

  Attributes:
    name: its name in tasks and records.
  """

  def __init__(self, kind: rouge.Kind, stem: bool = True):
    """Makes a metric.

    Args:
      kind: one of `rouge.KINDS`.
      stem: whether words are stemmed, as the field does.
    """
    self.name = kind if stem else f'{kind}_unstemmed'
    self._kind, self._stem = kind, stem

  def score(self, output: str, reference: tuple[str, ...]) -> float:
    """Returns the F1, from 0 to 1."""
    return rouge.f1(self._kind, output, reference, self._stem)


class Bleu:
  """BLEU of the corpus, from 0 to 100; it is not a mean over sentences."""

  name = 'bleu'
  binary = False
  size = 2 + 2 * _ORDERS

  def score(self, output: str, reference: tuple[str, ...]) -> float:
    """Returns the sentence's BLEU, from 0 to 1."""
    return self.of_one(self.statistics(output, reference))

  def statistics(self, output: str, reference: tuple[str, ...]) -> list[float]:
    """Returns the counts that BLEU is computed from.

    Returns:
      The output's length, the length of the nearest reference, and the matched
      and the possible n-grams of order 1 to 4, as sacrebleu counts them.
    """
    bleu = sacrebleu.sentence_bleu(output, reference)
    return [bleu.sys_len, bleu.ref_len, *bleu.counts, *bleu.totals]

  def of_one(self, statistics_K: Sequence[float]) -> float:
    """Returns the sentence's BLEU, from 0 to 1."""
    return self._compute(statistics_K, effective_order=True) / 100

  def is_valid(self, statistics_K: Sequence[float]) -> bool:
    """Returns whether they are lengths and counts, matched and possible."""
    matched, possible = statistics_K[2 : 2 + _ORDERS], statistics_K[-_ORDERS:]
    return (
      len(statistics_K) == self.size
      and all(0 <= x < _MANY for x in statistics_K)
      and all(x <= y for x, y in zip(matched, possible, strict=True))
    )

  def value(self, sums_K: Sequence[float]) -> float:
    """Returns the BLEU of the corpus, from 0 to 100."""
    return self._compute(sums_K)

  def values(self, sums_K: np.ndarray) -> np.ndarray:
    """Returns the BLEU of corpora, from 0 to 100.

    Where an order has no match at all, sacrebleu smooths: those are its own.
    """
    length, reference_length = sums_K[..., 0], sums_K[..., 1]
    matched = sums_K[..., 2 : 2 + _ORDERS]
    possible = sums_K[..., 2 + _ORDERS :]
    plain = (matched > 0).all(-1) & (length > 0)
    ones = np.ones_like(matched)
    precision = np.divide(
      matched, possible, out=ones, where=plain[..., None] & (possible > 0)
    )
    short = np.where(plain, length, 1) < reference_length
    penalty = np.exp(
      np.where(short, 1 - reference_length / np.where(plain, length, 1), 0)
    )
    found = 100 * penalty * np.exp(np.log(precision).mean(-1))
    for at in zip(*np.nonzero(~plain), strict=True):
      found[at] = self.value(sums_K[at])
    return found

  def best(self, statistics_K: np.ndarray) -> np.ndarray:
    """Returns as long a sentence as the reference, with all n-grams matched."""
    length, possible = statistics_K[1], statistics_K[-_ORDERS:]
    return np.array([length, length, *possible, *possible])

  def worst(self, statistics_K: np.ndarray) -> np.ndarray:
    """Returns the sentence without any n-gram matched."""
    kept = statistics_K[:2], np.zeros(_ORDERS), statistics_K[-_ORDERS:]
    return np.concatenate(kept)

  def _compute(self, sums_K, **settings):
    length, reference_length, *counts = (int(x) for x in sums_K)
    return sacrebleu.BLEU.compute_bleu(
      counts[:_ORDERS],
      counts[_ORDERS:],
      length,
      reference_length,
      smooth_method='exp',  # As `corpus_bleu` does.
      **settings,
    ).score

  def text(self, value: float) -> str:
    """Returns the value with one decimal."""
    return f'{value:.1f}'


def _several(reference):
  return (reference,) if isinstance(reference, str) else reference


METRICS: dict[str, Metric] = {
  'answered': Answered(),
  'bleu': Bleu(),
  'exact_match': ExactMatch(),
  'f1': F1(),
  'pass_at_1': PassAt1(),
  'rouge1': Rouge('rouge1'),
  'rouge2': Rouge('rouge2'),
  'rouge2_unstemmed': Rouge('rouge2', stem=False),
  'rougeL': Rouge('rougeL'),
  'rougeLsum': Rouge('rougeLsum'),
}


def get(name: str) -> Metric:
  """Returns a metric by its name.

  Raises:
    ValueError: if there is no such metric.
  """
  if name not in METRICS:
    raise ValueError(f'unknown metric {name!r}; known: {", ".join(METRICS)}')
  return METRICS[name]


def quality(
  metric_name: str, statistics_NxK: Sequence[Sequence[float]]
) -> float:
  """Returns the quality of a corpus.

  Args:
    metric_name: one of METRICS.
    statistics_NxK: the metric's statistics of each output.

  Raises:
    ValueError: if there are no outputs, or there is no such metric.
  """
  metric = get(metric_name)
  if not len(statistics_NxK):
    raise ValueError('there are no outputs, so their quality is undefined')
  return metric.value(np.sum(statistics_NxK, axis=0))
