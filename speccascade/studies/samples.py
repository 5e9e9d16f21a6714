"""Several answers to each prompt: pass@k, and what the majority says.

Letters: E examples, n answers to each.
"""

import dataclasses
import sys
from concurrent import futures

import numpy as np
import pydantic
from etils import epath

from speccascade import config, methods
from speccascade.decoding import schedules
from speccascade.reports.render import page, tables
from speccascade.reports.render import samples as figure
from speccascade.runs import environment, memory, progress
from speccascade.runs import workdir as workdir_lib
from speccascade.sampling import probabilities
from speccascade.storage import files, lines
from speccascade.studies import base
from speccascade.sweeps import batches, points, served
from speccascade.tasks import bootstrap, metrics, several

_FREE = 'methods', 'ks', 'num_examples', 'slots'
_DPI = 120


class Samples(base.Study):
  """Methods of one draft length and sampling, n answers a prompt.

  Attributes:
    methods: names of `methods.METHODS`.
    alpha: of those that take a parameter.
    gamma: draft length of those that draft.
    temperature: of both models, above 0.
    top_p: likewise.
    samples: n.
    ks: of pass@k, at most n.
    num_examples: E.
    slots: answers that are decoded at a time.
  """

  methods: tuple[str, ...] = pydantic.Field(
    ('verifier_alone', 'strict', 'token_v3'), min_length=1
  )
  alpha: config.Float = 0.3
  gamma: config.Gamma = 5
  temperature: config.float32(gt=0) = 1.0
  top_p: config.float32(gt=0, le=1) = 1.0
  samples: config.Rows = 8
  ks: tuple[config.Rows, ...] = pydantic.Field((1, 2, 4, 8), min_length=1)
  num_examples: config.Examples = 100
  slots: config.Rows = 64

  @pydantic.model_validator(mode='after')
  def _check_methods(self):
    if len(set(self.methods)) < len(self.methods):
      raise ValueError(f'methods={self.methods} must differ')
    for name in self.methods:
      parameters = methods.get(name).parameters
      if len(parameters) > 1:
        raise ValueError(f'methods={name!r} takes more than alpha')
      for parameter in parameters:
        parameter.check(self.alpha, name)
    return self

  @pydantic.model_validator(mode='after')
  def _check_ks(self):
    config.check_distinct('ks', self.ks)
    if max(self.ks) > self.samples:
      raise ValueError(
        f'ks={self.ks} must not exceed samples={self.samples}, the answers to '
        'a prompt'
      )
    return self


def run(study: Samples, workdir: epath.PathLike) -> str:
  """Decodes what `workdir` lacks.

  Writes samples.jsonl, a line an answer, table.md and samples.png to it.

  Returns:
    The table.

  Raises:
    ValueError: the pair, task or examples are not there or do not fit, answers
      of the task are not right or wrong, or `workdir` was created with other
      settings.
  """
  workload = dataclasses.replace(
    study.workload(study.num_examples),
    asked=probabilities.asked(study.temperature, study.top_p),
  )
  metric = metrics.get(workload.task.metric)
  if not metric.binary or isinstance(metric, metrics.Answered):
    raise ValueError(
      f'task={workload.task.name!r} is measured by {metric.name}: '
      'pass@k is of answers that are right or wrong'
    )
  memory.tell('with the models loaded')
  with workdir_lib.sole(workdir) as folder:
    workdir_lib.claim(study.to_dict(), folder / 'config.json', free=_FREE)
    with lines.Log(folder / 'samples.jsonl') as log:
      done = {_key(line) for line in log.lines}
      for name in study.methods:
        _decode(study, workload, name, log, done)
      found = _found(study, log.lines)
    text = _table(study, workload, found)
    files.write(folder / 'table.md', f'{text}\n')
    drawn = page.Figure('samples', lambda: figure.draw(_curves(study, found)),
                        '', '')  # fmt: skip
    files.write(folder / 'samples.png', page.png(drawn, _DPI))
  return text


def _key(line):
  return line['method'], line['example'], line['sample']


def _decode(study, workload, name, log, done):
  """Writes the lines of a method that are not there, as they end."""
  method, n = methods.get(name), study.samples
  values = (study.alpha,) * len(method.parameters)
  sampling = study.temperature, study.top_p
  setting = points.Setting(name, values, *sampling, 0, study.seed)
  items = [
    (setting, e)
    for e in range(study.num_examples)
    if any((name, e, i) not in done for i in range(n))
  ]
  if not items:
    return
  print(f'{name}: {len(items) * n} answers ...', file=sys.stderr, flush=True)
  plan = schedules.Plan(study.gamma) if method.drafts else None
  width = batches.padded(workload.length_E.max())

  def keep(own, result):
    made = _lines(workload, own, result)
    log.append([line for line in made if _key(line) not in done])
    bar.advance(len(own))

  found = served.samples(workload, items, plan, study.slots, width, n)
  with (
    progress.Progress(len(items) * n, 'answers') as bar,
    futures.ThreadPoolExecutor(1) as scorer,
  ):
    scored = scorer.submit(int)  # Nothing.
    for ended in found:
      scored.result()
      # While the rest is decoded: programs that a model wrote may take long.
      scored = scorer.submit(keep, *ended)
    scored.result()


def _lines(workload, own, result):
  token_RxN = [
    result.token_BxN[r, :length] for r, length in enumerate(result.length_B)
  ]
  texts = [batches.answer(workload, token_N) for token_N in token_RxN]
  references = [workload.examples[e].reference for (_, e), _ in own]
  judged = workload.task.judge(texts, references)
  (setting, _), _ = own[0]
  if setting.of.role is None:
    calls_R = result.counts.verifier_calls_B
  else:
    calls_R = result.length_B * (setting.of.role == 'verifier')
  for row, ((setting, example), sample) in enumerate(own):
    yield {
      'method': setting.method,
      'example': example,
      'sample': sample,
      'score': judged[row].score,
      'answer': workload.task.extract(texts[row]),
      'tokens': len(token_RxN[row]),
      'verifier_calls': int(calls_R[row]),
      'text': texts[row],
    }


def _found(study, rows):
  """{method: the lines of each example, E lists of n}."""
  own = {}
  for line in rows:
    own[_key(line)] = line
  return {
    name: [
      [own[name, e, i] for i in range(study.samples)]
      for e in range(study.num_examples)
    ]
    for name in study.methods
  }


def _pass_at(k, lines_Exn):
  """pass@k of each example."""
  return [
    several.pass_at(k, len(own), sum(x['score'] == 1 for x in own))
    for own in lines_Exn
  ]


def _majority(lines_Exn, nothing):
  """Whether what most answers say is right, of each example."""
  at_E = [
    several.majority([x['answer'] for x in own], nothing) for own in lines_Exn
  ]
  return [
    float(own[at]['score'] == 1)
    for own, at in zip(lines_Exn, at_E, strict=True)
  ]


def _mean(values_E) -> tuple[float, float]:
  """The mean over the examples and its standard error."""
  return bootstrap.ratio(values_E, np.ones(len(values_E)))


def _curves(study, found):
  """{method: {k: (pass@k, its standard error)}}."""
  return {
    name: {k: _mean(_pass_at(k, own)) for k in sorted(study.ks)}
    for name, own in found.items()
  }


def _table(study, workload, found):
  n = study.samples
  ks = sorted(study.ks)
  head = ['method', *(f'pass@{k}' for k in ks), f'majority of {n}']
  head += ['different answers', 'tokens an answer', 'tokens a verifier call']
  cells = []
  for name, own in found.items():
    flat = [line for lines_n in own for line in lines_n]
    tokens = sum(line['tokens'] for line in flat)
    calls = sum(line['verifier_calls'] for line in flat)
    rates = [_mean(_pass_at(k, own)) for k in ks]
    rates.append(_mean(_majority(own, workload.task.nothing)))
    kinds = [len({line['answer'] for line in lines_n}) for lines_n in own]
    cells.append(
      [
        name,
        *(f'{100 * x:.1f}% ± {100 * error:.1f}' for x, error in rates),
        f'{np.mean(kinds):.1f}',
        f'{tokens / len(flat):.1f}',
        f'{tokens / calls:.2f}' if calls else '–',
      ]
    )
  told = environment.describe()
  versions = ', '.join(f'{k} {v}' for k, v in told['versions'].items())
  return (
    f'{tables.markdown(tables.Table(head, cells))}\n{told["device"]}, '
    f'{study.dtype}, pair {workload.pair.name}, {study.num_examples} examples '
    f'of {workload.task.name}, {n} answers each, α = {study.alpha:g}, γ = '
    f'{study.gamma}, temperature {study.temperature:g}, top-p {study.top_p:g}; '
    f'± standard errors over examples; {versions}'
  )
