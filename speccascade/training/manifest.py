"""Manifests, which tell whether a folder of files is as it was written.

The manifest of x/ is x.json beside it: digests of every file and of itself, and
what else there is to tell. It is written last.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from etils import epath

from speccascade.storage import files, json_text

_BEGUN = '{}'


def path(folder: epath.Path) -> epath.Path:
  """Returns where the manifest of a folder is."""
  return folder.with_name(f'{folder.name}.json')


def begin(folder: epath.Path) -> None:
  """Marks a folder as one that is being written or removed."""
  files.write(path(folder), _BEGUN)


def is_begun(folder: epath.Path) -> bool:
  """Whether a folder has the mark of `begin`, and is of no use."""
  manifest = path(folder)
  return manifest.is_file() and manifest.read_bytes() == _BEGUN.encode()


def finish(folder: epath.Path, told: Mapping[str, Any]) -> None:
  """Writes the manifest of a folder that is whole.

  Args:
    folder: is read again.
    told: to keep beside the digests, as JSON has it.
  """
  told = {'files': _digests(folder), **told}
  files.write(path(folder), _sign(told))


def verify(folder: epath.Path) -> dict[str, Any]:
  """Returns what `finish` was told of a folder.

  Raises:
    ValueError: a file or the manifest is missing or not as it was written, or
      there is another file.
  """
  manifest = path(folder)
  if not manifest.is_file():
    raise ValueError(f'not whole, as {manifest.name} is missing')
  data = manifest.read_bytes()
  try:
    told = json_text.loads(data)['told']
    intact = data == _sign(told).encode()
  except (ValueError, LookupError, TypeError):
    intact = False
  if not intact:
    raise ValueError(f'{manifest.name} is damaged')
  if not folder.is_dir():
    raise ValueError('its folder is missing')
  written, found = told.pop('files'), _digests(folder)
  for name in sorted(written.keys() | found.keys()):
    if name not in found:
      raise ValueError(f'its file {name} is missing')
    if name not in written:
      raise ValueError(f'{name} in it is not of it')
    if written[name] != found[name]:
      raise ValueError(f'its file {name} is damaged')
  return told


def _sign(told):
  text = json_text.dumps(told, sort_keys=True)
  digest = hashlib.sha256(text.encode()).hexdigest()
  return f'{{"sha256": "{digest}", "told": {text}}}\n'


def _digests(folder):
  """SHA-256 of every file in a folder, by its path there."""
  digests = {}
  for path in folder.iterdir():
    if path.is_dir():
      inner = _digests(path)
      digests |= {f'{path.name}/{name}': inner[name] for name in inner}
    else:
      with path.open('rb') as file:
        digests[path.name] = hashlib.file_digest(file, 'sha256').hexdigest()
  return digests
