"""Pairs of a drafter and a verifier that share a tokenizer."""

import dataclasses
import hashlib
import importlib.resources
import json
from typing import Any

import sentencepiece
from etils import epath

from speccascade import tokenizers as tokenizer_lib
from speccascade.checkpoints import native as checkpoints
from speccascade.models import base, registry


@dataclasses.dataclass(frozen=True)
class Pair:
  """A drafter and a verifier with their parameters and shared tokenizer."""

  name: str
  drafter: base.Model
  verifier: base.Model
  drafter_params: dict[str, Any]
  verifier_params: dict[str, Any]
  tokenizer: sentencepiece.SentencePieceProcessor

  @property
  def params(self):
    """(drafter parameters, verifier parameters)."""
    return self.drafter_params, self.verifier_params


def load(name, dtype='float32'):
  """Loads a shipped pair by name, or any pair by its folder.

  A model reads at most the lengths that provenance.json says it was trained on.

  Args:
    name: 'word_problems', 'translation', or a folder with drafter.safetensors,
      verifier.safetensors, tokenizer.model and, optionally, provenance.json.
    dtype: compute type of both models.

  Returns:
    Pair.

  Raises:
    ValueError: a file is missing or incomplete, or does not fit the others.
  """
  folder = _folder(name)
  provenance, path = {}, folder / 'provenance.json'
  if path.exists():
    try:
      provenance = json.loads(path.read_text())
    except ValueError as error:
      raise ValueError(f'{path}: not valid JSON: {error}') from None
  models = {}
  for role in ('drafter', 'verifier'):
    config, params = checkpoints.load(folder / f'{role}.safetensors', dtype)
    trained = provenance.get(role, {}).get('config', {})
    config = registry.limited(config, trained)
    models[role] = config, params
  tokenizer = tokenizer_lib.load(folder / 'tokenizer.model')
  for role, (config, _) in models.items():
    if config.vocab_size < tokenizer.vocab_size():
      raise ValueError(
        f'{folder}: the {role} has a vocabulary of {config.vocab_size}, but '
        f'the tokenizer has {tokenizer.vocab_size()} pieces; use the tokenizer '
        'that the model was trained with'
      )
  return Pair(
    name=folder.name,
    drafter=registry.make_model(models['drafter'][0]),
    verifier=registry.make_model(models['verifier'][0]),
    drafter_params=models['drafter'][1],
    verifier_params=models['verifier'][1],
    tokenizer=tokenizer,
  )


def digests(name):
  """Returns the first 16 digits of the SHA-256 of each file of a pair.

  Pairs with different files in folders of the same name differ in it.
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
