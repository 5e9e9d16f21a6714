r"""Times the cascade loop beside its parts, batch by batch.

python experiments/benchmark.py --gamma=5 --batch=1 --batch=8

One iteration of the loop should cost little more than its parts alone, gamma
+ 1 drafter steps and one verifier block.
"""

import numpy as np
from absl import app, flags

from speccascade import benchmark, pairs, records, tasks
from speccascade.decoding import results
from speccascade.tasks import tokenizer as tokenizer_lib

_PAIR = flags.DEFINE_string('pair', 'word_problems', 'Pair, or its folder.')
_GAMMA = flags.DEFINE_integer('gamma', 5, 'Draft length.', lower_bound=0)
_TASK = flags.DEFINE_string('task', 'word_problems', 'Gives the prompts.')
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
    pair = pairs.load(_PAIR.value, _DTYPE.value)
    task = tasks.load(_TASK.value, {})
  except ValueError as error:
    raise SystemExit(f'benchmark: {error}') from None
  rows = []
  for batch in _BATCH.value:
    print(f'batch {batch} ...', flush=True)
    rows.append(
      benchmark.measure(
        pair,
        _prompts(pair, task, batch),
        _GAMMA.value,
        _ROUNDS.value,
        _TEMPERATURE.value,
      )
    )
  environment = records.environment()
  versions = ', '.join(f'{k} {v}' for k, v in environment['versions'].items())
  print(
    f'\n{benchmark.table(rows)}\n\n{environment["device"]}, {_DTYPE.value}, '
    f'token_v3, temperature '
    f'{_TEMPERATURE.value:g}, times in ms, medians of {_ROUNDS.value}; '
    f'{versions}'
  )


def _prompts(pair, task, batch):
  texts = [e.prompt for e in task.examples('test', batch)]
  longest = pair.verifier.longest_prompt(task.max_new_tokens)
  token_PxS, length_P = tokenizer_lib.encode_prompts(
    pair.tokenizer, texts, longest
  )
  return results.Prompts(
    token_PxS[:, : length_P.max()], length_P, np.arange(batch)
  )


if __name__ == '__main__':
  app.run(main)
