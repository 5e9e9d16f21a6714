"""Pairs of a drafter and a verifier that share a tokenizer."""

import dataclasses
import hashlib
import importlib.resources
import json
from typing import Any

import sentencepiece
from etils import epath

from speccascade.models import checkpoints
from speccascade.tasks import tokenizer as tokenizer_lib


@dataclasses.dataclass(frozen=True)
class Pair:
  """Two models with their parameters, and the tokenizer of both."""

  name: str
  drafter: Any
  verifier: Any
  drafter_params: Any
  verifier_params: Any
  tokenizer: sentencepiece.SentencePieceProcessor

  @property
  def params(self):
    """(drafter parameters, verifier parameters)."""
    return self.drafter_params, self.verifier_params


def load(name, dtype='float32'):
  """Loads a shipped pair by name, or any by its folder.

  Args:
    name: 'word_problems', or a folder holding drafter.safetensors,
      verifier.safetensors, tokenizer.model and, optionally, provenance.json.
    dtype: compute type of both models.

  Returns:
    Pair.

  Raises:
    ValueError: a file is missing, torn or does not fit the others.
  """
  folder = _folder(name)
  provenance, path = {}, folder / 'provenance.json'
  if path.exists():
    try:
      provenance = json.loads(path.read_text())
    except ValueError as error:
      raise ValueError(f'{path}: torn or no JSON: {error}') from None
  models = {}
  for role in ('drafter', 'verifier'):
    config, params = checkpoints.load(folder / f'{role}.safetensors', dtype)
    # No further than the rows it was trained on, where that is known.
    trained = provenance.get(role, {}).get('config', {})
    for field, length in (
      ('context_length', trained.get('length')),
      ('input_length', trained.get('input_length')),
    ):
      if length is not None and hasattr(config, field):
        config = dataclasses.replace(config, **{field: length})
    models[role] = config, params
  tokenizer = tokenizer_lib.load(folder / 'tokenizer.model')
  for role, (config, _) in models.items():
    if config.vocab_size < tokenizer.vocab_size():
      raise ValueError(
        f'{folder}: the {role} has a vocabulary of {config.vocab_size}, the '
        f'tokenizer {tokenizer.vocab_size()}; they do not belong together'
      )
  return Pair(
    name=folder.name,
    drafter=checkpoints.make_model(models['drafter'][0]),
    verifier=checkpoints.make_model(models['verifier'][0]),
    drafter_params=models['drafter'][1],
    verifier_params=models['verifier'][1],
    tokenizer=tokenizer,
  )


def digests(name):
  """SHA-256, its first 16 digits, of each file that a pair decodes with.

  Two folders of one name, or one whose models were trained again, differ.
  """
  files = ('drafter.safetensors', 'verifier.safetensors', 'tokenizer.model')
  return {
    file: hashlib.sha256((_folder(name) / file).read_bytes()).hexdigest()[:16]
    for file in files
  }


def _folder(name):
  shipped = epath.Path(str(importlib.resources.files(__name__))) / name
  folder = shipped if shipped.exists() else epath.Path(name)
  if not folder.exists():
    raise ValueError(
      f'no pair {name!r}: neither shipped with speccascade nor a folder'
    )
  return folder
