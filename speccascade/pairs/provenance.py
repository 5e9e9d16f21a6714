"""What provenance.json tells of how the models of a pair were trained.

Files of a pair are held against it where it tells something of them.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import pydantic
from etils import epath

from speccascade import config as config_lib
from speccascade.models import base, registry
from speccascade.storage import json_text

ROLES = ('drafter', 'verifier')


class Origin(config_lib.Schema):
  """What a model was made of.

  Attributes:
    tokenizer: SHA-256 of its tokenizer's file.
  """

  model_config = pydantic.ConfigDict(extra='ignore')

  tokenizer: str | None = None


class Told(config_lib.Schema):
  """What is told of one model; the rest of it is for people.

  Attributes:
    config: its training config.
    num_params: its parameters.
    checkpoint: SHA-256 of its file.
    origin: what it was made of.
  """

  model_config = pydantic.ConfigDict(extra='ignore')

  config: dict[str, Any] = {}
  num_params: Annotated[int, pydantic.Field(ge=1)] | None = None
  checkpoint: str | None = None
  origin: Origin = Origin()


class Provenance(config_lib.Schema):
  """What is told of both."""

  model_config = pydantic.ConfigDict(extra='ignore')

  drafter: Told = Told()
  verifier: Told = Told()

  def of(self, role: str) -> Told:
    """Returns what is told of one of `ROLES`."""
    return getattr(self, role)


def read(folder: epath.Path) -> Provenance:
  """Reads the provenance of a pair; without a file, nothing is told.

  Raises:
    ValueError: it is not valid; one line that names the file.
  """
  path = folder / 'provenance.json'
  if not path.exists():
    return Provenance()
  if path.is_dir():
    raise ValueError(f'{path}: a folder, not a file; remove it')
  try:
    return config_lib.parse(Provenance, json_text.loads(path.read_bytes()))
  except ValueError as error:
    raise ValueError(
      f'{path}: {error}; copy the file again, or remove it'
    ) from None


def check_files(
  folder: epath.Path, provenance: Provenance, roles: Sequence[str]
) -> None:
  """Raises ValueError if a file of these models is told to be another one."""
  for role in roles:
    told = provenance.of(role)
    tokenizer = told.origin.tokenizer
    for name, what, digest in (
      (f'{role}.safetensors', f'the {role}', told.checkpoint),
      ('tokenizer.model', f'the tokenizer of the {role}', tokenizer),
    ):
      if digest is None:
        continue
      own = hashlib.sha256((folder / name).read_bytes()).hexdigest()
      if own != digest:
        raise ValueError(
          f'{folder / name} is not {what} that provenance.json tells of: its '
          f'SHA-256 is {own[:16]}..., not {digest[:16]!r}...; copy the file '
          'again, or put its own provenance.json there'
        )


def check_roles(
  folder: epath.Path, provenance: Provenance, num_params: Mapping[str, int]
) -> None:
  """Raises ValueError if drafter and verifier may be swapped.

  Args:
    folder: of the pair.
    provenance: of the pair.
    num_params: parameters of each role that is of the folder.
  """
  told = {role: provenance.of(role).num_params for role in num_params}
  for role in num_params:
    if told[role] not in (None, num_params[role]):
      raise ValueError(
        f'{folder / f"{role}.safetensors"} has {num_params[role]} parameters, '
        f'but provenance.json tells {told[role]}; swap drafter and verifier, '
        'or copy the pair again'
      )
  if set(num_params) != set(ROLES):
    return
  if num_params['drafter'] > num_params['verifier'] and None in told.values():
    raise ValueError(
      f'{folder}: the drafter has {num_params["drafter"]} parameters, more '
      f'than the {num_params["verifier"]} of the verifier; swap the two, or '
      'tell num_params of both in provenance.json'
    )


def limited(
  folder: epath.Path, provenance: Provenance, role: str, config: base.Config
) -> base.Config:
  """Limits a model to the lengths that it was trained on.

  Raises:
    ValueError: a length is not valid.
  """
  try:
    return registry.limited(config, provenance.of(role).config)
  except ValueError as error:
    raise ValueError(
      f'{folder / "provenance.json"}: {role}.config.{error}'
    ) from None
