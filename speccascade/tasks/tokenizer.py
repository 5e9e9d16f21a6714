"""A sentencepiece tokenizer of a task's text.

Ids: padding 0, end of sequence 1, beginning of sequence 2, unknown 3. Each
digit is a piece, the first of a number together with the space before it.
Printable ASCII comes back from decode(encode(text)) unchanged, as does all
that the task writes; other characters are unknown.
"""

import io
from collections.abc import Sequence

import numpy as np
import sentencepiece
from etils import epath

PAD, EOS, BOS, UNK = range(4)

_SPACE = '\u2581'  # how sentencepiece writes a space
_ASCII = ''.join(map(chr, range(33, 127)))


def train(task, path: str, vocab_size: int = 768, num_examples: int = 20_000):
  """Trains a tokenizer on a task's train split and writes it to `path`.

  The same task, vocabulary size and number of examples give the same bytes.

  Args:
    task: gives the text, by `examples('train', num_examples)`.
    path: the file to write.
    vocab_size: number of pieces.
    num_examples: number of training examples read.

  Returns:
    The trained SentencePieceProcessor.

  Raises:
    ValueError: if the text gives more or fewer pieces than asked for.
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
      model_type='bpe',  # unigram splits short words to share their space
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
      num_threads=1,  # the sums of several threads depend on their order
      minloglevel=1,
    )
  except RuntimeError as error:
    raise ValueError(
      f'No tokenizer of {vocab_size} pieces for {task.name}: {error}'
    ) from None
  epath.Path(path).write_bytes(model.getvalue())
  return load(path)


def load(path: str) -> sentencepiece.SentencePieceProcessor:
  """Loads a tokenizer; raises ValueError if the file is missing or torn."""
  file = epath.Path(path)
  if not file.exists():
    raise ValueError(f'No tokenizer at {file}; train one to that path.')
  tokenizer = sentencepiece.SentencePieceProcessor()
  try:
    tokenizer.LoadFromSerializedProto(file.read_bytes())
  except RuntimeError:
    raise ValueError(f'{file} is no sentencepiece model, or torn.') from None
  return tokenizer


def encode_prompts(
  tokenizer: sentencepiece.SentencePieceProcessor,
  texts: Sequence[str],
  max_length: int,
) -> tuple[np.ndarray, np.ndarray]:
  """Encodes prompts, each after a beginning-of-sequence token.

  Args:
    tokenizer: the tokenizer.
    texts: B prompts.
    max_length: the most tokens of a prompt, S.

  Returns:
    token_BxS: int32, padded on the right.
    length_B: int32, tokens in each row, BOS counted.

  Raises:
    ValueError: if a prompt has more than `max_length` tokens.
  """
  token_BxS = np.full((len(texts), max_length), PAD, np.int32)
  length_B = np.zeros(len(texts), np.int32)
  for row, text in enumerate(texts):
    tokens = [BOS, *tokenizer.encode(text)]
    if len(tokens) > max_length:
      raise ValueError(
        f'Prompt {row} has {len(tokens)} tokens, more than max_length '
        f'{max_length}: shorten it or raise max_length.'
      )
    token_BxS[row, : len(tokens)] = tokens
    length_B[row] = len(tokens)
  return token_BxS, length_B
