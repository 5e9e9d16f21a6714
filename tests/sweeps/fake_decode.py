"""A stand-in for decoding: answers that follow from example and setting alone.

Nothing is compiled. What a plan takes follows from it, and from the costs where
it weighs them, too.
"""

import dataclasses
import json
import zlib

import jax
import numpy as np

from speccascade.decoding import replay, results
from speccascade.sweeps import batches, served, whole
from speccascade.timing import clock
from speccascade.timing import costs as costs_lib

N = 6  # Most tokens of an answer.


class Decoder:
  """Replaces what decodes a sweep, the costs and the clock.

  Attributes:
    calls: (ids under the plan, examples, width) of each call for quality.
    timed: (id, example) of each call at batch 1.
    seconds: what every call takes.
    pace: how often as long a call of (id, example) takes.
    unlike: examples that are answered otherwise at batch 1.
    costs: what every part costs, where it is measured.
    most: rows of the largest batch.
  """

  def __init__(self, monkeypatch):
    self.calls, self.timed = [], []
    self.seconds, self.costs, self.unlike = 1.0, 1.0, ()
    self.pace = lambda name, example: 1
    self.most, self._now = 0, 0.0
    monkeypatch.setattr(batches, 'decode', self._decode)
    monkeypatch.setattr(served, 'decode', self.serve)
    monkeypatch.setattr(whole, 'decode', self._choose)
    monkeypatch.setattr(clock, 'now', lambda: self._now)
    monkeypatch.setattr(costs_lib, 'costs', self._costs)

  def outputs(self):
    """(id, example) of all that was decoded for quality; forgets it."""
    found = [
      (name, e) for names, examples, _ in self.calls for name in names
      for e in sorted(set(examples))
    ]  # fmt: skip
    self.calls.clear()
    return found

  def _costs(self, pair, prompts, widths, new_tokens, known=None):
    """Those that are known stay."""
    both = dict.fromkeys(('drafter', 'verifier'), self.costs)
    new = costs_lib.Costs(
      drafter_step=self.costs,
      verifier_block={T: self.costs + T for T in widths},
      prefill={p.token_PxS.shape[1]: both for p in prompts},
      spread=1.5,
    )
    if known is None:
      return new
    return dataclasses.replace(
      known,
      verifier_block=new.verifier_block | known.verifier_block,
      prefill=new.prefill | known.prefill,
    )

  def serve(self, workload, items, plan, rows, width):
    """As `served.decode`: so many rows end at a time."""
    for start in range(0, len(items), rows):
      own = items[start : start + rows]
      self._now += self.seconds * self.pace(own[0][0].id(plan), own[0][1])
      self.most = max(self.most, len(own))
      self.calls += [([s.id(plan)], [e], width) for s, e in own]
      found = [self._row(workload, s, plan, e, False) for s, e in own]
      yield own, self._result(found, own[0][0])

  def _choose(self, workload, items, rows, width):
    """As `whole.decode`."""
    return self.serve(workload, items, None, rows, width)

  def _decode(self, workload, prompts, settings, plan, choice=None):
    examples = np.asarray(prompts.example_P).tolist()
    ids = [s.id(plan) for s in settings]
    self._now += self.seconds * self.pace(ids[0], examples[0])
    self.most = max(self.most, prompts.rows)
    if choice is None:
      self.calls.append((ids, examples, prompts.token_PxS.shape[1]))
    else:
      self.timed.append((*ids, *examples))
    rows = [
      self._row(workload, s, plan, e, choice is not None and e in self.unlike)
      for s in settings
      for e in examples
    ]
    return self._result(rows, settings[0])

  def _result(self, rows, setting):
    told = jax.tree.map(lambda *x: np.stack(x), *rows)
    counts = results.Counts(**told.pop('counts'))
    if setting.of.role:
      del told['from_drafter_BxN']
      return results.Result(**told)
    return results.Result(**told, counts=counts)

  def _row(self, workload, setting, plan, example, differs):
    name = setting.id(plan if setting.of.plan_changes_text else None)
    rng = np.random.default_rng(zlib.crc32(f'{name} {example}'.encode()))
    length = int(rng.integers(1, N + 1))
    token_N = rng.integers(4, 700, N) + differs
    kept_N = (rng.random(N) < 0.6) & (np.arange(N) < length)
    divergence = rng.random()
    return {
      'token_BxN': np.where(np.arange(N) < length, token_N, 0),
      'length_B': np.array(length),
      'from_drafter_BxN': kept_N,
      'counts': {
        'accepted_B': kept_N.sum(),
        'rejected_B': length - kept_N.sum(),
        'deferred_B': np.array(length),
        'divergence_B': np.array(divergence),
        **self._of_plan(workload, plan, kept_N[:length], name, example),
      },
    }

  def _of_plan(self, workload, plan, kept, name, example):
    if plan is None:
      calls = np.array([], int)
    elif plan.fixed:
      calls = replay.accepted_lengths(kept.tolist(), plan.gamma)
    else:
      given = batches.costs_G(workload.costs, plan)
      seed = f'{name} {example} {plan.id()} {json.dumps(given)}'
      rng = np.random.default_rng(zlib.crc32(seed.encode()))
      calls = rng.integers(0, 3, plan.gamma + 2)
    number = np.array(calls.sum())
    return {
      'verifier_calls_B': number,
      'drafter_steps_B': 2 * number,
      'drafted_B': 2 * number,
      'accepted_lengths_BxA': calls,
    }
