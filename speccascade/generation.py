"""One answer to look at: who wrote each token, and what it cost.

Letters: N generated tokens.
"""

import dataclasses
import functools
import os
import statistics
import time

import jax
import numpy as np

from speccascade import distributions
from speccascade import rules as rules_lib
from speccascade.decoding import autoregressive, cascade, checks, results
from speccascade.tasks import tokenizer as tokenizer_lib

_DRAFTER = '\x1b[32m'  # green
_VERIFIER = '\x1b[1;35m'  # bold magenta, apart from green to every eye
_RESET = '\x1b[0m'
_VISIBLE = str.maketrans({'\n': '↵', ' ': '␣'})


def calls(
  pair, prompt, rule, alpha, *, gamma, temperature, max_new_tokens, seed
):
  """Makes the two decodings that are shown beside each other.

  Args:
    pair: pairs.Pair.
    prompt: text, as the task writes it.
    rule: one of rules.RULES.
    alpha: its threshold.
    gamma: draft length.
    temperature: of both models.
    max_new_tokens: longest answer.
    seed: of all draws.

  Returns:
    Two functions without arguments that return Results of one row: the
    cascade's and the verifier's alone.

  Raises:
    ValueError: an argument is out of range; nothing was compiled.
  """
  tokens = [tokenizer_lib.BOS, *pair.tokenizer.encode(prompt)]
  prompts = results.Prompts(
    np.array([tokens]), np.array([len(tokens)]), np.zeros(1, np.int32)
  )
  sampling = distributions.Sampling(np.full(1, temperature), np.ones(1))
  eos, key = tokenizer_lib.EOS, jax.random.key(seed)
  both = cascade.Cascade(
    pair.drafter, pair.verifier, gamma, max_new_tokens, eos, rules=(rule,)
  )
  alone = autoregressive.Autoregressive(pair.verifier, max_new_tokens, eos)
  checks.check_prompts(prompts, (pair.drafter, pair.verifier), max_new_tokens)
  checks.check_sampling(sampling, prompts.rows)
  rules_lib.check_alpha(rule, [alpha])
  return (
    functools.partial(
      cascade.decode, both, pair.params, prompts, sampling, rule,
      np.full(1, alpha), key,
    ),
    functools.partial(
      autoregressive.decode, alone, pair.verifier_params, prompts, sampling,
      key,
    ),
  )  # fmt: skip


def segments(tokenizer, token_N, from_drafter_N):
  """Splits an answer by who wrote it.

  A piece alone does not tell whether a space precedes it, so a token's text
  is what it adds to the decoded text of those before it.

  Args:
    tokenizer: SentencePieceProcessor.
    token_N: the tokens of one answer.
    from_drafter_N: whether each is an accepted draft.

  Returns:
    List of (text, from_drafter): accepted drafts in runs, corrections one by
    one. The texts join to the decoded answer; a token without text, as EOS
    is, appears nowhere.
  """
  tokens, shown, runs = [int(t) for t in token_N], '', []
  for n, from_drafter in enumerate(map(bool, from_drafter_N), 1):
    text = tokenizer.decode(tokens[:n])
    if text.endswith('\ufffd') and n < len(tokens):
      continue  # A character of several tokens appears with its last.
    added, shown = text[len(shown) :], text
    if from_drafter and runs and runs[-1][1]:
      runs[-1] = (runs[-1][0] + added, True)
    elif added:
      runs.append((added, from_drafter))
  return runs


def render(runs, color):
  """Text of `segments` with the corrections told apart from the drafts.

  Args:
    runs: what `segments` returned.
    color: whether to colour both; otherwise corrections stand in brackets.

  Returns:
    The text. A correction's leading space stays outside the mark; one that
    is nothing but white space is made visible.
  """
  return ''.join(_render(text, drafted, color) for text, drafted in runs)


def _render(text, from_drafter, color):
  if from_drafter:
    return f'{_DRAFTER}{text}{_RESET}' if color else text
  core = text.strip()
  before, _, after = text.partition(core) if core else ('', '', '')
  if not core:
    core, after = text.translate(_VISIBLE), '\n' * text.count('\n')
  marked = f'{_VERIFIER}{core}{_RESET}' if color else f'[{core}]'
  return f'{before}{marked}{after}'


def wants_color(choice, stream):
  """Whether to colour what goes to `stream`.

  Args:
    choice: 'always', 'never', or 'auto': on a terminal that can, unless the
      environment sets NO_COLOR (no-color.org).
    stream: where the text goes.
  """
  if choice != 'auto':
    return choice == 'always'
  plain = os.environ.get('NO_COLOR') or os.environ.get('TERM') == 'dumb'
  return stream.isatty() and not plain


def legend(color):
  """One line that explains `render`."""
  drafter, verifier = "the drafter's tokens", " the verifier's corrections"
  return render([(drafter, True), (verifier, False)], color)


@dataclasses.dataclass(frozen=True)
class Timing:
  """A call's seconds: the first, which compiles, and the median after it."""

  first: float
  median: float


def measure(functions, trials=5):
  """Times functions in turns, so that a slow moment meets all of them.

  Args:
    functions: without arguments, returning arrays.
    trials: calls of each after the first, which is timed apart.

  Returns:
    (results, list of Timing), one of each a function.
  """
  first = [_timed(f) for f in functions]
  rest = [[_timed(f)[1] for f in functions] for _ in range(trials)]
  medians = [statistics.median(x) for x in zip(*rest, strict=True)]
  timings = [
    Timing(seconds, median)
    for (_, seconds), median in zip(first, medians, strict=True)
  ]
  return [result for result, _ in first], timings


def _timed(function):
  start = time.perf_counter()
  result = jax.block_until_ready(function())
  return result, time.perf_counter() - start


def summary(both, alone, both_seconds, alone_seconds):
  """One line: counts and speed of a cascade beside the verifier alone.

  Args:
    both: the cascade's Result of one row.
    alone: the verifier's on the same prompt.
    both_seconds: time of the first.
    alone_seconds: time of the second.
  """
  tokens, verifier_calls, rejected = (
    int(x[0])
    for x in (
      both.length_B,
      both.counts.verifier_calls_B,
      both.counts.rejected_B,
    )
  )
  cost = 1e3 * both_seconds / tokens
  alone_cost = 1e3 * alone_seconds / int(alone.length_B[0])
  return (
    f'{tokens} tokens, {verifier_calls} verifier calls, block efficiency '
    f'{tokens / verifier_calls:.2f}, {rejected / tokens:.1%} rejected; '
    f'{cost:.2f} ms/token, verifier alone {alone_cost:.2f}: '
    f'{alone_cost / cost:.2f}×'
  )
