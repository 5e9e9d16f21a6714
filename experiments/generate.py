"""Decodes one prompt and shows who wrote each token.

python experiments/generate.py --rule=token_v3 --alpha=0.3 --gamma=8
python experiments/generate.py --example=7 --rule=strict
"""

import sys

from absl import app, flags, logging

from speccascade import generation, pairs, tasks
from speccascade import rules as rules_lib

_PROMPT = flags.DEFINE_string('prompt', None, 'A text of your own.')
_EXAMPLE = flags.DEFINE_integer('example', 12, 'Without --prompt, of test.')
_PAIR = flags.DEFINE_string('pair', 'word_problems', 'Shipped, or a folder.')
_TASK = flags.DEFINE_string('task', None, "By default the pair's namesake.")
_RULE = flags.DEFINE_string('rule', 'token_v3', 'Deferral rule.')
_ALPHA = flags.DEFINE_float('alpha', 0.3, 'Its threshold, if it takes one.')
_GAMMA = flags.DEFINE_integer('gamma', 8, 'Draft length.')
_TEMPERATURE = flags.DEFINE_float('temperature', 0, '0 takes the best token.')
_SEED = flags.DEFINE_integer('seed', 0, 'Of all draws.', 0, 2**31 - 1)
_MAX_NEW_TOKENS = flags.DEFINE_integer('max_new_tokens', None, 'None: as task.')
_DTYPE = flags.DEFINE_enum('dtype', 'float32', ['float32', 'bfloat16'], 'Type.')
_COLOR = flags.DEFINE_enum(
  'color', 'auto', ['auto', 'always', 'never'], 'Colours; auto: on a terminal.'
)


def main(argv):
  """Decodes with the cascade and with the verifier alone."""
  if len(argv) > 1:
    raise SystemExit(f'generate: {argv[1]!r}: only flags are taken')
  logging.set_verbosity(logging.WARNING)  # JAX tells which backends it lacks.
  try:
    _generate()
  except ValueError as error:
    raise SystemExit(f'generate: {error}') from None


def _generate():
  rule = rules_lib.get(_RULE.value)
  pair = pairs.load(_PAIR.value, _DTYPE.value)
  task = tasks.load(_TASK.value or pair.name, {})
  prompt = task.example('test', _EXAMPLE.value).prompt
  if _PROMPT.value is not None:
    ending = prompt[len(prompt.rstrip()) :]  # As those of the task end.
    prompt = _PROMPT.value.strip() + ending
  new_tokens = _MAX_NEW_TOKENS.value
  calls = generation.calls(
    pair,
    prompt,
    rule,
    _ALPHA.value,
    gamma=_GAMMA.value,
    temperature=_TEMPERATURE.value,
    max_new_tokens=task.max_new_tokens if new_tokens is None else new_tokens,
    seed=_SEED.value,
  )
  print('Compiling, then timing...\n', file=sys.stderr)
  print(prompt, flush=True)
  (both, alone), (timing, alone_timing) = generation.measure(calls)
  length = int(both.length_B[0])
  runs = generation.segments(
    pair.tokenizer, both.token_BxN[0, :length], both.from_drafter_BxN[0]
  )
  color = generation.wants_color(_COLOR.value, sys.stdout)
  print(generation.render(runs, color), end='\n\n')
  print(generation.legend(color))
  print(generation.summary(both, alone, timing.median, alone_timing.median))
  print(
    f'First call, with compiling: {timing.first:.1f} s, '
    f'verifier alone {alone_timing.first:.1f} s'
  )


if __name__ == '__main__':
  app.run(main)
