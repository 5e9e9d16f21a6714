"""Reads DeepMind's checkpoints of Gemma 2."""

import dataclasses

from speccascade.models.decoder import gemma_orbax
from speccascade.models.gemma2 import config

_PRESETS = (config.gemma2_2b, config.gemma2_9b, config.gemma2_27b)


def settings(fields, tensors):
  """Returns the settings of the published model of these sizes.

  Args:
    fields: none; the files hold no configuration.
    tensors: handles by name.

  Raises:
    ValueError: there is no such model.
  """
  del fields
  found = dataclasses.asdict(gemma_orbax.preset(_PRESETS, tensors))
  table = tensors['transformer.embedder.input_embedding']
  return found | {'vocab_size': table.shape[0]}


def names(config):
  """Returns the name and the pattern of each parameter."""
  # The 2B model, alone, was written before the projections were transposed.
  gating = 'D F' if config.embed_dim == 2304 else 'F D'
  return gemma_orbax.names(config, gating)
