"""Pairs of a drafter and a verifier that share a tokenizer."""

import dataclasses
import hashlib
import importlib.resources
import json
import re
from typing import Any

import jax
import sentencepiece
from etils import epath

from speccascade import tokenizers as tokenizer_lib
from speccascade.checkpoints import native as checkpoints
from speccascade.models import base, registry
from speccascade.pairs import provenance as provenance_lib
from speccascade.pairs.provenance import ROLES
from speccascade.sampling import keys

_SHIPPED = epath.Path(str(importlib.resources.files(__name__)))


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

  @property
  def eos_id(self):
    """The token that ends an answer."""
    return self.tokenizer.eos_id()


def load(name: epath.PathLike, dtype: str = 'float32') -> Pair:
  """Loads a shipped pair by name, or any pair by its folder.

  A model reads at most the lengths that provenance.json says it was trained on,
  and draws none but the tokenizer's pieces.

  Args:
    name: a shipped pair, 'word_problems' or 'translation', or the path of a
      folder ('./mine', not 'mine') with drafter.safetensors,
      verifier.safetensors, tokenizer.model and, optionally, provenance.json.
    dtype: compute type of both models.

  Raises:
    ValueError: a file is missing or incomplete, or does not fit the others.
  """
  folder = _folder(name)
  provenance = provenance_lib.read(folder)
  tokenizer = tokenizer_lib.load(folder / 'tokenizer.model')
  paths = {role: folder / f'{role}.safetensors' for role in ROLES}
  loaded = {role: checkpoints.load(paths[role], dtype) for role in ROLES}
  num_params = {role: _size(params) for role, (_, params) in loaded.items()}
  provenance_lib.check_roles(folder, provenance, num_params)
  provenance_lib.check_files(folder, provenance)
  models, params = {}, {}
  for role in ROLES:
    certain = provenance.of(role).origin.tokenizer is not None
    config, params[role] = _fit(
      paths[role], *loaded.pop(role), tokenizer, certain
    )
    config = provenance_lib.limited(folder, provenance, role, config)
    models[role] = registry.make_model(config)
  return Pair(
    name=folder.name if folder.name.strip('.') else folder.resolve().name,
    drafter=models['drafter'],
    verifier=models['verifier'],
    drafter_params=params['drafter'],
    verifier_params=params['verifier'],
    tokenizer=tokenizer,
  )


def load_model(
  path: epath.PathLike,
  tokenizer: sentencepiece.SentencePieceProcessor,
  dtype: str = 'float32',
) -> tuple[base.Config, dict[str, Any]]:
  """Loads a checkpoint to stand for a model of a pair.

  Args:
    path: a checkpoint.
    tokenizer: of the pair; the model draws none but its pieces.
    dtype: compute type.

  Returns:
    (configuration, parameters).

  Raises:
    ValueError: the file is no checkpoint, or does not fit the tokenizer.
  """
  return _fit(path, *checkpoints.load(path, dtype), tokenizer, False)


def digests(name: epath.PathLike) -> dict[str, str]:
  """Returns the first 16 digits of the SHA-256 of all that makes up a pair.

  Pairs of different files or lengths in folders of one name differ in it.
  """
  folder = _folder(name)
  files = ('drafter.safetensors', 'verifier.safetensors', 'tokenizer.model')
  parts = {file: (folder / file).read_bytes() for file in files}
  lengths = provenance_lib.read(folder).lengths()
  parts['lengths'] = json.dumps(lengths, sort_keys=True).encode()
  return {
    part: hashlib.sha256(data).hexdigest()[:16] for part, data in parts.items()
  }


def _fit(path, config, params, tokenizer, certain):
  """Cuts a model's vocabulary to a tokenizer's pieces.

  Rows that pad a vocabulary stand for no piece and were never trained; without
  them a model draws as if it gave them no probability.
  """
  rows, pieces = config.vocab_size, tokenizer.vocab_size()
  padding = max(128, pieces // 100)
  if rows < pieces or (rows > pieces + padding and not certain):
    raise ValueError(
      f'{path} has a vocabulary of {rows}, but the tokenizer has {pieces} '
      'pieces; use the tokenizer that the model was trained with'
    )
  if registry.family_of(config).encodes_input and tokenizer.pad_id() != 0:
    raise ValueError(
      f'{path}: its decoder starts from token 0, which is not the padding of '
      'the tokenizer; use the tokenizer that the model was trained with'
    )
  if rows == pieces:
    return config, params
  config = dataclasses.replace(config, vocab_size=pieces)
  shapes = jax.eval_shape(registry.make_model(config).init, keys.make(0))
  return config, jax.tree.map(_cut, params, shapes)


def _cut(x, want):
  return x if x.shape == want.shape else x[tuple(map(slice, want.shape))]


def _size(params):
  return sum(x.size for x in jax.tree.leaves(params))


def _folder(name):
  """The folder of a shipped pair's name, or of a path."""
  if not isinstance(name, str) or not re.fullmatch(r'[\w-]+', name):
    folder = epath.Path(name)
    if name == '' or not folder.is_dir():
      raise ValueError(f'no pair {str(name)!r}: there is no such folder')
    return folder
  shipped = {x.parent.name for x in _SHIPPED.glob('*/tokenizer.model')}
  if name in shipped:
    return _SHIPPED / name
  hint = 'write a path to load a folder'
  if epath.Path(name).is_dir():
    hint = f'for the folder, write ./{name}'
  raise ValueError(
    f'no pair {name!r} is shipped, only {", ".join(sorted(shipped))}; {hint}'
  )
