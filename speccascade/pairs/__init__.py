"""Pairs of a drafter and a verifier that share a tokenizer."""

import dataclasses
import hashlib
import importlib.resources
import json
import math
import re
from collections.abc import Mapping
from typing import Any

import jax
from etils import epath
from jax import sharding as jax_sharding

from speccascade import checkpoints, sharding
from speccascade import tokenizers as tokenizer_lib
from speccascade.checkpoints import opened, reading
from speccascade.models import base, fusing, int8, padded, registry, split
from speccascade.pairs import provenance as provenance_lib
from speccascade.pairs import vocabulary
from speccascade.pairs.provenance import ROLES

_SHIPPED = epath.Path(str(importlib.resources.files(__name__)))
_TOKENIZER = 'tokenizer.model'


@dataclasses.dataclass(frozen=True)
class Pair:
  """A drafter and a verifier with their parameters and shared tokenizer.

  Attributes:
    name: of its folder, or of its models.
    drafter: model q.
    verifier: model p, of the same vocabulary.
    drafter_params: of the drafter.
    verifier_params: of the verifier.
    tokenizer: of both.
    digests: of 'drafter', 'verifier', 'tokenizer' and 'lengths' the first 16
      digits of a SHA-256: pairs that decode otherwise differ in one.
  """

  name: str
  drafter: base.Model
  verifier: base.Model
  drafter_params: dict[str, Any]
  verifier_params: dict[str, Any]
  tokenizer: tokenizer_lib.Tokenizer
  digests: Mapping[str, str] = dataclasses.field(default_factory=dict)

  @property
  def params(self):
    """(drafter parameters, verifier parameters)."""
    return self.drafter_params, self.verifier_params

  @property
  def eos_ids(self):
    """The tokens that end an answer."""
    return self.tokenizer.eos_ids


def load(
  name: epath.PathLike | None = None,
  dtype: str = 'float32',
  *,
  drafter: epath.PathLike | None = None,
  verifier: epath.PathLike | None = None,
  mesh: jax_sharding.Mesh | None = None,
  stacked: bool | None = None,
  fully: bool = False,
  fused: bool | None = None,
  drafter_weights: str | None = None,
  verifier_weights: str | None = None,
  drafter_devices: int | None = None,
) -> Pair:
  """Loads a pair: a shipped one by name, one of a folder, or of two models.

  A model of a pair's folder reads at most the lengths that provenance.json says
  it was trained on. No model draws others than the tokenizer's pieces.

  Args:
    name: a shipped pair, 'word_problems' or 'translation', or the path of a
      folder ('./mine', not 'mine') with drafter.safetensors,
      verifier.safetensors, tokenizer.model and, optionally, provenance.json.
      Not needed if both models are given.
    dtype: compute type of both models.
    drafter: a checkpoint, as of `checkpoints.open`, in place of the pair's.
    verifier: likewise.
    mesh: over which the parameters are sharded; None is one device.
    stacked: whether layers are stacked, for programs that scan over them; None
      is on a TPU only.
    fully: whether both axes of the mesh split the parameters, for training.
    fused: whether kernels lie as a GPU reads them, side by side and by rows, as
      `models.fusing` describes; None is on a GPU that has whole models, unless
      their layers are stacked.
    drafter_weights: 'int8' for kernels and tables of the drafter in int8, which
      `models.int8` describes; None is `dtype`.
    verifier_weights: likewise.
    drafter_devices: that split the drafter, as of `sharding.split_by`.

  Raises:
    ValueError: a file is missing or incomplete, or does not fit the others;
      int8 weights are wanted for training; or `drafter_devices` do not divide
      those of the mesh that split the models.
  """
  weights = {'drafter': drafter_weights, 'verifier': verifier_weights}
  for role, choice in weights.items():
    int8.check(choice, f'{role}_weights')
  of_mesh = (1, 1) if mesh is None else mesh.devices.shape
  sharding.check_splits(drafter_devices, (of_mesh[0], math.prod(of_mesh[1:])))
  given = {'drafter': drafter, 'verifier': verifier}
  folder = None if None not in given.values() else _folder(name)
  own = [role for role in ROLES if given[role] is None]
  paths = {
    role: folder / f'{role}.safetensors' if role in own else given[role]
    for role in ROLES
  }
  models = {role: checkpoints.open(paths[role], dtype) for role in ROLES}
  tokenizer = _tokenizer(folder, {r: models[r] for r in ROLES if r not in own})
  if folder is None:
    certain = dict.fromkeys(ROLES, False)
  else:
    models, certain = _provenance(folder, own, models)
  pieces, size = vocabulary.common(models, tokenizer, certain)
  if stacked is None:
    stacked = jax.default_backend() == 'tpu'
  if fused is None:
    fused = fusing.by_default(mesh, stacked) and not fully
  devices, loaded = {'drafter': drafter_devices, 'verifier': None}, {}
  for role in ROLES:
    cut = opened.cut(models[role], size)
    with sharding.split_by(devices[role]):
      loaded[role] = reading.load(cut, mesh, stacked, fully, weights[role])
    if fused:
      registry.make_model(loaded[role].config).fuse(loaded[role].params)
  lengths = {
    role: [getattr(x.config, f) for f in registry.family_of(x.config).lengths]
    for role, x in loaded.items()
  }
  digests = {role: x.digest for role, x in loaded.items()} | {
    'tokenizer': tokenizer.digest,
    'lengths': hashlib.sha256(json.dumps(lengths).encode()).hexdigest(),
  }
  drafter, verifier = (
    padded.over(registry.make_model(loaded[role].config), pieces)
    for role in ROLES
  )
  return Pair(
    name=_name(folder, models, own),
    drafter=split.over(drafter, drafter_devices),
    verifier=verifier,
    drafter_params=loaded['drafter'].params,
    verifier_params=loaded['verifier'].params,
    tokenizer=tokenizer,
    digests={part: digest[:16] for part, digest in digests.items()},
  )


def load_drafter(
  path: epath.PathLike,
  pair: Pair,
  *,
  mesh: jax_sharding.Mesh | None = None,
  stacked: bool = False,
  weights: str | None = None,
  devices: int | None = None,
) -> tuple[base.Model, dict[str, Any]]:
  """Loads a checkpoint to stand for the drafter of a pair.

  Args:
    path: a checkpoint, as of `checkpoints.open`.
    pair: whose vocabulary, compute type and drafter's lengths it takes over.
    mesh: as of `load`.
    stacked: whether layers are stacked.
    weights: 'int8', or None for the compute type.
    devices: that split it, as of `sharding.split_by`.

  Returns:
    (model, parameters).

  Raises:
    ValueError: the file is no checkpoint, or does not fit the tokenizer or the
      verifier.
  """
  config = pair.verifier.config
  found = checkpoints.open(path, config.dtype)
  _tokenizer(None, {'drafter': found}, pair.tokenizer)
  pieces, size = vocabulary.common(
    {'drafter': found}, pair.tokenizer, {'drafter': False}
  )
  if size < config.vocab_size:
    raise ValueError(
      f'{path} has {size} of the {config.vocab_size} rows of the vocabulary '
      "that the pair has; compare it by a pair of its own, with the pair's "
      'verifier'
    )
  cut = opened.cut(found, config.vocab_size)
  with sharding.split_by(devices):
    loaded, params, *_ = reading.load(cut, mesh, stacked, weights=weights)
  own = registry.with_lengths_of(loaded, pair.drafter.config)
  model = padded.over(registry.make_model(own), pieces)
  return split.over(model, devices), params


def _tokenizer(folder, given, known=None):
  """The tokenizer of a pair: the verifier's, for its tokens end answers.

  Args:
    folder: of the pair; None if both models are given.
    given: {role: Checkpoint} of models that are not the pair's own.
    known: of the pair, if it is loaded.
  """
  found = [] if known is None else [known]
  for role in reversed(ROLES):
    if role in given and tokenizer_lib.is_in(_place(given[role])):
      found.append(tokenizer_lib.load(_place(given[role])))
  if folder is not None:
    found.append(tokenizer_lib.load(folder / _TOKENIZER))
  if not found:
    raise ValueError(
      f'{given["verifier"].path}: no tokenizer is there, nor beside the '
      'drafter; copy tokenizer.json to the folder of the model'
    )
  for other in found[1:]:
    tokenizer_lib.check_same(found[0], other)
  if 'verifier' in given:
    return tokenizer_lib.ended_as_in(found[0], _place(given['verifier']))
  return found[0]


def _place(checkpoint):
  """The folder of a checkpoint, where its tokenizer is."""
  return checkpoint.path if checkpoint.path.is_dir() else checkpoint.path.parent


def _provenance(folder, own, models):
  """Holds models of a pair's folder against what is told of them.

  Returns:
    ({role: Checkpoint}, with the lengths that they were trained on;
    {role: whether the tokenizer is told to be the model's}).
  """
  told = provenance_lib.read(folder)
  sizes = {role: models[role].size for role in own}
  provenance_lib.check_roles(folder, told, sizes)
  provenance_lib.check_files(folder, told, own)
  limited = {
    role: dataclasses.replace(
      models[role],
      config=provenance_lib.limited(folder, told, role, models[role].config),
    )
    for role in own
  }
  certain = {
    role: role in own and told.of(role).origin.tokenizer is not None
    for role in ROLES
  }
  return models | limited, certain


def _name(folder, models, own):
  given = [models[role].path for role in ROLES if role not in own]
  names = [path.name.removesuffix('.safetensors') for path in given]
  if folder is not None:
    own_name = folder.name.strip('.')
    names.append(folder.name if own_name else folder.resolve().name)
  return '+'.join(names)


def _folder(name):
  """The folder of a shipped pair's name, or of a path."""
  if name is None:
    raise ValueError(
      'a pair is missing: give its name, or drafter and verifier'
    )
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
