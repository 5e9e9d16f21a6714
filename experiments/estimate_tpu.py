r"""Estimates hours and chip-hours of a sweep, from a table of compile_tpu.

python experiments/estimate_tpu.py --table=results/compile_tpu/table.json \
  --pair=t5_v1_1_small,t5_v1_1_large --slice=v5e:2x4 --batch=64 \
  --examples=3000 --settings=156 --acceptance=0.8

Compiles nothing and needs no TPU. What it tells is predicted, a floor.
"""

from speccascade.runs import process  # noqa: F401  It comes first.

# isort: split
from absl import flags

from speccascade.aot import estimate
from speccascade.runs import command_line

_TABLE = flags.DEFINE_string('table', None, 'table.json of compile_tpu.')
_PAIR = flags.DEFINE_list('pair', None, 'Names of the drafter and verifier.')
_SLICE = flags.DEFINE_string('slice', None, 'Such as v5e:2x4.')
_PROMPT = flags.DEFINE_integer('prompt', 1024, 'Tokens of a padded prompt.')
_BATCH = flags.DEFINE_integer('batch', None, 'Rows that are decoded at a time.')
_EXAMPLES = flags.DEFINE_integer('examples', None, 'Examples that are scored.')
_SETTINGS = flags.DEFINE_integer(
  'settings', None, 'Methods with their parameters, times samplings.'
)
_TIMED = flags.DEFINE_integer(
  'timed', 0, 'Answers timed alone: points x latency_examples x trials.'
)
_NEW_TOKENS = flags.DEFINE_integer('new_tokens', 128, 'Tokens of an answer.')
_ACCEPTANCE = flags.DEFINE_float(
  'acceptance', None, 'Share of the drafts that is accepted.'
)
flags.mark_flags_as_required(
  ['table', 'pair', 'slice', 'batch', 'examples', 'settings', 'acceptance']
)


def main():
  """Prints the estimate."""
  work = estimate.Work(
    _EXAMPLES.value,
    _SETTINGS.value,
    _BATCH.value,
    _TIMED.value,
    _NEW_TOKENS.value,
    _ACCEPTANCE.value,
  )
  cell = estimate.Cell(tuple(_PAIR.value), _SLICE.value, _PROMPT.value)
  print(estimate.report(estimate.read(_TABLE.value), cell, work))


if __name__ == '__main__':
  command_line.run(main, 'estimate_tpu')
