"""Trains the tokenizer of a task, byte for byte the same each time.

python experiments/train_tokenizer.py --task=word_problems --vocab_size=768 \
  --out=/tmp/tokenizer.model
"""

from speccascade.runs import process  # noqa: F401  It comes first.

# isort: split
import hashlib

from absl import flags
from etils import epath

from speccascade import tasks, tokenizers
from speccascade.runs import command_line

_TASK = flags.DEFINE_string('task', 'word_problems', 'Provides the text.')
_VOCAB_SIZE = flags.DEFINE_integer(
  'vocab_size', 768, 'Number of pieces.', lower_bound=1, upper_bound=1_000_000
)
_NUM_EXAMPLES = flags.DEFINE_integer(
  'num_examples',
  20_000,
  'Examples of the train split that are read.',
  lower_bound=1,
  upper_bound=1_000_000,
)
_OUT = flags.DEFINE_string('out', None, 'File to write.', required=True)


def main():
  """Trains and writes the tokenizer, and prints its digest."""
  task = tasks.load(_TASK.value, {})
  tokenizers.train(task, _OUT.value, _VOCAB_SIZE.value, _NUM_EXAMPLES.value)
  digest = hashlib.sha256(epath.Path(_OUT.value).read_bytes()).hexdigest()
  print(f'{_OUT.value}: {_VOCAB_SIZE.value} pieces, SHA-256 {digest}')


if __name__ == '__main__':
  command_line.run(main, 'train_tokenizer')
