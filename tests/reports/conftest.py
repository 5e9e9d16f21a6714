"""Hand-made records of 100 examples."""

import numpy as np
import pytest

from speccascade.reports.stats import choice, promise
from tests.reports import synthetic


@pytest.fixture(autouse=True)
def no_error(request, monkeypatch):
  """Few examples tell all, but in tests of the bounds themselves."""
  if request.node.get_closest_marker('bounds'):
    return

  def bounds(own, rows, others=None):
    loss_K = np.where(own.lossless_K, 0, promise.loss(own, rows))
    zero_K = np.zeros(len(loss_K))
    return promise.Bounds(loss_K, loss_K, zero_K, zero_K, 0.0, 1.0)

  monkeypatch.setattr(promise, 'bounds', bounds)
  monkeypatch.setattr(choice, 'MARGIN', 0.0)


def _make(method, parameters=None, gamma=None, quality=0.5, latency=1.0, **kw):
  """Latency is relative to the verifier: a number or a list of trials."""
  trials = latency if isinstance(latency, list) else [latency] * 3
  mean = sum(trials) / len(trials)
  record = synthetic.record(
    method,
    parameters,
    gamma,
    [0.4 * mean] * 10,
    [quality] * 100,
    tokens=6125,
    rejected=125,
    divergence=125.0,
    verifier_calls=1531,
    **{k: kw.pop(k) for k in list(kw) if k in synthetic.traits(method)},
  )
  return (
    record
    | {
      'quality': quality,
      'seconds': [4 * trial for trial in trials],
      'verifier_seconds': [4.0 for _ in trials],
      'strict_seconds': None if gamma is None else [2.0 for _ in trials],
      'relative_latency': trials,
      'predicted_seconds': 4 * mean,
      'block_efficiency': 4.0,
      'rejection_rate': 0.125,
      'id': f'{record["id"]}-t{kw.get("temperature", 0):g}',
    }
    | kw
  )


@pytest.fixture(scope='session')
def make_record():
  """Returns a function from a point to its whole record."""
  return _make


@pytest.fixture(scope='module')
def sweep():
  """Two temperatures, two gammas, four rules: 2 + 2 * (1 + 1 + 3 + 3) each."""
  records = []
  for temperature in (0.0, 1.0):
    records += [
      _make('verifier_alone', quality=0.9, temperature=temperature),
      _make('drafter_alone', quality=0.5, temperature=temperature),
    ]
    for gamma in (1, 5):
      for method, alphas in (
        ('strict', [None]),
        ('token_v3', [0.5, 0.0, 0.25]),
        ('drafter', [None]),
        ('opt', [0.0, 0.5, 1.0]),
      ):
        records += [
          _make(
            method,
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
