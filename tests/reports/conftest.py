"""Hand-made records."""

import pytest


@pytest.fixture
def make_record():
  """Returns a function from a point to its whole record."""

  def make(rule, alpha=None, gamma=None, quality=0.5, latency=1.0, **changes):
    """Latency is relative to the verifier: a number or a list of trials."""
    trials = latency if isinstance(latency, list) else [latency] * 3
    temperature = changes.get('temperature', 0.0)
    mean = sum(trials) / len(trials)
    return {
      'id': f'{rule}-a{alpha}-g{gamma}-t{temperature:g}',
      'task': 'word_problems',
      'pair': 'word_problems',
      'rule': rule,
      'alpha': alpha,
      'gamma': gamma,
      'schedule': None if gamma is None else 'fixed',
      'schedule_parameter': None,
      'temperature': temperature,
      'top_p': 1.0,
      'top_k': 0,
      'seed': 0,
      'num_examples': 100,
      'metric': 'exact_match',
      'quality': quality,
      'quality_stderr': 0.02,
      'example_statistics': [[quality, 1]] * 100,
      'output_length': 61.25,
      'latency_examples': 10,
      'seconds': [4 * trial for trial in trials],
      'example_seconds': [0.4 * mean] * 10,
      'predicted_seconds': 4 * mean,
      'verifier_seconds': [4.0 for _ in trials],
      'strict_seconds': None if gamma is None else [2.0 for _ in trials],
      'relative_latency': trials,
      'counts': {
        'tokens': 6125,
        'verifier_calls': 1531,
        'drafter_steps': 9186,
        'drafted': 9186,
        'accepted': 6000,
        'rejected': 125,
        'deferred': 150,
        'divergence': 125.0,
        'accepted_lengths': [0, 1, 2],
      },
      'block_efficiency': 4.0,
      'rejection_rate': 0.125,
      'device': 'cpu (AMD EPYC), 2 cores',
      'dtype': 'float32',
      'versions': {'python': '3.11.7', 'jax': '0.10.2', 'speccascade': None},
      'git_revision': None,
    } | changes

  return make


@pytest.fixture
def sweep(make_record):
  """Two temperatures, two gammas, four rules: 2 + 2 * (1 + 1 + 3 + 3) each."""
  records = []
  for temperature in (0.0, 1.0):
    records += [
      make_record('verifier_alone', quality=0.9, temperature=temperature),
      make_record('drafter_alone', quality=0.5, temperature=temperature),
    ]
    for gamma in (1, 5):
      for rule, alphas in (
        ('strict', [None]),
        ('token_v3', [0.5, 0.0, 0.25]),
        ('drafter', [None]),
        ('opt', [0.0, 0.5, 1.0]),
      ):
        records += [
          make_record(
            rule,
            alpha,
            gamma,
            quality=0.9 - 0.1 * (alpha or 0),
            latency=(0.8 - 0.1 * (alpha or 0)) / gamma**0.5,
            rejection_rate=0.2 - 0.1 * (alpha or 0),
            temperature=temperature,
          )
          for alpha in alphas
        ]
  return records
