"""Reads DeepMind's checkpoints of Gemma 3."""

import dataclasses

from speccascade.models.decoder import gemma_orbax
from speccascade.models.gemma3 import config

_PRESETS = (
  config.gemma3_270m,
  config.gemma3_1b,
  config.gemma3_4b,
  config.gemma3_12b,
  config.gemma3_27b,
)


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
  return gemma_orbax.names(config, 'F D')
