"""How far the rules are from one that knows what comes next.

Contexts whose true next-token distribution is known; verifier and drafter are
flatter or sharper versions of it with noise. The loss is the paper's with 0-1
losses: that of the most probable token of whom the rule follows, and alpha
for a rejection. Prints the tables of docs/theory.md:

  python -m tests.theory.oracle

Letters: C contexts, V vocabulary, K thresholds.
"""

import functools
from typing import NamedTuple

import jax
import numpy as np
import tabulate

from speccascade import rules
from speccascade.sampling import probabilities
from tests.theory import cases

CONTEXTS, V = 1000, 32
ALPHAS = (0.0, 0.05, 0.1, 0.2, 0.4)
CALIBRATIONS = (0.0, 0.5, 0.9, 0.99, 1.0)
# From almost strict to almost the drafter, for each rule.
THRESHOLDS_Kx1 = {
  'chow': np.linspace(-0.02, 1, 52)[:, None],
  'diff': np.linspace(-1, 1, 51)[:, None],
  'opt': np.linspace(-3, 3, 61)[:, None],
}

_RULES = {name: jax.jit(rules.RULES[name]) for name in THRESHOLDS_Kx1}


class World(NamedTuple):
  """What is true and what the models say, all CxV."""

  truth: np.ndarray
  q: np.ndarray
  p: np.ndarray
  q_raw: np.ndarray
  p_raw: np.ndarray


@functools.cache
def world(calibration=0.0, temperature=1.0):
  """Random contexts; at calibration 1 both models' confidence is true."""
  rng = np.random.default_rng(0)
  logits = 3 * rng.normal(size=(CONTEXTS, V))
  noise = rng.normal(size=(2, CONTEXTS, V))
  truth = np.asarray(probabilities.raw(logits))
  q_raw, q_stays = _calibrate(0.8 * logits + 2.0 * noise[0], truth, calibration)
  p_raw, p_stays = _calibrate(0.8 * logits + 1.0 * noise[1], truth, calibration)
  settings = ((temperature, 1.0),)
  q, p = (cases.sampled(np.log(x), settings)[0][0] for x in (q_raw, p_raw))
  stays = q_stays & p_stays
  return World(*(x[stays] for x in (truth, q, p, q_raw, p_raw)))


def _calibrate(logits, truth, weight):
  """Moves the confidence in a model's best token towards its probability.

  The other tokens become alike, so that an improbable token can stay best.

  Returns:
    (CxV probabilities, whether the token stays the best at all weights).
  """
  raw = np.asarray(probabilities.raw(logits))
  best = raw == raw.max(-1, keepdims=True)
  says, true = raw.max(-1, keepdims=True), _at_best(raw, truth)[:, None]

  def moved(weight):
    top = (1 - weight) * says + weight * true
    others = (1 - weight) * raw / (1 - says) + weight / (V - 1)
    return np.where(best, top, (1 - top) * others)

  stays = [moved(w).argmax(-1) == raw.argmax(-1) for w in CALIBRATIONS]
  return moved(weight), np.all(stays, 0)


def _at_best(model, truth):
  return np.take_along_axis(truth, model.argmax(-1)[:, None], -1)[:, 0]


def costs(w, alpha):
  """C, C: the true loss of keeping the drafter and of deferring."""
  defer = 1 - _at_best(w.p_raw, w.truth)
  rejected = np.asarray(probabilities.total_variation(w.p, w.q))
  return 1 - _at_best(w.q_raw, w.truth), defer + alpha * rejected


def loss(w, alpha, rule, threshold=None):
  """[..., C]: a rule's true loss; its threshold is alpha if not given."""
  threshold = alpha if threshold is None else threshold
  pi = np.asarray(_RULES[rule](w.q, w.p, w.q_raw, w.p_raw, threshold))
  keep, defer = costs(w, alpha)
  return np.where((pi != w.q).any(-1), defer, keep)


def oracle_loss(w, alpha):
  """C: the loss of deferring where, in truth, it costs less."""
  keep, defer = costs(w, alpha)
  return np.where(keep > defer, defer, keep)


def deviation(w):
  """C: what the drafter's and the verifier's confidence are off by, added."""
  return sum(
    np.abs(x.max(-1) - _at_best(x, w.truth)) for x in (w.q_raw, w.p_raw)
  )


def tuned_loss(w, alpha, rule):
  """The rule's mean loss at the threshold that makes it least."""
  return loss(w, alpha, rule, THRESHOLDS_Kx1[rule]).mean(-1).min()


def _row(w, alpha):
  drafter, strict = (x.mean() for x in costs(w, alpha))
  tuned = (tuned_loss(w, alpha, rule) for rule in THRESHOLDS_Kx1)
  opt, oracle = loss(w, alpha, 'opt').mean(), oracle_loss(w, alpha).mean()
  return drafter, strict, *tuned, opt, oracle, deviation(w).mean()


def report():
  """Mean losses by alpha and by calibration, two tables in Markdown."""
  columns = 'drafter', 'strict', 'chow*', 'diff*', 'opt*', 'opt', 'oracle'
  rows = {
    'α': [(alpha, *_row(world(), alpha)) for alpha in ALPHAS],
    'calibration': [(c, *_row(world(c), 0.2)) for c in CALIBRATIONS],
  }
  return '\n\n'.join(
    tabulate.tabulate(
      x,
      (first, *columns, 'bound'),
      tablefmt='pipe',
      floatfmt=('g', *['.3f'] * (len(columns) + 1)),
    )
    for first, x in rows.items()
  )


if __name__ == '__main__':
  with jax.enable_x64(True):
    print(report())
