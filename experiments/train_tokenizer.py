"""Trains the tokenizer of a task, byte for byte the same each time.

python experiments/train_tokenizer.py --task=word_problems --vocab_size=768 \
  --out=/tmp/tokenizer.model
"""

import hashlib

from absl import app, flags
from etils import epath

from speccascade import tasks
from speccascade.tasks import tokenizer

_TASK = flags.DEFINE_string('task', 'word_problems', 'Gives the text.')
_VOCAB_SIZE = flags.DEFINE_integer('vocab_size', 768, 'Number of pieces.')
_NUM_EXAMPLES = flags.DEFINE_integer(
  'num_examples', 20_000, 'Examples of the train split that are read.'
)
_OUT = flags.DEFINE_string('out', None, 'File to write.', required=True)


def main(argv):
  """Trains, writes and names what was written."""
  if len(argv) > 1:
    raise SystemExit(f'{argv[1]!r}: only flags are taken')
  try:
    task = tasks.load(_TASK.value, {})
    tokenizer.train(task, _OUT.value, _VOCAB_SIZE.value, _NUM_EXAMPLES.value)
  except (OSError, ValueError) as error:
    raise SystemExit(f'train_tokenizer: {error}') from None
  digest = hashlib.sha256(epath.Path(_OUT.value).read_bytes()).hexdigest()
  print(f'{_OUT.value}: {_VOCAB_SIZE.value} pieces, SHA-256 {digest}')


if __name__ == '__main__':
  app.run(main)
