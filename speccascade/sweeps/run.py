"""A sweep from its config to its records; killed, it goes on where it was."""

import contextlib
import dataclasses
import json
from typing import Any

import jax
from etils import epath

from speccascade import benchmark, pairs, progress, records
from speccascade import workdir as workdir_lib
from speccascade.decoding import blocks
from speccascade.sweeps import latency, prediction, quality, settings, workload

# A timed decoding counts as much as so many outputs in the progress bar.
_TIMED = 4


def run_all(config, workdir):
  """Runs the sweep of a config, or each of its `cells` in a folder of its own.

  Args:
    config: ConfigDict of a sweep, or with `cells`: {name: such a ConfigDict}.
    workdir: folder; the same one resumes.

  Returns:
    All records, in order.

  Raises:
    ValueError: as `run`, for any of them before one is decoded.
  """
  if 'cells' not in config:
    return run(config, workdir)
  for cell in config.cells.values():
    settings.by_rule(cell)
  with contextlib.ExitStack() as stack:
    begun, owners = [], {}
    for name, cell in config.cells.items():
      own = _begin(cell, epath.Path(workdir) / name)
      begun.append(stack.enter_context(own))
      key = begun[-1].load.pair.name, cell.task
      if (other := owners.setdefault(key, name)) != name:
        raise ValueError(
          f'cells {other} and {name} are both pair {key[0]} and task {key[1]}: '
          'one report could not tell them apart; sweep one on its own'
        )
    found = []
    for sweep in begun:
      found += _measure(sweep)
      # Each program maps memory, and the system grants a process only so many
      # maps: those of many plans and prompt widths come near to it.
      jax.clear_caches()
    return found


def run(config, workdir):
  """Measures every point that `workdir` has no record of yet.

  Writes to `workdir`: config.json, environment.json (what measures), outputs/
  (every generated text with its score), timings.jsonl (a line a prompt and
  trial) and records.jsonl (a point a line). Each line is appended as soon as
  it is known.

  Args:
    config: ConfigDict; see configs/quickstart.py.
    workdir: folder of this sweep; the same one resumes.

  Returns:
    All records, in order.

  Raises:
    ValueError: the config is out of range, `workdir` is of another config, or
      made by another machine, code or pair, or another process writes to it.
  """
  with _begin(config, workdir) as begun:
    return _measure(begun)


@dataclasses.dataclass(frozen=True)
class _Begun:
  """A sweep whose workdir is claimed and locked."""

  config: Any
  workdir: epath.Path
  load: workload.Workload
  environment: dict


@contextlib.contextmanager
def _begin(config, workdir):
  """Loads what a config names and holds its workdir; see `run`."""
  settings.by_rule(config)
  load = workload.load(config)
  workdir = epath.Path(workdir)
  environment = records.environment()
  digests = pairs.digests(config.pair) | {'code': workdir_lib.code_digest()}
  with workdir_lib.lock(workdir):
    workdir_lib.claim(config, workdir / 'config.json')
    workdir_lib.claim_environment(
      environment | {'sha256': digests}, workdir / 'environment.json'
    )
    yield _Begun(config, workdir, load, environment)


def _measure(begun):
  """Measures what is missing and returns all records."""
  config, workdir, load = begun.config, begun.workdir, begun.load
  by_rule = settings.by_rule(config)
  path = workdir / 'records.jsonl'
  records.repair(path)
  done = {record['id'] for record in records.read(path)}
  plans = settings.plans(config)
  widths = [
    workload.padded(length)
    for length in load.length_N[: config.latency_examples]
  ]
  load = _with_costs(load, plans, widths, workdir / 'costs.json')
  scheduled = [plan for plan in plans if plan.schedule != 'fixed']
  every = [setting for group in by_rule.values() for setting in group]
  points = {
    sampling: latency.points(
      [setting for setting in every if setting.sampling == sampling], plans
    )
    for sampling in dict.fromkeys(setting.sampling for setting in every)
  }
  turns = config.latency_examples * config.trials
  decoded = [
    (rule, plan, plan in scheduled)
    for rule, settings_ in by_rule.items()
    for plan in (
      (_quality_plan(config), *scheduled) if settings_[0].drafts else (None,)
    )
  ]
  total = sum(len(by_rule[rule]) for rule, *_ in decoded) * config.num_examples
  total += sum(map(len, points.values())) * turns * _TIMED
  with progress.Progress(total, 'units') as bar:
    outputs = {}
    for rule, plan, counts_only in decoded:
      bar.describe(f'{rule}: {"counts" if counts_only else "outputs"}')
      outputs |= quality.collect(
        load,
        by_rule[rule],
        plan,
        config.batch_size,
        workdir / 'outputs' / f'{rule}.jsonl',
        bar.advance,
        counts_only,
      )
    for (temperature, top_p), own in points.items():
      weight = len(own) * _TIMED
      if all(setting.id(plan) in done for setting, plan in own):
        bar.advance(turns * weight)
        continue
      bar.describe(f'latency at temperature {temperature:g}, top-p {top_p:g}')
      seconds = latency.measure(
        load,
        own,
        config.latency_examples,
        config.trials,
        workdir / 'timings.jsonl',
        lambda n, weight=weight: bar.advance(n * weight),
      )
      for setting, plan in own:
        name = setting.id(plan)
        if name in done:
          continue
        text, counted = outputs[setting.id()], outputs.get(name)
        records.append(
          path,
          _identity(config, load, setting, plan)
          | quality.summarise(text, load.task.metric, setting, plan, counted)
          | latency.summarise(seconds, setting, plan)
          | {
            'predicted_seconds': prediction.seconds(
              text[: config.latency_examples], widths, load.costs, setting, plan
            )
          }
          | begun.environment,
        )
  return records.read(path)


def _quality_plan(config):
  """A middle draft length: few verifier calls, few wasted drafts."""
  return settings.Plan(sorted(config.gammas)[len(config.gammas) // 2])


def _with_costs(load, plans, widths, path):
  """The workload with what the parts of an answer cost, measured once."""
  try:
    costs = benchmark.Costs(**json.loads(path.read_text()))
  except (FileNotFoundError, ValueError, TypeError):  # None yet, or torn.
    prompts = [
      workload.prompts(load, [widths.index(width)])
      for width in sorted(set(widths))
    ]
    costs = benchmark.costs(
      load.pair, prompts, _block_widths(plans), load.task.max_new_tokens
    )
    path.write_text(json.dumps(dataclasses.asdict(costs)) + '\n')
  return dataclasses.replace(load, costs=costs)


def _block_widths(plans):
  """Widths of all blocks that the verifier may be given, 1 among them."""
  found = {1}
  for plan in plans:
    found |= set(blocks.widths(plan.gamma + 1, plan.schedule == 'fixed'))
  return sorted(found)


def _identity(config, load, setting, plan):
  return {
    'id': setting.id(plan),
    'task': config.task,
    'pair': load.pair.name,
    'rule': setting.rule,
    'alpha': setting.alpha,
    'gamma': plan and plan.gamma,
    'schedule': plan and plan.schedule,
    'schedule_parameter': plan and plan.parameter,
    'temperature': setting.temperature,
    'top_p': setting.top_p,
    'top_k': setting.top_k,
    'seed': setting.seed,
    'metric': load.task.metric,
    'latency_examples': config.latency_examples,
    'dtype': config.dtype,
  }
