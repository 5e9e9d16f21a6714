"""Trains tokenizers, in sentencepiece's format.

Of those, each digit is a piece of its own; the first digit of a number includes
the space before it. `decode(encode(text))` returns the text, if it consists of
printable ASCII and of the characters of the task; other characters become
unknown.
"""

import io

import sentencepiece
from etils import epath

from speccascade.storage import files
from speccascade.tasks import base

PAD, EOS, BOS, UNK = range(4)  # Of the tokenizers that `train` makes.

_SPACE = '\u2581'  # How sentencepiece writes a space.
_ASCII = ''.join(map(chr, range(33, 127)))


def train(
  task: base.Task,
  path: epath.PathLike,
  vocab_size: int = 768,
  num_examples: int = 20_000,
) -> None:
  """Trains a tokenizer on a task's train split and writes it to `path`.

  The same task, vocabulary size and number of examples give the same bytes.

  Args:
    task: gives the text.
    path: the file to write.
    vocab_size: number of pieces.
    num_examples: number of training examples read.

  Raises:
    ValueError: if the text does not give `vocab_size` pieces, or the path is a
      link or a folder.
    OSError: the file cannot be written.
  """
  path = epath.Path(path)
  files.refuse_link(path)  # Before the work.
  texts = (
    text
    for example in task.examples('train', num_examples)
    for text in (example.prompt, example.target)
  )
  model = io.BytesIO()
  try:
    sentencepiece.SentencePieceTrainer.train(
      sentence_iterator=texts,
      model_writer=model,
      model_type='bpe',  # 'unigram' splits short words at their space.
      vocab_size=vocab_size,
      pad_id=PAD,
      eos_id=EOS,
      bos_id=BOS,
      unk_id=UNK,
      split_digits=True,
      required_chars=_ASCII,
      character_coverage=1.0,
      user_defined_symbols=['\n', *(_SPACE + digit for digit in '0123456789')],
      normalization_rule_name='identity',
      remove_extra_whitespaces=False,
      num_threads=1,  # The order of threads would change sums.
      minloglevel=1,
    )
  except RuntimeError as error:
    raise ValueError(
      f'cannot train a tokenizer of {vocab_size} pieces for {task.name}: '
      f'{error}'
    ) from None
  files.write(path, model.getvalue())
