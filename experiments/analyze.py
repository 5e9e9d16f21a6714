r"""Explains where rules are rejected, and what they can gain over strict.

python experiments/analyze.py --rule=token_v3:0.5 --rule=typical:0.8 \
  --out=/tmp/analysis

Strict is always there: the others, each with its alpha, are held against it.
"""

import sys
import types

from absl import app, flags, logging
from etils import epath

from speccascade import analysis, analysis_summary
from speccascade.reports import analysis_report
from speccascade.sweeps import workload as workload_lib

_PAIR = flags.DEFINE_string('pair', 'word_problems', 'Shipped, or a folder.')
_TASK = flags.DEFINE_string('task', None, "By default the pair's namesake.")
_EXAMPLES = flags.DEFINE_integer('num_examples', 100, 'Of the test split.', 1)
_RULE = flags.DEFINE_multi_string('rule', ['token_v3:0.5'], 'Rule:alpha.')
_TEMPERATURE = flags.DEFINE_multi_float('temperature', [1], 'Of both models.')
_GAMMA = flags.DEFINE_integer('gamma', 8, 'Of acceptance by position.', 0)
_GAMMAS = flags.DEFINE_multi_integer(
  'gammas', [1, 3, 5, 8, 16, 24], 'Those to count calls for.', lower_bound=0
)
_SEED = flags.DEFINE_integer('seed', 0, 'Of all draws.', 0, 2**31 - 1)
_BATCH = flags.DEFINE_integer('batch_size', 32, 'Rows at a time.', 1)
_DTYPE = flags.DEFINE_enum('dtype', 'float32', ['float32', 'bfloat16'], 'Type.')
_OUT = flags.DEFINE_string('out', None, 'Folder of the report.', required=True)


def main(argv):
  """Measures every rule and writes the report."""
  if len(argv) > 1:
    raise SystemExit(f'analyze: {argv[1]!r}: only flags are taken')
  logging.set_verbosity(logging.WARNING)  # JAX tells which backends it lacks.
  try:
    print(_analyze())
  except (OSError, ValueError) as error:
    raise SystemExit(f'analyze: {error}') from None
  print(f'Written to {_OUT.value}: analysis.md, analysis.jsonl, analysis.png.')


def _analyze():
  settings = [
    analysis.setting(rule, temperature, _SEED.value)
    for temperature in dict.fromkeys(_TEMPERATURE.value)
    for rule in dict.fromkeys(['strict', *_RULE.value])
  ]
  workload = workload_lib.load(_config())
  epath.Path(_OUT.value).mkdir(parents=True, exist_ok=True)  # Before the work.
  answers = []
  for s in settings:
    print(f'{s.id()} ...', file=sys.stderr, flush=True)
    answers.append(analysis.measure(workload, s, _GAMMA.value, _BATCH.value))
  title = (
    f'{workload.task.name}, pair {workload.pair.name}: {_EXAMPLES.value} test '
    f'examples, {workload.task.metric}, {_DTYPE.value}, seed {_SEED.value}'
  )
  rows = analysis_summary.rows(answers, _GAMMA.value, _GAMMAS.value)
  return analysis_report.write(rows, title, _OUT.value)


def _config():
  return types.SimpleNamespace(
    pair=_PAIR.value,
    task=_TASK.value or epath.Path(_PAIR.value).name,
    task_args={},
    split='test',
    num_examples=_EXAMPLES.value,
    max_prompt_tokens=sys.maxsize,  # What the pair takes.
    dtype=_DTYPE.value,
  )


if __name__ == '__main__':
  app.run(main)
