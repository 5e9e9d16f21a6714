"""A task's examples as arrays, and batches of them in a reproducible order.

Letters: N examples, B rows of a batch, T tokens of a row.
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
  """

  token_NxT: np.ndarray
  weight_NxT: np.ndarray

  def __len__(self):
    return len(self.token_NxT)

  @property
  def data_hash(self):
    """SHA-256 of the token array, in hexadecimal."""
    tokens = np.ascontiguousarray(self.token_NxT)
    return hashlib.sha256(tokens.data).hexdigest()

  def rows(self, index_B):
    """A batch: token and weight of the given rows, each BxT."""
    return {
      'token_BxT': self.token_NxT[index_B],
      'weight_BxT': self.weight_NxT[index_B],
    }


def tokenize(task, tokenizer, split, count, length, num_workers=None):
  """Makes and tokenises the first `count` examples of a split.

  A row is BOS, prompt, target, EOS, padding. Worker processes share the work
  in chunks of fixed size, so their number does not change the result.

  Args:
    task: has `example(split, index)`; picklable.
    tokenizer: a sentencepiece processor; picklable.
    split: name of the split.
    count: N.
    length: T.
    num_workers: processes; None is one a core. Small jobs stay in this one.

  Returns:
    Examples.

  Raises:
    ValueError: an example has more than `length` tokens.
  """
  chunks = [
    range(start, min(start + _CHUNK, count))
    for start in range(0, count, _CHUNK)
  ]
  if num_workers is None:
    num_workers = os.cpu_count()
  num_workers = min(num_workers, len(chunks))
  chunk = functools.partial(_tokenize_chunk, task, tokenizer, split, length)
  if num_workers <= 1:
    parts = list(map(chunk, chunks))
  else:
    # A forked child of a process that has started JAX can deadlock.
    context = multiprocessing.get_context('spawn')
    with futures.ProcessPoolExecutor(num_workers, context) as pool:
      parts = list(pool.map(chunk, chunks))
  tokens, weights = zip(*parts, strict=True)
  return Examples(np.concatenate(tokens), np.concatenate(weights))


def _tokenize_chunk(task, tokenizer, split, length, chunk):
  examples = [task.example(split, index) for index in chunk]
  prompts = tokenizer.encode([e.prompt for e in examples])
  targets = tokenizer.encode([e.target for e in examples])
  wide = tokenizer.vocab_size() > np.iinfo(np.int16).max
  token_NxT = np.full(
    (len(examples), length), tokenizer_lib.PAD, np.int32 if wide else np.int16
  )
  weight_NxT = np.zeros(token_NxT.shape, np.uint8)
  rows = zip(examples, prompts, targets, strict=True)
  for i, (example, prompt, target) in enumerate(rows):
    begin, end = len(prompt) + 1, len(prompt) + len(target) + 2
    if end > length:
      raise ValueError(
        f'example {example.id} of {split!r} has {end} tokens; '
        f'raise the row length, now {length}'
      )
    token_NxT[i, :end] = [
      tokenizer_lib.BOS,
      *prompt,
      *target,
      tokenizer_lib.EOS,
    ]
    weight_NxT[i, begin:end] = 1
  return token_NxT, weight_NxT


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
