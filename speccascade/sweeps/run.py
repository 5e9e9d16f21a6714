"""A sweep from its config to its records; killed, it goes on where it was."""

import json

from etils import epath

from speccascade import progress, records
from speccascade.sweeps import latency, quality, settings, workload

# Prompts of a trial count as much as so many outputs in the progress bar.
_TIMED = 20


def run(config, workdir):
  """Measures every point that `workdir` has no record of yet.

  Writes to `workdir`: config.json, records.jsonl (a point a line, appended
  when it is finished) and outputs/ (every generated text with its score).

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
  _claim(config, workdir / 'config.json')
  path = workdir / 'records.jsonl'
  records.repair(path)
  environment = records.environment()
  done = {record['id'] for record in records.read(path)}
  # The baselines are timed together, every other rule beside them.
  first = (*settings.ALONE, 'strict')
  groups = [first, *((rule,) for rule in by_rule if rule not in first)]
  timed = config.latency_examples * config.trials * _TIMED
  total = timed * len(config.temperatures) * len(groups)
  total += sum(map(len, by_rule.values())) * config.num_examples
  with progress.Progress(total, 'units') as bar:
    for group in groups:
      outputs = {}
      for rule in group:
        bar.describe(f'{rule}: outputs')
        outputs |= quality.collect(
          load,
          by_rule[rule],
          _quality_gamma(config),
          config.batch_size,
          workdir / 'outputs' / f'{rule}.jsonl',
          bar.advance,
        )
      for temperature in config.temperatures:
        own = [
          setting
          for rule in group
          for setting in by_rule[rule]
          if setting.temperature == temperature
        ]
        points = [
          (setting, gamma)
          for setting in own
          for gamma in latency.draft_lengths(setting, config.gammas)
        ]
        if all(s.id(gamma) in done for s, gamma in points):
          bar.advance(timed)
          continue
        bar.describe(f'{group[-1]}: latency at temperature {temperature:g}')
        seconds = latency.measure(
          load,
          own,
          tuple(config.gammas),
          config.latency_examples,
          config.trials,
          lambda n: bar.advance(n * _TIMED),
        )
        for setting, gamma in points:
          if setting.id(gamma) in done:
            continue
          records.append(
            path,
            _identity(config, load.task.metric, setting, gamma)
            | quality.summarise(outputs[setting.id()], setting.rule, gamma)
            | latency.summarise(seconds, setting, gamma)
            | environment,
          )
  return records.read(path)


def _quality_gamma(config):
  """A middle draft length: few verifier calls, few wasted drafts."""
  return sorted(config.gammas)[len(config.gammas) // 2]


def _identity(config, metric, setting, gamma):
  return {
    'id': setting.id(gamma),
    'task': config.task,
    'pair': config.pair,
    'rule': setting.rule,
    'alpha': setting.alpha,
    'gamma': gamma,
    'temperature': setting.temperature,
    'top_p': setting.top_p,
    'top_k': setting.top_k,
    'seed': setting.seed,
    'metric': metric,
    'latency_examples': config.latency_examples,
    'dtype': config.dtype,
  }


def _claim(config, path):
  """Keeps the config of a new workdir; refuses another one for an old."""
  own = json.loads(config.to_json())
  if not path.exists():
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(own, indent=2) + '\n')
    return
  try:
    old = json.loads(path.read_text())
  except ValueError:  # Torn: nothing was measured yet.
    path.write_text(json.dumps(own, indent=2) + '\n')
    return
  differ = sorted(
    k for k in own.keys() | old.keys() if own.get(k) != old.get(k)
  )
  if differ:
    raise ValueError(
      f'{path.parent} holds a sweep with another {", ".join(differ)}; choose '
      'another workdir or restore the config'
    )
