"""A sweep from its config to its records; killed, it goes on where it was."""

import dataclasses
import json

from etils import epath

from speccascade import benchmark, progress, records
from speccascade import workdir as workdir_lib
from speccascade.sweeps import latency, quality, settings, workload

# A timed decoding counts as much as so many outputs in the progress bar.
_TIMED = 4


def run(config, workdir):
  """Measures every point that `workdir` has no record of yet.

  Writes to `workdir`: config.json, outputs/ (every generated text with its
  score), timings.jsonl (a line a prompt and trial) and records.jsonl (a point
  a line). Each line is appended as soon as it is known.

  Args:
    config: ConfigDict; see configs/quickstart.py.
    workdir: folder of this sweep; the same one resumes.

  Returns:
    All records, in order.

  Raises:
    ValueError: the config is out of range or not the one of `workdir`.
  """
  by_rule = settings.by_rule(config)
  load = workload.load(config)
  workdir = epath.Path(workdir)
  workdir_lib.claim(config, workdir / 'config.json')
  path = workdir / 'records.jsonl'
  records.repair(path)
  environment = records.environment()
  done = {record['id'] for record in records.read(path)}
  plans = settings.plans(config)
  load = _with_costs(load, plans, workdir / 'costs.json')
  scheduled = [plan for plan in plans if plan.schedule != 'fixed']
  points = {
    temperature: latency.points(
      [
        setting
        for settings_ in by_rule.values()
        for setting in settings_
        if setting.temperature == temperature
      ],
      plans,
    )
    for temperature in config.temperatures
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
    for temperature, own in points.items():
      weight = len(own) * _TIMED
      if all(setting.id(plan) in done for setting, plan in own):
        bar.advance(turns * weight)
        continue
      bar.describe(f'latency at temperature {temperature:g}')
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
          _identity(config, load.task.metric, setting, plan)
          | quality.summarise(text, setting, plan, counted)
          | latency.summarise(seconds, setting, plan)
          | environment,
        )
  return records.read(path)


def _quality_plan(config):
  """A middle draft length: few verifier calls, few wasted drafts."""
  return settings.Plan(sorted(config.gammas)[len(config.gammas) // 2])


def _with_costs(load, plans, path):
  """The workload with what drafts cost, measured once a folder."""
  longest = max((p.gamma for p in plans if p.schedule == 'cost'), default=None)
  if longest is None:
    return load
  try:
    cost_G = json.loads(path.read_text())
  except (FileNotFoundError, ValueError):  # None yet, or torn.
    cost_G = benchmark.costs(load.pair, workload.prompts(load, [0]), longest)
    path.write_text(json.dumps(cost_G) + '\n')
  return dataclasses.replace(load, cost_G=tuple(cost_G))


def _identity(config, metric, setting, plan):
  return {
    'id': setting.id(plan),
    'task': config.task,
    'pair': config.pair,
    'rule': setting.rule,
    'alpha': setting.alpha,
    'gamma': plan and plan.gamma,
    'schedule': plan and plan.schedule,
    'schedule_parameter': plan and plan.parameter,
    'temperature': setting.temperature,
    'top_p': setting.top_p,
    'top_k': setting.top_k,
    'seed': setting.seed,
    'metric': metric,
    'latency_examples': config.latency_examples,
    'dtype': config.dtype,
  }
