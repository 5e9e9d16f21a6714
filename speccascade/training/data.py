"""A task's examples as arrays, and batches of them in a reproducible order.

Letters: N examples, B rows of a batch, T tokens of a row, S input tokens of
an encoder.
"""

import dataclasses
import functools
import hashlib
import multiprocessing
import os
from concurrent import futures

import grain
import numpy as np

from speccascade.tasks import tokenizer as tokenizer_lib

_CHUNK = 4096  # Examples a worker makes at a time.


@dataclasses.dataclass(frozen=True)
class Examples:
  """Tokenised examples, each padded on the right to the same length.

  Attributes:
    token_NxT: int16, or int32 where the vocabulary needs it.
    weight_NxT: uint8; 1 on tokens of a target and its EOS, 0 on the prompt
      and on padding.
    input_NxS: int16 or int32 inputs of an encoder, padded on the right; None
      where the prompt is part of the row.
    length_N: int32, their lengths.
  """

  token_NxT: np.ndarray
  weight_NxT: np.ndarray
  input_NxS: np.ndarray | None = None
  length_N: np.ndarray | None = None

  def __len__(self):
    return len(self.token_NxT)

  @property
  def data_hash(self):
    """SHA-256 of the token array and of the inputs, in hexadecimal."""
    digest = hashlib.sha256(np.ascontiguousarray(self.token_NxT).data)
    if self.input_NxS is not None:
      digest.update(np.ascontiguousarray(self.input_NxS).data)
    return digest.hexdigest()

  def rows(self, index_B):
    """A batch: the arrays of the given rows, by name."""
    batch = {
      'token_BxT': self.token_NxT[index_B],
      'weight_BxT': self.weight_NxT[index_B],
    }
    if self.input_NxS is not None:
      batch['input_BxS'] = self.input_NxS[index_B]
      batch['length_B'] = self.length_N[index_B]
    return batch


def tokenize(
  task, tokenizer, split, count, length, input_length=None, num_workers=None
):
  """Makes and tokenises the first `count` examples of a split.

  A row is BOS, prompt, target, EOS, padding. For an encoder-decoder the input
  is BOS, prompt, padding, and the row the start token (padding), target, EOS,
  padding. Worker processes share the work
  in chunks of fixed size, so their number does not change the result.

  Args:
    task: has `example(split, index)`; picklable.
    tokenizer: a sentencepiece processor; picklable.
    split: name of the split.
    count: N.
    length: T.
    input_length: S of an encoder-decoder; None for a decoder alone.
    num_workers: processes; None is one a core. Small jobs stay in this one.

  Returns:
    Examples.

  Raises:
    ValueError: an example has more than `length` tokens, or its input more
      than `input_length`.
  """
  chunks = [
    range(start, min(start + _CHUNK, count))
    for start in range(0, count, _CHUNK)
  ]
  if num_workers is None:
    num_workers = os.cpu_count()
  num_workers = min(num_workers, len(chunks))
  chunk = functools.partial(
    _tokenize_chunk, task, tokenizer, split, length, input_length
  )
  if num_workers <= 1:
    parts = list(map(chunk, chunks))
  else:
    # A forked child of a process that has started JAX can deadlock.
    context = multiprocessing.get_context('spawn')
    with futures.ProcessPoolExecutor(num_workers, context) as pool:
      parts = list(pool.map(chunk, chunks))
  arrays = zip(*parts, strict=True)
  return Examples(
    *(None if a[0] is None else np.concatenate(a) for a in arrays)
  )


def _tokenize_chunk(task, tokenizer, split, length, input_length, chunk):
  examples = [task.example(split, index) for index in chunk]
  prompts = tokenizer.encode([e.prompt for e in examples])
  targets = tokenizer.encode([e.target for e in examples])
  wide = tokenizer.vocab_size() > np.iinfo(np.int16).max
  empty = functools.partial(
    np.full,
    fill_value=tokenizer_lib.PAD,
    dtype=np.int32 if wide else np.int16,
  )
  token_NxT = empty((len(examples), length))
  weight_NxT = np.zeros(token_NxT.shape, np.uint8)
  input_NxS = length_N = None
  if input_length is not None:
    input_NxS = empty((len(examples), input_length))
    length_N = np.zeros(len(examples), np.int32)
  rows = zip(examples, prompts, targets, strict=True)
  for i, (example, prompt, target) in enumerate(rows):
    before = [tokenizer_lib.BOS, *prompt]
    if input_length is not None:
      _check_fits(example, split, len(before), input_length, 'input')
      input_NxS[i, : len(before)] = before
      length_N[i] = len(before)
      before = [tokenizer_lib.PAD]
    row = [*before, *target, tokenizer_lib.EOS]
    _check_fits(example, split, len(row), length, 'row')
    token_NxT[i, : len(row)] = row
    weight_NxT[i, len(before) : len(row)] = 1
  return token_NxT, weight_NxT, input_NxS, length_N


def _check_fits(example, split, number, length, what):
  if number > length:
    raise ValueError(
      f'example {example.id} of {split!r} has {number} tokens; '
      f'raise the {what} length, now {length}'
    )


def batches(examples, batch_size, seed):
  """Endless shuffled batches, every example once an epoch.

  Args:
    examples: from `tokenize`.
    batch_size: B.
    seed: fixes the order; epochs are shuffled differently.

  Returns:
    A grain iterator over `Examples.rows`; `get_state` and `set_state` resume
    it at the very next batch.
  """
  dataset = (
    grain.MapDataset.range(len(examples))
    .seed(seed)
    .shuffle()
    .repeat()
    .batch(batch_size)
    .map(examples.rows)
  )
  # One thread keeps ahead of the device; more contend for the interpreter.
  options = grain.ReadOptions(num_threads=1, prefetch_buffer_size=16)
  return iter(dataset.to_iter_dataset(options))
