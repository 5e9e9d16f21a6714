"""Outputs of every example under every setting of a rule, scored and kept.

A setting's outputs are the same for every draft length (coupled randomness),
so they are decoded once, at one gamma, and `replay` tells the counts of the
others. They lie in `outputs/<rule>.jsonl`, a line an example and setting; a
batch that is whole there is not decoded again.
"""

import json

import numpy as np

from speccascade import records
from speccascade.decoding import replay
from speccascade.sweeps import settings as settings_lib
from speccascade.sweeps import workload as workload_lib


def collect(workload, settings, gamma, batch_size, path, advance):
  """Decodes what is missing from a rule's outputs and returns them all.

  Args:
    workload: Workload.
    settings: every Setting of the rule.
    gamma: draft length to decode at.
    batch_size: rows decoded at a time, settings times prompts.
    path: the rule's JSONL file.
    advance: called with the number of outputs finished.

  Returns:
    {setting id: its outputs in the order of the examples}.
  """
  records.repair(path)
  done = _read(path)
  prompts_a_batch = max(1, batch_size // len(settings))
  # Answers of a length share a batch, which lasts as long as its longest.
  order = np.argsort(_target_lengths(workload), kind='stable')
  width = workload_lib.padded(workload.length_N.max())
  for start in range(0, len(order), prompts_a_batch):
    index_P = order[start : start + prompts_a_batch]
    wanted = [(s.id(), int(i)) for i in index_P for s in settings]
    if all(key in done for key in wanted):
      advance(len(wanted))
      continue
    # A short last batch repeats prompts, so that nothing recompiles.
    index_P = np.resize(index_P, prompts_a_batch)
    prompts = workload_lib.prompts(workload, index_P, len(settings), width)
    result = workload_lib.decode(workload, prompts, settings, gamma)
    lines = _outputs(workload, index_P, settings, result)[: len(wanted)]
    records.append_lines(path, [x for x in lines if _key(x) not in done])
    done.update((_key(line), line) for line in lines)
    advance(len(wanted))
  return {
    s.id(): [done[s.id(), i] for i in range(len(order))] for s in settings
  }


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


def _outputs(workload, index_P, settings, result):
  token_BxN = np.asarray(result.token_BxN)
  length_B = np.asarray(result.length_B)
  drafted_BxN = deferred_B = None
  if result.counts is not None:
    drafted_BxN = np.asarray(result.from_drafter_BxN)
    if not np.isfinite(result.counts.divergence_B).all():
      raise ValueError(
        f'{settings[0].rule}: a model gave NaN; check the checkpoints, or '
        'compute in float32'
      )
    deferred_B = np.asarray(result.counts.deferred_B)
  lines = []
  for row, length in enumerate(length_B.tolist()):
    index = int(index_P[row // len(settings)])
    text = workload.pair.tokenizer.decode(token_BxN[row, :length].tolist())
    line = {
      'id': settings[row % len(settings)].id(),
      'example': index,
      'score': workload.task.score(text, workload.examples[index].reference),
      'tokens': length,
      'text': text,
    }
    if drafted_BxN is not None:
      kept = drafted_BxN[row, :length].astype(int)
      line['from_drafter'] = ''.join(map(str, kept))
      line['deferred'] = int(deferred_B[row])
    lines.append(line)
  return lines


def summarise(outputs, rule, gamma):
  """The fields of a record that outputs tell, at draft length `gamma`."""
  score = np.array([x['score'] for x in outputs], np.float64)
  n, tokens = len(score), sum(x['tokens'] for x in outputs)
  counts = dict.fromkeys(records.COUNTS, 0)
  counts |= {'tokens': tokens, 'accepted_lengths': []}
  if rule in settings_lib.ALONE:
    role = rule.removesuffix('_alone')
    steps = {'verifier': 'verifier_calls', 'drafter': 'drafter_steps'}[role]
    counts[steps] = tokens
  else:
    histogram = sum(
      replay.accepted_lengths([c == '1' for c in x['from_drafter']], gamma)
      for x in outputs
    )
    calls = int(histogram.sum())
    accepted = sum(x['from_drafter'].count('1') for x in outputs)
    counts |= {
      'verifier_calls': calls,
      'drafter_steps': calls * (gamma + 1),
      'drafted': calls * (gamma + 1),
      'accepted': accepted,
      'rejected': tokens - accepted,
      'deferred': sum(x['deferred'] for x in outputs),
      'accepted_lengths': histogram.tolist(),
    }
  calls = counts['verifier_calls']
  return {
    'num_examples': n,
    'quality': float(score.mean()),
    'quality_stderr': float(score.std(ddof=1) / n**0.5) if n > 1 else 0.0,
    'output_length': tokens / n,
    'counts': counts,
    'block_efficiency': tokens / calls if calls else 1.0,
    'rejection_rate': counts['rejected'] / tokens,
  }
