"""Outputs of every example under every setting of a rule, scored and kept.

A setting's outputs are the same for every draft length (coupled randomness),
so they are decoded once, at one gamma, and `replay` tells the counts of the
others. Other schedules are decoded for their counts alone. All lie in
`outputs/<rule>.jsonl`, a line an example and setting; a batch that is whole
there is not decoded again.
"""

import json

import numpy as np

from speccascade import records, scoring
from speccascade.decoding import replay
from speccascade.sweeps import settings as settings_lib
from speccascade.sweeps import workload as workload_lib


def collect(
  workload, settings, plan, batch_size, path, advance, counts_only=False
):
  """Decodes what is missing from a rule's outputs and returns them all.

  Args:
    workload: Workload.
    settings: every Setting of the rule.
    plan: settings.Plan to decode with; None where nothing is drafted ahead.
    batch_size: rows decoded at a time, settings times prompts.
    path: the rule's JSONL file.
    advance: called with the number of outputs finished.
    counts_only: keep what the plan took, by point, and not the text, which
      is that of any other plan.

  Returns:
    {setting id, or point id: its lines in the order of the examples}.
  """
  records.repair(path)
  done = _read(path)
  ids = [s.id(plan if counts_only else None) for s in settings]
  prompts_a_batch = max(1, batch_size // len(settings))
  # Answers of a length share a batch, which lasts as long as its longest.
  order = np.argsort(_target_lengths(workload), kind='stable')
  width = workload_lib.padded(workload.length_N.max())
  for start in range(0, len(order), prompts_a_batch):
    index_P = order[start : start + prompts_a_batch]
    wanted = [(id_, int(i)) for i in index_P for id_ in ids]
    if all(key in done for key in wanted):
      advance(len(wanted))
      continue
    # A short last batch repeats prompts, so that nothing recompiles.
    index_P = np.resize(index_P, prompts_a_batch)
    prompts = workload_lib.prompts(workload, index_P, len(settings), width)
    result = workload_lib.decode(workload, prompts, settings, plan)
    _check_finite(settings[0].rule, result)
    told = _counts(result) if counts_only else _outputs(workload, plan, result)
    lines = [
      {'id': id_, 'example': i} | told(row, i)
      for row, (id_, i) in enumerate(wanted)
    ]
    records.append_lines(path, [x for x in lines if _key(x) not in done])
    done.update((_key(line), line) for line in lines)
    advance(len(wanted))
  return {id_: [done[id_, i] for i in range(len(order))] for id_ in ids}


def _target_lengths(workload):
  targets = workload.pair.tokenizer.encode(
    [e.target for e in workload.examples]
  )
  return [len(target) for target in targets]


def _read(path):
  """{(setting id, example): output} of the whole lines."""

  def parse(line):
    output = json.loads(line)
    return _key(output), output

  return dict(records.read_lines(path, parse))


def _key(line):
  return line['id'], line['example']


def _check_finite(rule, result):
  counts = result.counts
  if counts is not None and not np.isfinite(counts.divergence_B).all():
    raise ValueError(
      f'{rule}: a model gave NaN; check the checkpoints, or compute in float32'
    )


def _outputs(workload, plan, result):
  """A function from a row and its example to the row's text and score."""
  token_BxN = np.asarray(result.token_BxN)
  length_B = np.asarray(result.length_B)
  counts = None if result.counts is None else _counts(result)
  drafted_BxN = np.asarray(result.from_drafter_BxN)

  def tell(row, example):
    length = int(length_B[row])
    text = workload.pair.tokenizer.decode(token_BxN[row, :length].tolist())
    reference = workload.examples[example].reference
    line = {
      'score': workload.task.score(text, reference),
      'statistics': workload.task.statistics(text, reference),
      'tokens': length,
      'text': text,
    }
    if counts is None:
      return line
    kept = drafted_BxN[row, :length].astype(int)
    line['from_drafter'] = ''.join(map(str, kept))
    told = counts(row, example)
    return line | {k: told[k] for k in (_OF_TEXT if plan is not None else told)}

  return tell


# What depends on the text and not on how drafts were sized.
_OF_TEXT = ('deferred', 'divergence')


def _counts(result):
  """A function from a row and its example to what the row took."""
  names = ('verifier_calls', 'drafter_steps', 'deferred')
  counts = {k: np.asarray(getattr(result.counts, f'{k}_B')) for k in names}
  divergence_B = np.asarray(result.counts.divergence_B)
  lengths_BxG = np.asarray(result.counts.accepted_lengths_BxG)

  def tell(row, example):
    del example
    own = {name: int(value_B[row]) for name, value_B in counts.items()}
    return own | {
      'divergence': float(divergence_B[row]),
      'accepted_lengths': lengths_BxG[row].tolist(),
    }

  return tell


def summarise(outputs, metric, setting, plan, counted=None):
  """The fields of a record that outputs tell.

  Args:
    outputs: lines of `collect`, of a setting.
    metric: the task's.
    setting: Setting.
    plan: Plan of the point, or None.
    counted: lines of `collect` with `counts_only`, where the plan's schedule
      is not 'fixed'.
  """
  n, tokens = len(outputs), sum(x['tokens'] for x in outputs)
  statistics = [x['statistics'] for x in outputs]
  counts = dict.fromkeys(records.COUNTS, 0)
  counts |= {'tokens': tokens, 'divergence': 0.0, 'accepted_lengths': []}
  if setting.rule in settings_lib.ALONE:
    role = setting.rule.removesuffix('_alone')
    steps = {'verifier': 'verifier_calls', 'drafter': 'drafter_steps'}[role]
    counts[steps] = tokens
  else:
    accepted = sum(x['from_drafter'].count('1') for x in outputs)
    counts |= {
      'accepted': accepted,
      'rejected': tokens - accepted,
      'deferred': sum(x['deferred'] for x in outputs),
      'divergence': sum(x['divergence'] for x in outputs),
      **_blocks(outputs, plan, counted),
    }
  calls = counts['verifier_calls']
  return {
    'num_examples': n,
    'quality': scoring.quality(metric, statistics),
    'quality_stderr': scoring.standard_error(metric, statistics),
    'example_statistics': statistics,
    'output_length': tokens / n,
    'counts': counts,
    'block_efficiency': tokens / calls if calls else 1.0,
    'rejection_rate': counts['rejected'] / tokens,
  }


def _blocks(outputs, plan, counted):
  """The counts that depend on how drafts were sized."""
  if plan is not None and plan.schedule == 'fixed':
    histogram = sum(
      replay.accepted_lengths([c == '1' for c in x['from_drafter']], plan.gamma)
      for x in outputs
    )
    calls = int(histogram.sum())
    steps = calls * (plan.gamma + 1)
  else:
    lines = outputs if plan is None else counted
    histogram = sum(np.array(x['accepted_lengths'], int) for x in lines)
    calls = sum(x['verifier_calls'] for x in lines)
    steps = sum(x['drafter_steps'] for x in lines)
  return {
    'verifier_calls': calls,
    'drafter_steps': steps,
    'drafted': steps,
    'accepted_lengths': histogram.tolist(),
  }
