"""What a sweep decodes: a pair and the tokenised examples of a task.

Letters: P prompts of a batch, S prompt tokens, B rows.
"""

import dataclasses
from typing import Any

import jax
import numpy as np

from speccascade import distributions, pairs, rules, tasks
from speccascade.decoding import (
  autoregressive,
  blocks,
  cascade,
  deferral,
  results,
  schedules,
  sequence_cascade,
  token_cascade,
)
from speccascade.sweeps import settings as settings_lib
from speccascade.tasks import tokenizer as tokenizer_lib

_BUCKET = 32  # Prompts are padded to a multiple: few shapes, few compiles.


@dataclasses.dataclass(frozen=True)
class Workload:
  """A pair, a task and its examples, tokenised."""

  pair: pairs.Pair
  task: Any
  examples: list
  token_NxS: np.ndarray
  length_N: np.ndarray
  costs: Any = None  # benchmark.Costs, for the schedules that weigh them.


def load(config):
  """Loads what a config names; raises ValueError with one line if it cannot."""
  pair = pairs.load(config.pair, config.dtype)
  task = tasks.load(config.task, config.task_args)
  examples = task.examples(config.split, config.num_examples)
  limit = min(
    model.longest_prompt(task.max_new_tokens)
    for model in (pair.drafter, pair.verifier)
  )
  if limit < 1:
    raise ValueError(
      f'task {config.task} generates up to {task.max_new_tokens} tokens, which '
      f'leaves pair {config.pair} no room for a prompt: it needs a pair of '
      'longer context'
    )
  token_NxS, length_N = tokenizer_lib.encode_prompts(
    pair.tokenizer,
    [e.prompt for e in examples],
    min(config.max_prompt_tokens, limit),
  )
  return Workload(pair, task, examples, token_NxS, length_N)


def prompts(workload, index_P, copies=1, width=None):
  """Prompts of the examples `index_P`, padded no wider than needed.

  Args:
    workload: Workload.
    index_P: which examples.
    copies: rows of each.
    width: tokens to pad to, at least the longest; None is the next multiple
      of 32.
  """
  index_P = np.asarray(index_P)
  length_P = workload.length_N[index_P]
  width = padded(length_P.max()) if width is None else width
  token_PxS = np.zeros((len(index_P), width), np.int32)
  held = min(width, workload.token_NxS.shape[1])
  token_PxS[:, :held] = workload.token_NxS[index_P, :held]
  return results.Prompts(token_PxS, length_P, index_P, copies=copies)


def padded(length):
  """The next multiple of the bucket."""
  return -(-int(length) // _BUCKET) * _BUCKET


def decode(workload, prompts, settings, plan=None):
  """Decodes a batch whose rows follow settings of one rule.

  Args:
    workload: Workload.
    prompts: Prompts with a copy for each setting.
    settings: Settings of one rule, seed and top-k; row b follows setting
      b mod len(settings).
    plan: settings.Plan; None where nothing is drafted ahead.

  Returns:
    Result.
  """
  rule, top_k, seed = settings[0].rule, settings[0].top_k, settings[0].seed
  times = prompts.rows // len(settings)
  column = lambda name: np.tile([getattr(s, name) for s in settings], times)  # noqa: E731
  sampling = distributions.Sampling(
    column('temperature'), column('top_p'), top_k=top_k
  )
  key = jax.random.key(seed)
  pair, limit = workload.pair, workload.task.max_new_tokens
  if rule in settings_lib.ALONE:
    role = rule.removesuffix('_alone')
    model = getattr(pair, role)
    decoder = autoregressive.Autoregressive(model, limit, tokenizer_lib.EOS)
    params = getattr(pair, f'{role}_params')
    return autoregressive.decode(decoder, params, prompts, sampling, key)
  alpha_B = np.tile([s.alpha or 0.0 for s in settings], times)
  shared = (pair.drafter, pair.verifier)
  ends = (limit, tokenizer_lib.EOS)
  rest = (pair.params, prompts, sampling)
  if rule == settings_lib.TOKEN_CASCADE:
    decoder = token_cascade.TokenCascade(*shared, *ends)
    return token_cascade.decode(decoder, *rest, alpha_B, key)
  if rule in settings_lib.SEQUENCES:
    quantile = settings_lib.SEQUENCES[rule]
    decoder = sequence_cascade.SequenceCascade(*shared, *ends, quantile)
    return sequence_cascade.decode(decoder, *rest, alpha_B, key)
  defer = deferral.speculative
  if rule == settings_lib.BILD_ROLLBACK:
    rule, defer = 'bild', deferral.bild
  decoder = cascade.Cascade(
    *shared,
    plan.gamma,
    *ends,
    schedule=schedules.SCHEDULES[plan.schedule],
    defer=defer,
  )
  parameter = () if plan.parameter is None else plan.parameter
  if plan.schedule == 'cost':
    G = plan.gamma + 1
    parameter = workload.costs.iteration_G(blocks.widths(G, False), G)
  return cascade.decode(
    decoder, *rest, rules.RULES[rule], alpha_B, key, parameter
  )
