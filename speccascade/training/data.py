"""A task's examples as arrays.

Worker processes import this module, so it does not import JAX.
"""

import dataclasses
import functools
import hashlib
from typing import Any

import numpy as np

from speccascade.runs import workers
from speccascade.tasks import base

_CHUNK = 4096  # Examples that a worker tokenises at a time.


@dataclasses.dataclass(frozen=True)
class Examples:
  """Tokenised examples, padded on the right to one length.

  Attributes:
    token_ExT: int16, or int32 where the vocabulary needs it.
    weight_ExT: uint8; 1 on tokens of a target and its EOS, 0 on the prompt
      and on padding.
    input_ExS: int16 or int32 inputs of an encoder, padded on the right; None
      if the prompt is part of the row.
    length_E: int32 lengths of the inputs; None without inputs.
  """

  token_ExT: np.ndarray
  weight_ExT: np.ndarray
  input_ExS: np.ndarray | None = None
  length_E: np.ndarray | None = None

  def __len__(self):
    return len(self.token_ExT)

  @property
  def data_hash(self) -> str:
    """SHA-256 of the token array and of the inputs, in hexadecimal."""
    digest = hashlib.sha256(np.ascontiguousarray(self.token_ExT).data)
    if self.input_ExS is not None:
      digest.update(np.ascontiguousarray(self.input_ExS).data)
    return digest.hexdigest()

  def rows(self, index_B: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the arrays of the given rows, by name: a batch."""
    batch = {
      'token_BxT': self.token_ExT[index_B],
      'weight_BxT': self.weight_ExT[index_B],
    }
    if self.input_ExS is not None:
      batch['input_BxS'] = self.input_ExS[index_B]
      batch['length_B'] = self.length_E[index_B]
    return batch


def tokenize(
  task: base.Source,
  tokenizer: Any,
  split: str,
  count: int,
  length: int,
  input_length: int | None = None,
  num_workers: int | None = None,
) -> Examples:
  """Tokenises the first `count` examples of a split.

  A row is BOS, prompt, target, EOS, padding. For an encoder-decoder, the input
  is BOS, prompt, padding; the row is the start token (padding), target, EOS,
  padding. Workers take chunks of one size, so their number does not change
  the result.

  Args:
    task: gives the examples; is pickled.
    tokenizer: Tokenizer; is pickled.
    split: name of the split.
    count: E.
    length: T.
    input_length: S of an encoder-decoder; None for a decoder alone.
    num_workers: processes; None means one a core. One chunk starts none.

  Returns:
    Examples.

  Raises:
    ValueError: an example is not there, or has more than `length` tokens, or
      its input more than `input_length`.
    futures.BrokenExecutor: a worker was killed.
  """
  task.example(split, count - 1)  # Tells at once if there are too few.
  chunks = [
    range(start, min(start + _CHUNK, count))
    for start in range(0, count, _CHUNK)
  ]
  if num_workers is None:
    num_workers = workers.cores()
  num_workers = min(num_workers, len(chunks))
  chunk = functools.partial(
    _tokenize_chunk, task, tokenizer, split, length, input_length
  )
  if num_workers <= 1:
    parts = list(map(chunk, chunks))
  else:
    parts = list(workers.each(chunk, chunks, num_workers))
  arrays = zip(*parts, strict=True)
  return Examples(
    *(None if a[0] is None else np.concatenate(a) for a in arrays)
  )


def _tokenize_chunk(task, tokenizer, split, length, input_length, chunk):
  examples = [task.example(split, index) for index in chunk]
  wide = tokenizer.vocab_size > np.iinfo(np.int16).max
  empty = functools.partial(np.zeros, dtype=np.int32 if wide else np.int16)
  token_ExT = empty((len(examples), length))
  weight_ExT = np.zeros(token_ExT.shape, np.uint8)
  input_ExS = length_E = None
  if input_length is not None:
    input_ExS = empty((len(examples), input_length))
    length_E = np.zeros(len(examples), np.int32)
  for i, example in enumerate(examples):
    before = tokenizer.prompt(example.prompt)
    if input_length is not None:
      _check_fits(example, split, len(before), input_length, 'input_length')
      input_ExS[i, : len(before)] = before
      length_E[i] = len(before)
      before = [tokenizer.pad_id]
    row = [*before, *tokenizer.encode(example.target), tokenizer.eos_ids[0]]
    _check_fits(example, split, len(row), length, 'length')
    token_ExT[i, : len(row)] = row
    weight_ExT[i, len(before) : len(row)] = 1
  return token_ExT, weight_ExT, input_ExS, length_E


def _check_fits(example, split, number, length, field):
  if number > length:
    raise ValueError(
      f'example {example.id} of split {split!r} has {number} tokens, more '
      f'than {field}={length}; raise {field}'
    )
