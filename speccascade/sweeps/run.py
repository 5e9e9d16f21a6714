"""A sweep from its config to its records; killed, it goes on where it was."""

import contextlib
import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import Any

import jax
from etils import epath

from speccascade import pairs, tasks
from speccascade.decoding import blocks
from speccascade.methods import base
from speccascade.runs import environment, progress, records
from speccascade.runs import workdir as workdir_lib
from speccascade.sweeps import batches, latency, points, quality
from speccascade.sweeps import config as config_lib
from speccascade.timing import costs as costs_lib
from speccascade.timing import prediction

# A timed decoding counts as much as so many outputs in the progress bar.
_TIMED = 4


def run_all(
  sweeps: Mapping[str, config_lib.Sweep], workdir: epath.PathLike
) -> list[dict[str, Any]]:
  """Runs a sweep, or several, each in a folder of its own.

  Args:
    sweeps: {name of a folder in `workdir`: Sweep}, '' for `workdir` itself.
    workdir: folder; the same one resumes.

  Returns:
    All records, in order.

  Raises:
    ValueError: as `run`, for any of them before one is decoded.
  """
  with contextlib.ExitStack() as stack:
    begun, owners = [], {}
    for name, sweep in sweeps.items():
      own = _begin(sweep, epath.Path(workdir) / name)
      begun.append(stack.enter_context(own))
      key = begun[-1].load.pair.name, sweep.task
      if (other := owners.setdefault(key, name)) != name:
        raise ValueError(
          f'cells {other} and {name} have pair {key[0]} and task {key[1]}, '
          'which one report cannot tell apart; sweep one on its own'
        )
    found = []
    for own in begun:
      found += _measure(own)
      # Each program maps memory, and the system grants a process only so many
      # maps: those of many plans and prompt widths come near to it.
      jax.clear_caches()
    return found


def run(
  sweep: config_lib.Sweep, workdir: epath.PathLike
) -> list[dict[str, Any]]:
  """Measures every point that `workdir` has no record of yet.

  Writes to `workdir`: config.json, environment.json (what measures), outputs/
  (every generated text with its score), timings.jsonl (a line a prompt and
  trial) and records.jsonl (a point a line). Each line is appended as soon as
  it is known.

  Args:
    sweep: Sweep.
    workdir: folder of this sweep; the same one resumes.

  Returns:
    All records, in order.

  Raises:
    ValueError: the pair or task is not there or does not fit, `workdir` was
      created with another config, machine, code or pair, or another process
      writes to it.
  """
  with _begin(sweep, workdir) as begun:
    return _measure(begun)


@dataclasses.dataclass(frozen=True)
class _Begun:
  """A sweep whose workdir is claimed and locked."""

  sweep: config_lib.Sweep
  workdir: epath.Path
  load: batches.Workload
  environment: dict


@contextlib.contextmanager
def _begin(sweep, workdir) -> Iterator[_Begun]:
  """Loads what a sweep names and holds its workdir; see `run`."""
  load = batches.load(
    pairs.load(sweep.pair, sweep.dtype),
    tasks.load(sweep.task, sweep.task_args),
    sweep.split,
    sweep.num_examples,
    sweep.max_prompt_tokens,
  )
  workdir = epath.Path(workdir)
  described = environment.describe()
  digests = pairs.digests(sweep.pair) | {'code': environment.code_digest()}
  with workdir_lib.lock(workdir):
    workdir_lib.claim(sweep.to_dict(), workdir / 'config.json')
    workdir_lib.claim_environment(
      described | {'sha256': digests}, workdir / 'environment.json'
    )
    yield _Begun(sweep, workdir, load, described)


def _measure(begun):
  """Measures what is missing and returns all records."""
  sweep, workdir = begun.sweep, begun.workdir
  path = workdir / 'records.jsonl'
  records.repair(path)
  done = {record['id'] for record in records.read(path)}
  settings, plans = points.settings(sweep), points.plans(sweep)
  widths = [
    batches.padded(length)
    for length in begun.load.length_E[: sweep.latency_examples]
  ]
  load = _with_costs(begun.load, plans, widths, workdir / 'costs.json')
  jobs = quality.jobs(settings, plans)
  timed = {
    sampling: points.points(
      [s for s in settings if s.sampling == sampling], plans
    )
    for sampling in dict.fromkeys(s.sampling for s in settings)
  }
  turns = sweep.latency_examples * sweep.trials
  total = sum(len(job.settings) for job in jobs) * sweep.num_examples
  total += sum(map(len, timed.values())) * turns * _TIMED
  with progress.Progress(total, 'units') as bar:
    texts, counted = {}, {}
    for job in jobs:
      bar.describe(job.label)
      found = quality.collect(
        load, job, sweep.batch_size, workdir / 'outputs', bar.advance
      )
      texts |= found if job.keeps != 'counts' else {}
      counted |= found if job.keeps != 'text' else {}
    for (temperature, top_p), own in timed.items():
      weight = len(own) * _TIMED
      if all(setting.id(plan) in done for setting, plan in own):
        bar.advance(turns * weight)
        continue
      bar.describe(f'latency at temperature {temperature:g}, top-p {top_p:g}')
      seconds = latency.measure(
        load,
        own,
        sweep.latency_examples,
        sweep.trials,
        workdir / 'timings.jsonl',
        lambda n, weight=weight: bar.advance(n * weight),
      )
      for setting, plan in own:
        if setting.id(plan) in done:
          continue
        outputs = texts[setting.text_id(plan)]
        records.append(
          path,
          _identity(sweep, load, setting, plan)
          | quality.summarise(
            outputs,
            load.task.metric,
            setting,
            plan,
            counted.get(setting.id(plan)),
          )
          | latency.summarise(seconds, setting, plan)
          | {
            'predicted_seconds': _predicted(
              outputs[: len(widths)], widths, load.costs, setting, plan
            )
          }
          | begun.environment,
        )
  return records.read(path)


def _predicted(outputs, widths, costs, setting, plan):
  """Seconds that counts and costs predict, or None where they do not."""
  replayed = plan is not None and not setting.of.plan_changes_text
  gamma = plan.gamma if replayed and plan.fixed else None
  return prediction.seconds(outputs, widths, costs, setting.of.role, gamma)


def _with_costs(load, plans, widths, path):
  """The workload with what the parts of an answer cost, measured once."""
  try:
    costs = costs_lib.Costs(**json.loads(path.read_text()))
  except (FileNotFoundError, ValueError, TypeError):  # None yet, or torn.
    prompts = [
      batches.prompts(load, [widths.index(width)])
      for width in sorted(set(widths))
    ]
    costs = costs_lib.costs(
      load.pair, prompts, _block_widths(plans), load.task.max_new_tokens
    )
    path.write_text(json.dumps(dataclasses.asdict(costs)) + '\n')
  return dataclasses.replace(load, costs=costs)


def _block_widths(plans):
  """Widths of all blocks that the verifier may be given, 1 among them."""
  found = {1}
  for plan in plans:
    found |= set(blocks.widths(plan.gamma + 1, plan.fixed))
  return sorted(found)


def _identity(sweep, load, setting, plan):
  return {
    'id': setting.id(plan),
    'task': sweep.task,
    'pair': load.pair.name,
    'method': setting.method,
    'parameters': setting.parameters,
    'traits': base.traits(setting.of),
    'gamma': plan and plan.gamma,
    'schedule': plan and plan.schedule,
    'schedule_parameter': plan and plan.parameter,
    'temperature': setting.temperature,
    'top_p': setting.top_p,
    'top_k': setting.top_k,
    'seed': setting.seed,
    'metric': load.task.metric,
    'latency_examples': sweep.latency_examples,
    'dtype': sweep.dtype,
  }
