"""The quality of the verifier's law: of all that was sampled from it.

Strict speculative decoding is lossless (Leviathan et al., arXiv 2211.17192):
with it and alone the verifier samples one law, with different draws above
temperature 0. Apart, either's quality is one sample's, and strict would fall
short of the verifier, or a rule reach it, by the luck of the draw.
"""

import numpy as np

from speccascade import scoring
from speccascade.reports import cells, points

NOTE = (
  'The quality of the verifier alone and of strict, which sample one law, is '
  'of both samples together.'
)
_STRICT = 'strict'
_ALIKE = ('metric', 'num_examples')  # What samples must share to add up.


def pooled(records: list[dict]) -> list[dict]:
  """Returns the records with one quality of the verifier alone and of strict.

  Of each pair, task and sampling that has both, these have `quality`,
  `quality_stderr` and `example_statistics` of both samples, the statistics
  summed example by example. Their counts and latencies stay their own. At
  temperature 0 both are one text, and nothing changes.

  Args:
    records: of any pairs, tasks and samplings; they are not changed.
  """
  together = {}
  for cell, own in cells.by_cell(records).items():
    for sampling, group in points.by_sampling(own).items():
      samples = _samples(group)
      if samples:
        together[cell, sampling] = _fields(samples)
  return [_replaced(record, together) for record in records]


def _samples(group):
  """The verifier's record and one of strict, unless they are one text."""
  found = []
  for rule in (points.VERIFIER, _STRICT):
    # A plan of drafts changes no text: one record of strict tells of all.
    found += [r for r in group if r['rule'] == rule][:1]
  if len(found) < 2 or any(found[0][k] != found[1][k] for k in _ALIKE):
    return None
  one, other = (r['example_statistics'] for r in found)
  return None if one == other else found


def _fields(samples):
  metric = samples[0]['metric']
  statistics_NxK = np.sum([r['example_statistics'] for r in samples], axis=0)
  return {
    'quality': scoring.quality(metric, statistics_NxK),
    'quality_stderr': scoring.standard_error(metric, statistics_NxK),
    'example_statistics': statistics_NxK.tolist(),
  }


def _replaced(record, together):
  if record['rule'] not in (points.VERIFIER, _STRICT):
    return record
  sampling = points.Sampling(*(record[k] for k in points.Sampling._fields))
  cell = cells.Cell(record['pair'], record['task'])
  return record | together.get((cell, sampling), {})
