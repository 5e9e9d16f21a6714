"""A sweep from its config to its records; killed, it goes on where it was."""

from etils import epath

from speccascade import progress, records
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
  points = {
    temperature: latency.points(
      [
        setting
        for settings_ in by_rule.values()
        for setting in settings_
        if setting.temperature == temperature
      ],
      tuple(config.gammas),
    )
    for temperature in config.temperatures
  }
  turns = config.latency_examples * config.trials
  total = sum(map(len, by_rule.values())) * config.num_examples
  total += sum(map(len, points.values())) * turns * _TIMED
  with progress.Progress(total, 'units') as bar:
    outputs = {}
    for rule, settings_ in by_rule.items():
      bar.describe(f'{rule}: outputs')
      outputs |= quality.collect(
        load,
        settings_,
        _quality_gamma(config),
        config.batch_size,
        workdir / 'outputs' / f'{rule}.jsonl',
        bar.advance,
      )
    for temperature, own in points.items():
      weight = len(own) * _TIMED
      if all(setting.id(gamma) in done for setting, gamma in own):
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
      for setting, gamma in own:
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
