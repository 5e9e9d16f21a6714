"""Loads a tokenizer: its vocabulary, and what lies beside it."""

import dataclasses
import hashlib
import json

from etils import epath

from speccascade.tokenizers import base, hugging_face, sentencepiece
from speccascade.tokenizers import settings as settings_lib

# In a folder, the first that is there.
_FILES = ('tokenizer.json', 'tokenizer.model', 'spiece.model')
# Pieces that end a turn. A model that is tuned to chat stops at them, whether
# or not its files tell so.
_TURN_ENDS = (
  '<end_of_turn>',
  '<turn|>',
  '<|im_end|>',
  '<|eot_id|>',
  '<|end|>',
  '<|end_of_turn|>',
)


def load(path: epath.PathLike) -> base.Tokenizer:
  """Loads a tokenizer.

  Args:
    path: a file in sentencepiece's format (`.model`) or Hugging Face's
      (`.json`), or a folder with one. What lies beside the file tells more of
      it: `tokenizer_config.json`, `special_tokens_map.json`,
      `generation_config.json`, `config.json` and `chat_template.jinja`.

  Raises:
    ValueError: a file is not there or incomplete, or nothing ends an answer;
      one line that names the file.
  """
  file = _file(epath.Path(path))
  data = file.read_bytes()
  in_json = file.suffix == '.json'
  codec = (hugging_face if in_json else sentencepiece).load(file, data)
  settings = settings_lib.read(file.parent)
  ids = codec.own_ids | _ids(file, codec, settings)
  around = codec.beginning, codec.ending
  if not in_json:  # Else its post-processor tells, as it does elsewhere.
    around = _around(file, settings, around, ids)
  eos_ids = _eos_ids(file, codec, settings, ids)
  pad_id, template = ids.get('pad_token'), settings.template
  if template is not None:
    template = _complete(file, codec, settings, ids)
  told = [around, eos_ids, pad_id, template and template.source]
  return base.Tokenizer(
    path=str(file),
    codec=codec,
    beginning=around[0],
    ending=around[1],
    eos_ids=eos_ids,
    pad_id=pad_id,
    unk_id=ids.get('unk_token'),
    template=template,
    file_digest=hashlib.sha256(data).hexdigest(),
    digest=hashlib.sha256(data + json.dumps(told).encode()).hexdigest(),
  )


def ended_as_in(
  tokenizer: base.Tokenizer, folder: epath.PathLike
) -> base.Tokenizer:
  """Returns a tokenizer that ends answers as the files of a model tell, too.

  Args:
    tokenizer: Tokenizer.
    folder: of a model, with or without a tokenizer.

  Raises:
    ValueError: a file is not valid, or names an id that is no piece.
  """
  told = settings_lib.eos_ids(epath.Path(folder))
  own = dict.fromkeys(tokenizer.eos_ids)
  found = tuple(own | dict.fromkeys(_told(tokenizer.path, tokenizer, told)))
  if found == tokenizer.eos_ids:
    return tokenizer
  digest = hashlib.sha256(f'{tokenizer.digest} {found}'.encode()).hexdigest()
  return dataclasses.replace(tokenizer, eos_ids=found, digest=digest)


def is_in(path: epath.PathLike) -> bool:
  """Whether a folder has a tokenizer that `load` takes."""
  return any((epath.Path(path) / name).exists() for name in _FILES)


def _file(path):
  """The file of a vocabulary: that one, or the first of a folder."""
  if not path.exists():
    raise ValueError(f'there is no tokenizer at {path}')
  if not path.is_dir():
    return path
  for name in _FILES:
    if (path / name).exists() and not (path / name).is_dir():
      return path / name
  raise ValueError(
    f'{path} is a folder, not a tokenizer, and has none of '
    f'{", ".join(_FILES)}; check the path'
  )


def _ids(file, codec, settings):
  """{'eos_token': id, ...} of the pieces that the settings name."""
  ids = {name: codec.find(piece) for name, piece in settings.tokens.items()}
  for name in ('bos_token', 'eos_token'):
    if name in ids and ids[name] is None:
      raise ValueError(
        f'{file} has no piece {settings.tokens[name]!r}, the {name} that the '
        'files beside it name; copy all from one model'
      )
  return ids


def _around(file, settings, own, ids):
  """(tokens before, tokens after) every prompt."""
  found = []
  for name, told, tokens in (
    ('bos_token', settings.begins, own[0]),
    ('eos_token', settings.ends, own[1]),
  ):
    if told and name not in ids:
      raise ValueError(
        f'{file} has no {name}, which tokenizer_config.json puts around every '
        'prompt; copy both from one model'
      )
    found.append(tokens if told is None else (ids[name],) if told else ())
  return tuple(found)


def _complete(file, codec, settings, ids):
  """The template of chats, with the pieces that only the vocabulary tells."""
  template = settings.template
  for token, piece in settings.added.items():
    if token >= codec.vocab_size and piece in template.source:
      raise ValueError(
        f'{file} has no piece {piece!r}, which the chat template writes; copy '
        'the tokenizer.json of the model beside it'
      )
  if len(codec.beginning) == 1:
    ids = {'bos_token': codec.beginning[0]} | ids
  own = {name: codec.piece(i) for name, i in ids.items() if i is not None}
  return dataclasses.replace(template, tokens=own | dict(template.tokens))


def _told(file, codec, eos_ids):
  """The ids of files, which are pieces of the vocabulary."""
  for source, told in eos_ids.items():
    for token in told:
      if token >= codec.vocab_size:
        raise ValueError(
          f'{source}: eos_token_id {token} is no piece of {file}; copy both '
          'from one model'
        )
      yield token


def _eos_ids(file, codec, settings, ids):
  """All tokens that end an answer, the tokenizer's own first."""
  found = [ids.get('eos_token'), *_told(file, codec, settings.eos_ids)]
  if settings.template is not None:
    ends = [piece for piece in _TURN_ENDS if piece in settings.template.source]
    found += map(codec.find, ends)
  found = tuple(dict.fromkeys(x for x in found if x is not None))
  if not found:
    raise ValueError(
      f'{file} has no piece that ends an answer; name its eos_token in '
      f'{file.parent / settings_lib.CONFIG}'
    )
  return found
