"""The share of drafted tokens that a verifier accepts, under the rule strict.

Strict follows the verifier exactly, so drafters differ in speed alone: in the
share of tokens that are accepted drafts, and in block efficiency, the tokens
per verifier call.

Letters: E examples, R resamples, P prompts of a batch.
"""

import contextlib
import dataclasses
import functools
import sys
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import jax
import numpy as np
import pydantic
from etils import epath

from speccascade import config, methods, pairs
from speccascade.decoding import schedules
from speccascade.reports.render import escape, tables
from speccascade.runs import environment, memory, profiling
from speccascade.storage import lines
from speccascade.studies import base
from speccascade.sweeps import batches, points
from speccascade.tasks import bootstrap


class Acceptance(base.Study):
  """Drafters of one verifier.

  Attributes:
    drafters: 'label=checkpoint' of each; () is the pair's own drafter. Others
      are compared with the first.
    num_examples: of the split, at least 2: errors are over the examples.
    temperatures: of both models.
    gamma: draft length.
    batch_size: prompts decoded at a time.
  """

  drafters: tuple[str, ...] = ()
  num_examples: Annotated[config.Examples, pydantic.Field(ge=2)] = 500
  temperatures: tuple[config.Temperature, ...] = pydantic.Field(
    (0.0, 1.0), min_length=1
  )
  gamma: config.Gamma = 8
  batch_size: config.Rows = 50

  @pydantic.field_validator('drafters')
  @classmethod
  def _check_drafters(cls, value):
    for text in value:
      if not all(text.partition('=')):
        raise ValueError(f'drafters: each must be label=checkpoint, got {text}')
    labels = [text.partition('=')[0] for text in value]
    if len(set(labels)) < len(labels):
      raise ValueError(f'drafters={value} must have distinct labels')
    return value

  @property
  def named(self) -> dict[str, str]:
    """{label: checkpoint}, in their order."""
    parts = (text.partition('=') for text in self.drafters)
    return {label: path for label, _, path in parts}


@dataclasses.dataclass(frozen=True)
class Counts:
  """Counts of each example, with one drafter at one temperature.

  Attributes:
    token_E: tokens of the answer.
    call_E: verifier calls.
    accepted_E: tokens that are accepted drafts.
    divergence_E: sum over the tokens of D_TV(p, q), the expected rejections.
  """

  token_E: np.ndarray
  call_E: np.ndarray
  accepted_E: np.ndarray
  divergence_E: np.ndarray


def run(
  study: Acceptance,
  out: epath.PathLike | None = None,
  profile: profiling.Profile | None = None,
) -> str:
  """Compares drafters; returns their table and a line that says of what.

  Args:
    study: Acceptance.
    out: JSONL file; each row is appended to it once it is known.
    profile: of the first drafter's first batch.

  Raises:
    ValueError: `out` exists, or as `compare`.
  """
  if out is not None and epath.Path(out).exists():
    raise ValueError(f'{out} exists; choose another --out or delete it')
  workload = study.workload(study.num_examples)
  drafters = load_drafters(study, workload.pair)
  memory.tell('with the models loaded')
  told = environment.describe() | {
    'pair': workload.pair.name,
    'task': workload.task.name,
    'num_examples': study.num_examples,
    'gamma': study.gamma,
    'seed': study.seed,
    'dtype': study.numbers,
  }
  if profile is not None:
    _profile(study, workload, next(iter(drafters.values())), profile)
  rows = []
  with contextlib.nullcontext() if out is None else lines.Log(out) as log:
    for row in compare(study, workload, drafters):
      if not rows:
        memory.tell('after the first drafter')
      rows.append(row)
      if log is not None:
        log.append([told | row])
      done = f'{row["drafter"]} at temperature {row["temperature"]:g}'
      print(escape.line(done), file=sys.stderr, flush=True)
  versions = ', '.join(f'{k} {v}' for k, v in told['versions'].items())
  return f'{table(rows)}\n\n' + escape.line(
    f'{told["task"]}, pair {told["pair"]}, strict, γ = {study.gamma}, '
    f'{study.num_examples} examples; {told["device"]}, {study.numbers}, seed '
    f'{study.seed}; {versions}'
  )


def load_drafters(
  study: Acceptance, pair: pairs.Pair
) -> dict[str, tuple[Any, Any]]:
  """Loads drafters for a pair's verifier.

  Args:
    study: Acceptance, whose `named` are loaded, or the pair's own.
    pair: of the study.

  Returns:
    {label: (model, parameters)}.

  Raises:
    ValueError: a file is no checkpoint.
  """
  if not study.named:
    return {'drafter': (pair.drafter, pair.drafter_params)}
  return {
    label: study.load_drafter(path, pair) for label, path in study.named.items()
  }


def compare(
  study: Acceptance,
  workload: batches.Workload,
  drafters: Mapping[str, tuple[Any, Any]],
) -> Iterator[dict[str, Any]]:
  """Decodes examples under strict with each drafter.

  Args:
    study: Acceptance.
    workload: of the pair whose verifier is used.
    drafters: what `load_drafters` returned.

  Yields:
    For each temperature and, within, drafter: what `row` returns, compared
    with the first drafter, and 'drafter' and 'temperature'.

  Raises:
    ValueError: a drafter does not fit the verifier, or a model gave a logit
      that is not finite.
  """
  for temperature in study.temperatures:
    first, setting = None, _setting(study, temperature)
    for label, drafter in drafters.items():
      counts = _count(_with(drafter, workload), setting, study)
      first = counts if first is None else first
      yield {
        'drafter': label,
        'temperature': float(temperature),
        **row(counts, first),
      }


def _setting(study, temperature):
  return points.Setting(
    methods.STRICT.name, (), float(temperature), 1.0, 0, study.seed
  )


def _with(drafter, workload):
  """The workload of another drafter (model, parameters)."""
  model, params = drafter
  pair = dataclasses.replace(
    workload.pair, drafter=model, drafter_params=params
  )
  return dataclasses.replace(workload, pair=pair)


def _batches(workload, study):
  """(Prompts, index_P, how many of them count) of each batch."""
  E = len(workload.examples)
  size = min(study.batch_size, E)
  for index_P, count, width in batches.by_width(workload, range(E), size):
    yield batches.prompts(workload, index_P, width=width), index_P, count


def _profile(study, workload, drafter, profile):
  """Profiles the first batch of a drafter."""
  own = _with(drafter, workload)
  prompts, *_ = next(_batches(own, study))
  settings = [_setting(study, study.temperatures[0])]
  asked = own, prompts, settings, schedules.Plan(study.gamma)
  profile('acceptance', functools.partial(batches.start, *asked))


def _count(workload, setting, study):
  """Counts of one drafter at one temperature."""
  plan, parts, order = schedules.Plan(study.gamma), [], []
  for prompts, index_P, count in _batches(workload, study):
    result = batches.decode(workload, prompts, [setting], plan)
    told = result.counts
    taken = told.verifier_calls_B, told.accepted_B, told.divergence_B
    arrays = jax.device_get((result.length_B, *taken))
    parts.append([x_B[:count] for x_B in arrays])
    order += index_P[:count].tolist()
  joined = map(np.concatenate, zip(*parts, strict=True))
  return Counts(*(x_E[np.argsort(order)] for x_E in joined))


def row(counts: Counts, first: Counts) -> dict[str, float]:
  """Returns the numbers of a drafter, compared with another's.

  Args:
    counts: Counts.
    first: those of the drafter it is compared with, on the same examples.

  Returns:
    {name: number}: 'acceptance', accepted over all tokens; 'divergence', mean
    D_TV(p, q) of a token; 'block_efficiency', tokens over verifier calls;
    'change', block efficiency over the first's, minus 1; and the standard
    errors of the last two, '..._stderr'.
  """
  tokens = counts.token_E.sum()
  index_RxE = bootstrap.resamples(len(counts.token_E))
  efficiency, stderr = bootstrap.ratio(counts.token_E, counts.call_E, index_RxE)
  before, _ = bootstrap.ratio(first.token_E, first.call_E, index_RxE)
  change_R = _efficiency(counts, index_RxE) / _efficiency(first, index_RxE)
  return {
    'acceptance': float(counts.accepted_E.sum() / tokens),
    'divergence': float(counts.divergence_E.sum() / tokens),
    'block_efficiency': efficiency,
    'block_efficiency_stderr': stderr,
    'change': efficiency / before - 1,
    'change_stderr': float(change_R.std()),
  }


def _efficiency(counts, index_RxE):
  """Tokens per verifier call of each resample."""
  token_R = bootstrap.sums(counts.token_E, index_RxE)
  return token_R / bootstrap.sums(counts.call_E, index_RxE)


def table(rows: list[dict[str, Any]]) -> str:
  """Returns a Markdown table, a line for each row that `compare` yields."""
  columns = ['drafter', 'temperature', 'accepted', 'D_TV', 'block efficiency']
  cells = [
    [
      x['drafter'],
      f'{x["temperature"]:g}',
      f'{x["acceptance"]:.1%}',
      f'{x["divergence"]:.4f}',
      f'{x["block_efficiency"]:.2f} ± {x["block_efficiency_stderr"]:.2f}',
      '–'
      if x['drafter'] == rows[0]['drafter']
      else f'{x["change"]:+.1%} ± {x["change_stderr"]:.1%}',
    ]
    for x in rows
  ]
  return tables.markdown(tables.Table([*columns, 'change'], cells)).rstrip()
