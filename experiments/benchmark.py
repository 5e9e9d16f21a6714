r"""Times the cascade loop beside its parts, schedule by schedule.

python experiments/benchmark.py --pair=translation --batch=1 --batch=8

One iteration of the loop should cost little more than its parts alone, the
drafter steps and the verifier block that it runs.
"""

import numpy as np
from absl import app, flags

from speccascade import overhead, pairs, records, tasks
from speccascade.decoding import results, schedules
from speccascade.tasks import tokenizer as tokenizer_lib

_GROUPS = 4  # Batches of prompts, which are taken in turn.

_PAIR = flags.DEFINE_string('pair', 'word_problems', 'Pair, or its folder.')
_TASK = flags.DEFINE_string('task', None, 'Gives the prompts; None: as pair.')
_SCHEDULE = flags.DEFINE_multi_enum(
  'schedule', list(schedules.SCHEDULES), schedules.SCHEDULES, 'Schedules.'
)
_GAMMA = flags.DEFINE_integer('gamma', 5, 'Draft length of fixed.', 0)
_LONGEST = flags.DEFINE_integer('longest', 24, 'Of the other schedules.', 0)
_CONFIDENCE = flags.DEFINE_float('confidence', 0.4, 'Its threshold.', 0, 1)
_TEMPERATURE = flags.DEFINE_float('temperature', 1, 'Of both models.', 0)
_BATCH = flags.DEFINE_multi_integer('batch', [1, 8], 'Rows.', lower_bound=1)
_ROUNDS = flags.DEFINE_integer('rounds', 15, 'Timings of each.', lower_bound=1)
_DTYPE = flags.DEFINE_enum(
  'dtype', 'float32', ['float32', 'bfloat16'], 'Compute type.'
)


def main(argv):
  """Measures and prints the table."""
  if len(argv) > 1:
    raise SystemExit(f'{argv[1]!r}: only flags are taken')
  try:
    _benchmark()
  except ValueError as error:
    raise SystemExit(f'benchmark: {error}') from None


def _benchmark():
  pair = pairs.load(_PAIR.value, _DTYPE.value)
  task = tasks.load(_TASK.value or pair.name, {})
  plans = dict.fromkeys(_SCHEDULE.value, (_LONGEST.value, ()))
  if 'fixed' in plans:
    plans['fixed'] = _GAMMA.value, ()
  if 'confidence' in plans:
    plans['confidence'] = _LONGEST.value, _CONFIDENCE.value
  rows, rounds, temperature = [], _ROUNDS.value, _TEMPERATURE.value
  for batch in _BATCH.value:
    print(f'batch {batch} ...', flush=True)
    prompts = _prompts(pair, task, batch)
    N = task.max_new_tokens
    rows += overhead.measure(pair, prompts, plans, N, rounds, temperature)
  environment = records.environment()
  versions = ', '.join(f'{k} {v}' for k, v in environment['versions'].items())
  print(
    f'\n{overhead.table(rows)}\n\n{environment["device"]}, {_DTYPE.value}, '
    f'pair {pair.name}, token_v3, temperature {temperature:g}, times in ms, '
    f'medians of {rounds}; {versions}'
  )


def _prompts(pair, task, batch):
  texts = [e.prompt for e in task.examples('test', batch * _GROUPS)]
  N = task.max_new_tokens
  longest = min(m.longest_prompt(N) for m in (pair.drafter, pair.verifier))
  longest = max(longest, 0)
  token, length = tokenizer_lib.encode_prompts(pair.tokenizer, texts, longest)
  token = token[:, : length.max()]
  groups = np.arange(len(texts)).reshape(_GROUPS, batch)
  return [results.Prompts(token[i], length[i], i) for i in groups]


if __name__ == '__main__':
  app.run(main)
