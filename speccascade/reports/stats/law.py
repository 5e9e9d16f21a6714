"""Pools the lossless methods, which sample the same distribution.

Strict speculative decoding is lossless (Leviathan et al., arXiv 2211.17192):
verifier_alone and strict sample the verifier's distribution, with different
draws above temperature 0. Not pooled, each quality is that of one sample, and
a method may reach the verifier's quality, or strict miss it, by chance.
"""

import numpy as np

from speccascade.reports.stats import cells, points
from speccascade.tasks import bootstrap, metrics

NOTE = (
  'The quality of lossless methods, verifier_alone and strict among them, '
  'pools their samples, which have the same distribution.'
)
_ALIKE = ('metric', 'num_examples')  # Samples that differ in them do not add.


def pooled(records: list[dict]) -> list[dict]:
  """Pools the quality of the lossless methods.

  Args:
    records: of any pairs, tasks and samplings; they are not changed.

  Returns:
    The records. For each pair, task and sampling with two or more samples of
    lossless methods, those methods' records have `quality`, `quality_stderr`
    and `example_statistics` of all samples together, the statistics summed
    example by example. Counts and latencies stay their own. Samples that are
    equal, as at temperature 0, count once.
  """
  together = {}
  for cell, own in cells.by_cell(records).items():
    for sampling, group in points.by_sampling(own).items():
      samples = _samples(group)
      if len(samples) > 1:
        together[cell, sampling] = _fields(samples)
  return [_replaced(record, together) for record in records]


def _samples(group):
  """A record of each distinct sample; none if they do not add up."""
  texts, found = set(), []
  for record in group:
    key = points.text(record)
    if not record['traits']['lossless'] or key in texts:
      continue
    texts.add(key)
    statistics = record['example_statistics']
    if all(statistics != other['example_statistics'] for other in found):
      found.append(record)
  alike = {tuple(r[k] for k in _ALIKE) for r in found}
  return found if len(alike) == 1 else []


def _fields(samples):
  metric = samples[0]['metric']
  statistics_NxK = np.sum([r['example_statistics'] for r in samples], axis=0)
  return {
    'quality': metrics.quality(metric, statistics_NxK),
    'quality_stderr': bootstrap.standard_error(metric, statistics_NxK),
    'example_statistics': statistics_NxK.tolist(),
  }


def _replaced(record, together):
  if not record['traits']['lossless']:
    return record
  key = cells.cell(record), points.sampling(record)
  return record | together.get(key, {})
