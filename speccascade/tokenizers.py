"""Trains, loads and applies sentencepiece tokenizers.

A tokenizer knows its ids: `eos_id()` ends an answer; `bos_id()`, where there is
one, begins a prompt.

Of those that `train` makes, each digit is a piece of its own; the first digit
of a number includes the space before it. `decode(encode(text))` returns the
text, if it consists of printable ASCII and of the characters of the task; other
characters become unknown.
"""

import hashlib
import io
from collections.abc import Sequence

import numpy as np
import sentencepiece
from etils import epath
from google.protobuf import message
from sentencepiece import sentencepiece_model_pb2

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
  return load(path)


def load(path: epath.PathLike) -> sentencepiece.SentencePieceProcessor:
  """Loads a tokenizer.

  Raises:
    ValueError: there is no such file, it is not a whole sentencepiece model, or
      its ids are of no use.
  """
  file = epath.Path(path)
  if not file.exists():
    raise ValueError(f'there is no tokenizer at {file}')
  if file.is_dir():
    raise ValueError(f'{file} is a folder, not a tokenizer; check the path')
  tokenizer = sentencepiece.SentencePieceProcessor()
  if not _whole(tokenizer, file.read_bytes()):
    raise ValueError(
      f'{file} is not a complete sentencepiece model; copy it again'
    )
  ids = {
    'padding': tokenizer.pad_id(),
    'end': tokenizer.eos_id(),
    'beginning': tokenizer.bos_id(),
    'unknown': tokenizer.unk_id(),
  }
  if ids['end'] < 0:
    raise ValueError(
      f'{file} has no piece that ends an answer; train a tokenizer with one'
    )
  there = [x for x in ids.values() if x >= 0]
  if len(set(there)) < len(there):
    raise ValueError(
      f'{file}: its ids {ids} must be distinct; train a tokenizer with such'
    )
  return tokenizer


def _whole(tokenizer, data):
  """Loads `data`; whether it is a whole model."""
  try:
    proto = sentencepiece_model_pb2.ModelProto.FromString(data)
    tokenizer.LoadFromSerializedProto(data)
    tokenizer.id_to_piece(list(range(tokenizer.vocab_size())))  # Are text.
    tokenizer.decode(tokenizer.encode('A text.'))
  except (RuntimeError, UnicodeDecodeError, message.DecodeError):
    return False
  # A file that is cut between two fields is a valid one without these.
  return proto.HasField('trainer_spec') and proto.HasField('normalizer_spec')


def digest(tokenizer: sentencepiece.SentencePieceProcessor) -> str:
  """Returns the SHA-256 of a tokenizer's file, in hexadecimal."""
  return hashlib.sha256(tokenizer.serialized_model_proto()).hexdigest()


def beginning(tokenizer: sentencepiece.SentencePieceProcessor) -> list[int]:
  """Returns the tokens before every prompt: the beginning, if it has one."""
  bos = tokenizer.bos_id()
  return [] if bos < 0 else [bos]


def encode_prompts(
  tokenizer: sentencepiece.SentencePieceProcessor,
  texts: Sequence[str],
  max_length: int,
) -> tuple[np.ndarray, np.ndarray]:
  """Encodes prompts, each after the tokenizer's beginning.

  Args:
    tokenizer: the tokenizer.
    texts: B prompts.
    max_length: S, the most tokens of a prompt.

  Returns:
    token_BxS: int32, padded on the right with zeros, which no model reads.
    length_B: int32, the number of tokens in each row, the beginning included.

  Raises:
    ValueError: if a prompt has more than `max_length` tokens, or none.
  """
  token_BxS = np.zeros((len(texts), max_length), np.int32)
  length_B = np.zeros(len(texts), np.int32)
  for row, text in enumerate(texts):
    tokens = beginning(tokenizer) + tokenizer.encode(text)
    if len(tokens) > max_length:
      raise ValueError(
        f'prompt {row} has {len(tokens)} tokens, more than max_length '
        f'{max_length}'
      )
    if not tokens:
      raise ValueError(
        f'prompt {row} is empty, and the tokenizer has no beginning; a model '
        'needs a token to start from'
      )
    token_BxS[row, : len(tokens)] = tokens
    length_B[row] = len(tokens)
  return token_BxS, length_B
