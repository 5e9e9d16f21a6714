"""Writes a checkpoint of any format in one of three."""

import dataclasses
import itertools
import json
from typing import Any

import numpy as np
from etils import epath
from flax import traverse_util

from speccascade import checkpoints
from speccascade.checkpoints import hugging_face, native, opened, orbax, reading
from speccascade.checkpoints import tensors as tensors_lib
from speccascade.storage import files, json_text
from speccascade.tokenizers import settings as settings_lib

# How a format is written, and how often each parameter is asked for.
FORMATS = {
  'native': (native.save, 2),
  'orbax': (orbax.save, 1),
  'hugging_face': (hugging_face.save, 2),
}
_GENERATION = 'generation_config.json'
# Beside the weights of a model, what its tokenizer is read from.
_TOKENIZER = (
  'chat_template.jinja',
  _GENERATION,
  'special_tokens_map.json',
  'spiece.model',
  'tokenizer.json',
  'tokenizer.model',
  'tokenizer_config.json',
)


def convert(
  source: epath.PathLike, out: epath.PathLike, form: str, dtype: str | None
) -> str:
  """Writes a checkpoint anew, and its tokenizer if both are folders.

  Of the native format and that of Hugging Face, no more than one parameter is
  in memory.

  Args:
    source: as of `checkpoints.open`.
    out: file of the native format, or folder; it must not be there.
    form: one of `FORMATS`.
    dtype: type that is stored, 'bfloat16' or 'float32'; None is bfloat16 if
      all of the source is.

  Returns:
    A line of what was written.

  Raises:
    ValueError: the source is no whole checkpoint, or `out` is there.
  """
  out = epath.Path(out)
  if out.exists():
    raise ValueError(f'{out} is there; remove it or give another path')
  found = checkpoints.open(source, 'float32')
  sources = opened.sources(found)
  if dtype is None:
    narrow = {x.tensor.dtype for x in sources.values()} == {
      tensors_lib.DTYPES['BF16']
    }
    dtype = 'bfloat16' if narrow else 'float32'
  if found.checksum is not None:
    reading.verify(found)
  beside = _tokenizer(found.path) if found.path.is_dir() else {}
  save, times = FORMATS[form]
  total = times * sum(x.nbytes for x in sources.values())
  with reading.progress(out.name, total) as bar:
    shown = {name: _Shown(x, bar) for name, x in sources.items()}
    params = traverse_util.unflatten_dict(shown, sep='.')
    save(out, dataclasses.replace(found.config, dtype=dtype), params, dtype)
  if out.is_dir():
    for name, data in beside.items():
      files.write(out / name, data)
  return f'{out}: {found.size:,} parameters in {dtype}'


@dataclasses.dataclass(frozen=True)
class _Shown:
  """A parameter that advances a bar when it is read."""

  source: opened.Source
  bar: Any

  @property
  def shape(self):
    return self.source.shape

  def __array__(self, dtype=None, copy=None):
    del dtype, copy
    x = np.asarray(self.source)
    self.bar.update(self.source.nbytes)
    return x


def _tokenizer(source):
  """{name: bytes} of the files that a tokenizer is read from.

  config.json, which is not among them, may tell ids that end an answer, too:
  they go into generation_config.json.
  """
  told = settings_lib.eos_ids(source)
  found = {
    name: (source / name).read_bytes()
    for name in _TOKENIZER
    if (source / name).exists()
  }
  if source / 'config.json' in told:
    ids = dict.fromkeys(itertools.chain(*told.values()))
    own = json_text.loads(found.get(_GENERATION, b'{}'))
    text = json.dumps(own | {'eos_token_id': list(ids)}, indent=2)
    found[_GENERATION] = f'{text}\n'.encode()
  return found
