"""Which points may be promised to lose no more than a share of quality.

A choice among many points, made on some examples, must hold on others. So a
point is promised only if a bound on its loss there is within what is allowed.
The bound counts three things: the error of the examples at hand, that of those
to come, and that the best of many is chosen. The last is done by the largest of
all points' errors in each resample (Romano and Wolf 2005, Econometrica 73), all
under one paired bootstrap. One example more, which the verifier has right and
the point wrong, stands for what was not seen: without any difference among n
examples, the bound of 95 % is then that of the rule of three, 3 / n.

A lossless method needs no bound: its law is the verifier's. Where another
point stands in for the verifier, to be compared with, none is lossless.

Letters: K points of different text, N examples, S statistics, R resamples.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from speccascade.reports.stats import points
from speccascade.tasks import bootstrap, metrics

LEVEL = 0.95  # That all bounds hold together.
_HERE, _THERE = 3, 4  # Seeds, of draws that no other number shares.


@dataclasses.dataclass(frozen=True)
class Group:
  """Records of one pair, task and sampling.

  Attributes:
    records: all of them.
    verifier: the verifier alone, or the point that stands in for it.
    texts: {`points.text` of a record: its index k}.
    statistics_KxNxS: of each text.
    lossless_K: whether its law is known to be the verifier's.
  """

  records: tuple[dict, ...]
  verifier: dict
  texts: dict
  statistics_KxNxS: np.ndarray
  lossless_K: np.ndarray

  def index(self, record: dict) -> int:
    """Returns k of a record."""
    return self.texts[points.text(record)]


@dataclasses.dataclass(frozen=True)
class Bounds:
  """What examples tell of the loss on others.

  Attributes:
    loss_K: share of the verifier's quality that was lost on the examples.
    most_K: bound on the share lost on others, 0 of a lossless method.
    unseen_K: loss of the one example that stands for what was not seen.
    error_K: standard error of one example's loss, without that one.
    width: of the bounds, in standard errors.
    shares: 1, and the number at hand over that of the others.
  """

  loss_K: np.ndarray
  most_K: np.ndarray
  unseen_K: np.ndarray
  error_K: np.ndarray
  width: float
  shares: float

  def needed(self, k: int, allowed: float) -> float:
    """Returns how many examples could promise a point, inf where none can.

    Args:
      k: of the point.
      allowed: the share of quality that may be lost.
    """
    spare = allowed - self.loss_K[k]
    if spare <= 0:
      return math.inf
    low, high = 0, 1
    while self._added(k, high) > spare:
      low, high = high, 2 * high
    while high - low > 1:
      middle = (low + high) // 2
      if self._added(k, middle) > spare:
        low = middle
      else:
        high = middle
    return float(high)

  def _added(self, k, n):
    """What the bound adds to the loss, of n examples and such others.

    The error is that of one example over sqrt(n), of both parts together.
    """
    unseen, N = self.unseen_K[k], n + 1
    variance = self.error_K[k] ** 2 + unseen**2 / N
    return unseen / N + self.width * math.sqrt(self.shares * variance / N)


def group(records: Sequence[dict], verifier: dict) -> Group:
  """Returns the group of records of as many examples as the verifier's.

  Args:
    records: of one pair, task and sampling.
    verifier: one of them, which the others are compared with.
  """
  texts, statistics, lossless = {}, [], []
  for record in records:
    if points.text(record) not in texts:
      texts[points.text(record)] = len(statistics)
      statistics.append(record['example_statistics'])
      lossless.append(
        record['traits']['lossless'] and verifier['traits']['lossless']
      )
  return Group(
    tuple(records),
    verifier,
    texts,
    np.array(statistics, float),
    np.array(lossless),
  )


def bounds(own: Group, rows: np.ndarray, others: int | None = None) -> Bounds:
  """Returns bounds on the losses of all points.

  Args:
    own: Group.
    rows: indices of the examples at hand.
    others: number of the examples to come; None is all that there could be.
  """
  metric = metrics.get(own.verifier['metric'])
  base = own.index(own.verifier)
  statistics_KxNxS = own.statistics_KxNxS[:, rows]
  mean_KxS = statistics_KxNxS.mean(1)  # Two samples of a text weigh double.
  unseen_KxS = np.array([metric.worst(x_S) for x_S in mean_KxS])
  unseen_KxS[base] = metric.best(mean_KxS[base])
  statistics_KxNxS = np.concatenate(
    [statistics_KxNxS, unseen_KxS[:, None]], axis=1
  )
  N = statistics_KxNxS.shape[1]
  here_KxR = _losses(metric, statistics_KxNxS, base, N, _HERE)
  sums_Kx1xS = statistics_KxNxS.sum(1)[:, None]
  loss_K = _bounded(_of_sums(metric, sums_Kx1xS, base))[:, 0]
  error_KxR = here_KxR - loss_K[:, None]
  if others is not None:
    there_KxR = _losses(metric, statistics_KxNxS, base, others, _THERE)
    error_KxR = error_KxR + there_KxR - loss_K[:, None]
  spread_K = error_KxR.std(1)
  tested_K = ~own.lossless_K & (spread_K > 0)
  width = 0.0
  if tested_K.any():
    largest_R = (error_KxR[tested_K] / spread_K[tested_K, None]).max(0)
    width = float(np.quantile(largest_R, LEVEL))
  seen_K = _of_sums(metric, statistics_KxNxS[:, :-1].sum(1)[:, None], base)
  unseen_K = N * np.maximum(loss_K - seen_K[:, 0], 0)
  error_K = N * here_KxR.var(1) - unseen_K**2 / N
  return Bounds(
    loss_K=np.where(own.lossless_K, 0, seen_K[:, 0]),
    most_K=np.where(own.lossless_K, 0, loss_K + width * spread_K),
    unseen_K=unseen_K,
    error_K=np.sqrt(np.maximum(error_K, 0)),
    width=width,
    shares=1.0 if others is None else 1 + len(rows) / others,
  )


def loss(own: Group, rows: np.ndarray) -> np.ndarray:
  """Returns the share of the verifier's quality that each text loses."""
  metric = metrics.get(own.verifier['metric'])
  sums_Kx1xS = own.statistics_KxNxS[:, rows].sum(1)[:, None]
  return _of_sums(metric, sums_Kx1xS, own.index(own.verifier))[:, 0]


def _losses(metric, statistics_KxNxS, base, size, seed):
  """Losses in resamples of `size` examples, KxR."""
  count_RxN = bootstrap.counts(statistics_KxNxS.shape[1], size, seed)
  sums_KxRxS = count_RxN @ statistics_KxNxS
  return _bounded(_of_sums(metric, sums_KxRxS, base))


def _bounded(loss):
  """Losses, of which a gain counts as twice the quality at most.

  A resample may have no right answer of the verifier's at all.
  """
  return np.maximum(loss, -1.0)


def _of_sums(metric, sums_KxRxS, base):
  quality_KxR = metric.values(sums_KxRxS)
  verifier_R = quality_KxR[base]
  lost_KxR = np.where(quality_KxR > 0, -np.inf, 0.0)
  np.divide(
    verifier_R - quality_KxR, verifier_R, out=lost_KxR, where=verifier_R > 0
  )
  return lost_KxR
