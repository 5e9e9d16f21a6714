"""How much of what drafters write their verifier keeps, under the rule strict.

Strict follows the verifier exactly, so drafters differ in speed alone: in the
share of tokens that are accepted drafts, and in block efficiency, the tokens
that a verifier call gives.

Letters: N examples, S prompt tokens, R resamples.
"""

import dataclasses

import jax
import numpy as np

from speccascade import distributions, rules
from speccascade.decoding import cascade, results
from speccascade.models import checkpoints
from speccascade.tasks import tokenizer as tokenizer_lib

_RESAMPLES = 2_000


@dataclasses.dataclass(frozen=True)
class Counts:
  """What strict took on each example, with one drafter and temperature.

  Attributes:
    token_N: tokens of the answer.
    call_N: verifier calls.
    accepted_N: tokens that are accepted drafts.
    divergence_N: sum over the tokens of D_TV(p, q), the expected rejections.
  """

  token_N: np.ndarray
  call_N: np.ndarray
  accepted_N: np.ndarray
  divergence_N: np.ndarray


def load_drafters(named, pair):
  """Drafters for a pair's verifier.

  Args:
    named: 'label=checkpoint' of each; empty for the pair's own.
    pair: pairs.Pair, whose lengths and compute type they take over.

  Returns:
    {label: (model, parameters)}.

  Raises:
    ValueError: a text is not of that form, or a file is no checkpoint.
  """
  if not named:
    return {'drafter': (pair.drafter, pair.drafter_params)}
  drafters, ours = {}, pair.drafter.config
  for text in named:
    label, _, path = text.partition('=')
    if not (label and path) or label in drafters:
      raise ValueError(f'drafter {text!r} must be label=checkpoint, each once')
    config, params = checkpoints.load(path, ours.dtype)
    lengths = {
      field: getattr(ours, field)
      for field in ('context_length', 'input_length')
      if hasattr(ours, field) and hasattr(config, field)
    }
    config = dataclasses.replace(config, **lengths)
    drafters[label] = checkpoints.make_model(config), params
  return drafters


def compare(
  pair, drafters, task, examples, *, gamma, temperatures, batch_size, seed
):
  """Decodes examples under strict with each drafter.

  Args:
    pair: pairs.Pair, whose verifier and tokenizer are used.
    drafters: {label: (model, parameters)}.
    task: says how long an answer may be.
    examples: N of the task.
    gamma: draft length.
    temperatures: of both models.
    batch_size: rows decoded at a time.
    seed: of all draws.

  Yields:
    For each temperature and, within, drafter: what `row` tells, with the first
    drafter to compare with, and 'drafter' and 'temperature'.

  Raises:
    ValueError: an argument is out of range, or a model gave NaN.
  """
  models = [pair.verifier, *(model for model, _ in drafters.values())]
  limit = min(m.longest_prompt(task.max_new_tokens) for m in models)
  token_NxS, length_N = tokenizer_lib.encode_prompts(
    pair.tokenizer, [e.prompt for e in examples], max(limit, 0)
  )
  prompts = results.Prompts(
    token_NxS[:, : length_N.max()], length_N, np.arange(len(examples))
  )
  for temperature in temperatures:
    first = None
    for label, (model, params) in drafters.items():
      program = cascade.Cascade(
        model,
        pair.verifier,
        gamma,
        task.max_new_tokens,
        tokenizer_lib.EOS,
        rules=(rules.strict,),
      )
      both = params, pair.verifier_params
      counts = _count(program, both, prompts, temperature, batch_size, seed)
      first = counts if first is None else first
      yield {
        'drafter': label,
        'temperature': float(temperature),
        **row(counts, first),
      }


def _count(program, params, prompts, temperature, batch_size, seed):
  """Counts of one drafter at one temperature."""
  N = prompts.rows
  rows = min(batch_size, N)
  sampling = distributions.Sampling(
    np.full(rows, float(temperature)), np.ones(rows)
  )
  parts = []
  for start in range(0, N, rows):
    # A short last batch repeats examples, so that nothing recompiles.
    index_P = np.arange(start, start + rows) % N
    result = cascade.decode(
      program,
      params,
      jax.tree.map(lambda x, i=index_P: x[i], prompts),
      sampling,
      rules.strict,
      np.zeros(rows),
      jax.random.key(seed),
    )
    told = result.counts
    taken = told.verifier_calls_B, told.accepted_B, told.divergence_B
    parts.append(jax.device_get((result.length_B, *taken)))
  counts = Counts(*(np.concatenate(x)[:N] for x in zip(*parts, strict=True)))
  if not np.isfinite(counts.divergence_N).all():
    raise ValueError(
      'a model gave NaN; check the checkpoints, or compute in float32'
    )
  return counts


def row(counts, first):
  """Sums of a drafter, and its block efficiency beside another's.

  Args:
    counts: Counts.
    first: those of the drafter that it is compared with, on the same examples.

  Returns:
    dict of numbers: 'acceptance', accepted over all tokens; 'divergence', mean
    D_TV(p, q) a token; 'block_efficiency', tokens over verifier calls;
    'change', block efficiency over the first's, less 1; and standard errors
    of the last two, '..._stderr', over resampled examples, the same for both.
  """
  N, tokens = len(counts.token_N), counts.token_N.sum()
  index_RxN = np.random.default_rng(0).integers(N, size=(_RESAMPLES, N))
  whole_1xN = np.arange(N)[None]
  efficiency_R = _efficiency(counts, index_RxN)
  (efficiency,) = _efficiency(counts, whole_1xN)
  (before,) = _efficiency(first, whole_1xN)
  change_R = efficiency_R / _efficiency(first, index_RxN)
  return {
    'acceptance': float(counts.accepted_N.sum() / tokens),
    'divergence': float(counts.divergence_N.sum() / tokens),
    'block_efficiency': float(efficiency),
    'block_efficiency_stderr': float(efficiency_R.std()),
    'change': float(efficiency / before - 1),
    'change_stderr': float(change_R.std()),
  }


def _efficiency(counts, index_RxN):
  """Tokens a verifier call of each resample."""
  token_R = counts.token_N[index_RxN].sum(axis=1)
  return token_R / counts.call_N[index_RxN].sum(axis=1)


def table(rows):
  """Markdown: a line for each of the rows that `compare` yields."""
  lines = [
    '| drafter | temperature | accepted | D_TV | block efficiency | change |',
    '|:--|--:|--:|--:|--:|--:|',
  ]
  for x in rows:
    change = f'{x["change"]:+.1%} ± {x["change_stderr"]:.1%}'
    if x['drafter'] == rows[0]['drafter']:
      change = '–'
    lines.append(
      f'| {x["drafter"]} | {x["temperature"]:g} | {x["acceptance"]:.1%} '
      f'| {x["divergence"]:.4f} | {x["block_efficiency"]:.2f} ± '
      f'{x["block_efficiency_stderr"]:.2f} | {change} |'
    )
  return '\n'.join(lines)
