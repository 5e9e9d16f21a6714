"""Trains, loads and applies sentencepiece tokenizers.

Ids: padding 0, end of sequence 1, beginning of sequence 2, unknown 3. Each
digit is a piece of its own; the first digit of a number includes the space
before it. `decode(encode(text))` returns the text, if it consists of printable
ASCII and of the characters of the task; other characters become unknown.
"""

import io
from collections.abc import Sequence

import numpy as np
import sentencepiece
from etils import epath

from speccascade.tasks import base

PAD, EOS, BOS, UNK = range(4)

_SPACE = '\u2581'  # How sentencepiece writes a space.
_ASCII = ''.join(map(chr, range(33, 127)))


def train(
  task: base.Task,
  path: str,
  vocab_size: int = 768,
  num_examples: int = 20_000,
) -> sentencepiece.SentencePieceProcessor:
  """Trains a tokenizer on a task's train split and writes it to `path`.

  The same task, vocabulary size and number of examples give the same bytes.

  Args:
    task: gives the text.
    path: the file to write.
    vocab_size: number of pieces.
    num_examples: number of training examples read.

  Returns:
    The trained tokenizer.

  Raises:
    ValueError: if the text does not give `vocab_size` pieces.
  """
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
  epath.Path(path).write_bytes(model.getvalue())
  return load(path)


def load(path: str) -> sentencepiece.SentencePieceProcessor:
  """Loads a tokenizer.

  Raises:
    ValueError: if there is no such file, or it is not a sentencepiece model.
  """
  file = epath.Path(path)
  if not file.exists():
    raise ValueError(f'there is no tokenizer at {file}')
  tokenizer = sentencepiece.SentencePieceProcessor()
  try:
    tokenizer.LoadFromSerializedProto(file.read_bytes())
  except RuntimeError:
    raise ValueError(f'{file} is not a complete sentencepiece model') from None
  return tokenizer


def encode_prompts(
  tokenizer: sentencepiece.SentencePieceProcessor,
  texts: Sequence[str],
  max_length: int,
) -> tuple[np.ndarray, np.ndarray]:
  """Encodes prompts and puts a beginning-of-sequence token before each.

  Args:
    tokenizer: the tokenizer.
    texts: B prompts.
    max_length: S, the most tokens of a prompt.

  Returns:
    token_BxS: int32, padded on the right with PAD.
    length_B: int32, the number of tokens in each row, including BOS.

  Raises:
    ValueError: if a prompt has more than `max_length` tokens.
  """
  token_BxS = np.full((len(texts), max_length), PAD, np.int32)
  length_B = np.zeros(len(texts), np.int32)
  for row, text in enumerate(texts):
    tokens = [BOS, *tokenizer.encode(text)]
    if len(tokens) > max_length:
      raise ValueError(
        f'prompt {row} has {len(tokens)} tokens, more than max_length '
        f'{max_length}'
      )
    token_BxS[row, : len(tokens)] = tokens
    length_B[row] = len(tokens)
  return token_BxS, length_B
