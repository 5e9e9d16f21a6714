r"""Tells how much of what drafters write the verifier keeps, in a table.

python experiments/acceptance.py --pair=word_problems --task=word_problems \
  --drafter=before=OLD.safetensors --drafter=after=NEW.safetensors

Decodes under strict; block efficiency is tokens a verifier call, and its
change that from the first drafter.
"""

from absl import app, flags, logging
from etils import epath

from speccascade import acceptance, pairs, records, tasks

_PAIR = flags.DEFINE_string('pair', 'word_problems', 'Pair, or its folder.')
_DRAFTER = flags.DEFINE_multi_string(
  'drafter', [], 'label=checkpoint; without any, that of the pair.'
)
_TASK = flags.DEFINE_string('task', 'word_problems', 'Gives the prompts.')
_EXAMPLES = flags.DEFINE_integer('num_examples', 500, 'Of split test.', 1)
_TEMPERATURE = flags.DEFINE_multi_float('temperature', [0, 1], 'Of both.', 0)
_GAMMA = flags.DEFINE_integer('gamma', 8, 'Draft length.', lower_bound=0)
_BATCH = flags.DEFINE_integer('batch', 50, 'Rows at a time.', lower_bound=1)
_SEED = flags.DEFINE_integer('seed', 0, 'Of all draws.', 0, 2**31 - 1)
_DTYPE = flags.DEFINE_enum('dtype', 'float32', ['float32', 'bfloat16'], 'Type.')
_OUT = flags.DEFINE_string('out', None, 'JSONL file that gets the rows too.')


def main(argv):
  """Decodes with every drafter and prints the table."""
  if len(argv) > 1:
    raise SystemExit(f'{argv[1]!r}: only flags are taken')
  logging.set_verbosity(logging.WARNING)  # JAX tells which backends it lacks.
  try:
    _compare()
  except (OSError, ValueError) as error:
    raise SystemExit(f'acceptance: {error}') from None


def _compare():
  if _OUT.value is not None and epath.Path(_OUT.value).exists():
    raise ValueError(f'{_OUT.value} exists; choose another --out or delete it')
  pair = pairs.load(_PAIR.value, _DTYPE.value)
  task = tasks.load(_TASK.value, {})
  drafters = acceptance.load_drafters(_DRAFTER.value, pair)
  examples = task.examples('test', _EXAMPLES.value)
  settings = {
    'gamma': _GAMMA.value, 'batch_size': _BATCH.value, 'seed': _SEED.value,
    'temperatures': _TEMPERATURE.value,
  }  # fmt: skip
  told = records.environment() | {
    'pair': pair.name, 'task': _TASK.value, 'num_examples': len(examples),
    'gamma': _GAMMA.value, 'seed': _SEED.value, 'dtype': _DTYPE.value,
  }  # fmt: skip
  rows = []
  for row in acceptance.compare(pair, drafters, task, examples, **settings):
    print(f'{row["drafter"]} at temperature {row["temperature"]:g}', flush=True)
    if _OUT.value is not None:
      records.append_lines(_OUT.value, [told | row])
    rows.append(row)
  versions = ', '.join(f'{k} {v}' for k, v in told['versions'].items())
  print(
    f'\n{acceptance.table(rows)}\n\n{told["task"]}, pair {told["pair"]}, '
    f'strict, γ = {told["gamma"]}, {told["num_examples"]} examples; '
    f'{told["device"]}, {told["dtype"]}, seed {told["seed"]}; {versions}'
  )


if __name__ == '__main__':
  app.run(main)
