"""What makes a workdir another one: all that the results in it depend on.

That is the content of the examples and of the pair, never where they lie; the
task's settings, the seed, top-k and type of numbers; the code that decodes,
scores and times; device and versions. Points, numbers of examples, timed
examples and trials, and the batch size may change between runs.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

from etils import epath

from speccascade import pairs
from speccascade.runs import environment
from speccascade.runs import workdir as workdir_lib
from speccascade.storage import field_types, json_text, lines
from speccascade.sweeps import config as config_lib
from speccascade.sweeps import outputs
from speccascade.tasks import base
from speccascade.tasks.example import Example

# Of a sweep's config: what no result of a point depends on. The pair and the
# data are known by their content; longer prompts than max_prompt_tokens are
# refused, and others are not changed.
_FREE = (
  'pair',
  'drafter',
  'verifier',
  'task_args',
  'num_examples',
  'max_prompt_tokens',
  'methods',
  'gammas',
  'schedules',
  'schedule_gamma',
  'temperatures',
  'top_ps',
  'batch_size',
  'latency_examples',
  'trials',
)
_DATA = 'path'  # The argument of tasks that says where their data lie.

# The code that results depend on.
ROOMS = (
  'checkpoints',
  'decoding',
  'execution',
  'hosts',
  'methods',
  'models',
  'pairs',
  'rules',
  'sampling',
  'sharding',
  'sweeps/batches',
  'sweeps/jobs',
  'sweeps/latency',
  'sweeps/outputs',
  'sweeps/points',
  'sweeps/quality',
  'sweeps/record',
  'sweeps/served',
  'sweeps/whole',
  'tasks',
  'timing/clock',
  'timing/costs',
  'timing/parts',
  'timing/prediction',
  'timing/turns',
  'tokenizers',
)
_EXAMPLE = {'example': int, 'prompt': str, 'reference': str}


def claim(
  sweep: config_lib.Sweep,
  pair: pairs.Pair,
  task: base.Task,
  examples: Sequence[Example],
  described: dict[str, Any],
  workdir: epath.Path,
) -> None:
  """Writes what a new workdir depends on; refuses another for an old.

  Args:
    sweep: Sweep.
    pair: of the sweep.
    task: likewise.
    examples: that it decodes.
    described: `environment.describe`.
    workdir: Path, locked.

  Raises:
    ValueError: the workdir was created with something else.
  """
  digests = {**pair.digests, 'code': environment.code_digest(*ROOMS)}
  depends = {
    'device': described['device'],
    'versions': described['versions'],
    'sha256': digests,
    'task_args': {k: v for k, v in sweep.task_args.items() if k != _DATA},
    'prompts': task.settings(),
  }
  workdir_lib.claim(sweep.to_dict(), workdir / 'config.json', free=_FREE)
  workdir_lib.claim_environment(depends, workdir / 'environment.json')
  _claim_examples(examples, workdir / 'examples.jsonl', sweep)


def digests(workdir: epath.Path) -> dict[str, bytes]:
  """Returns SHA-256 digests of what `claim` has written, by what it is of."""
  names = {
    'config': 'config.json',
    'environment, code or model': 'environment.json',
    'set of examples': 'examples.jsonl',
  }
  return {
    of: hashlib.sha256((workdir / name).read_bytes()).digest()
    for of, name in names.items()
  }


def _claim_examples(examples, path, sweep):
  log = lines.Log(path, _parse)
  own = [
    {
      'example': i,
      'prompt': _digest(example.prompt),
      'reference': _digest(example.reference),
    }
    for i, example in enumerate(examples)
  ]
  for then, now in zip(log.lines, own, strict=False):
    if changed := [k for k in now if then[k] != now[k]]:
      raise ValueError(
        f'{path.parent} was created with another {changed[0]} of example '
        f'{now["example"]} of {sweep.task}, split {sweep.split}; use a new '
        '--workdir or restore the original data'
      )
  log.append(own[len(log.lines) :])
  log.close()


def _parse(line):
  example = json_text.loads(line)
  if not isinstance(example, dict):
    raise ValueError(f'an example must be an object, got {example!r:.40}')
  field_types.check(example, _EXAMPLE, 'an example')
  return example


def _digest(text):
  """Of a text, or of several."""
  return outputs.short_digest(json_text.dumps(text).encode())
