"""Hand-made records, whole ones, of any pair and task."""

from speccascade.runs import records

_MODELS = ('verifier_alone', 'drafter_alone')


def traits(method, **changes):
  """Returns the traits of a method; one not known is a rule's."""
  return {
    'drafts': method not in _MODELS,
    'plan_changes_text': False,
    'divergence_rejects': method not in _MODELS,
    'lossless': method in ('verifier_alone', 'strict'),
  } | changes


def record(
  method, parameters=None, gamma=None, latency=1.0, scores=(1, 1), **changes
):
  """Returns a record.

  Args:
    method: its name.
    parameters: a dict, a number (alpha) or None.
    gamma: draft length.
    latency: relative to the verifier's second an example: a number, or one a
      timed example.
    scores: of the examples, 0 or 1.
    **changes: other values of any field, count or trait.
  """
  if parameters is None:
    parameters = {}
  elif not isinstance(parameters, dict):
    parameters = {'alpha': parameters}
  count = changes.get('latency_examples', len(scores))
  timed = latency if isinstance(latency, list) else [latency] * count
  mean = sum(timed) / len(timed)
  counts = {
    'tokens': 1000,
    'verifier_calls': 250,
    'drafter_steps': 1500,
    'drafted': 1500,
    'accepted': 900,
    'rejected': 100,
    'deferred': 150,
    'accepted_lengths': [0, 1, 2],
    'divergence': 100.0,
  }
  own = traits(method)
  for known in (counts, own):
    known |= {k: changes.pop(k) for k in list(changes) if k in known}
  names = [method, *parameters.values(), gamma, changes.get('temperature', 0)]
  whole = {
    'id': '-'.join(map(str, names)),
    'task': 'word_problems',
    'pair': 'word_problems',
    'method': method,
    'parameters': parameters,
    'traits': own,
    'gamma': gamma,
    'schedule': None if gamma is None else 'fixed',
    'schedule_parameter': None,
    'temperature': 0.0,
    'top_p': 1.0,
    'top_k': 0,
    'seed': 0,
    'num_examples': len(scores),
    'metric': 'exact_match',
    'quality': sum(scores) / len(scores),
    'quality_stderr': 0.02,
    'output_length': counts['tokens'] / len(scores),
    'latency_examples': len(timed),
    'seconds': [sum(timed)] * 3,
    'verifier_seconds': [float(len(timed))] * 3,
    'strict_seconds': None if gamma is None else [1.0] * 3,
    'relative_latency': [mean] * 3,
    'example_statistics': [[score, 1] for score in scores],
    'example_tokens': _shares(counts['tokens'], len(scores)),
    'example_rejected': _shares(counts['rejected'], len(scores)),
    'example_seconds': timed,
    'predicted_seconds': float(sum(timed)),
    'counts': counts,
    'block_efficiency': counts['tokens'] / counts['verifier_calls'],
    'rejection_rate': counts['rejected'] / counts['tokens'],
    'device': 'cpu (AMD EPYC), 2 cores',
    'dtype': 'float32',
    'versions': {'python': '3.11.7', 'jax': '0.10.2', 'speccascade': None},
    'git_revision': None,
  }
  return records.upgrade(whole | changes)


def point(method, rejected, latency, gamma=3, **changes):
  """Returns a record of a rejection rate (a share) and a relative latency."""
  changes = {'divergence': 1000 * rejected} | changes
  rejected = round(1000 * rejected)
  return record(method, 0.5, gamma, latency, rejected=rejected, **changes)


def _shares(total, count):
  """The total in parts that differ by one at most."""
  return [total * (i + 1) // count - total * i // count for i in range(count)]
