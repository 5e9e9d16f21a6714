"""Batches of examples in a reproducible order."""

from collections.abc import Mapping
from typing import Any

import grain
import jax
import numpy as np

from speccascade.training import data


def shuffled(examples: data.Examples, batch_size: int, seed: int) -> Any:
  """Yields shuffled batches without end, every example once an epoch.

  Args:
    examples: from `data.tokenize`.
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


def place(
  batch: Mapping[str, np.ndarray], rows: jax.sharding.Sharding
) -> dict[str, jax.Array]:
  """Puts a batch on devices; each process of several feeds its own rows.

  Args:
    batch: arrays of `data.Examples.rows`, the same in each process.
    rows: how devices split the rows.
  """
  return {
    name: jax.make_array_from_callback(x.shape, rows, x.__getitem__)
    for name, x in batch.items()
  }
