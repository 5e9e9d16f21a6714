"""What files beside a vocabulary tell of it, as Hugging Face lays them out."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from etils import epath

from speccascade.storage import json_text
from speccascade.tokenizers import chat

_TOKENS = ('bos_token', 'eos_token', 'pad_token', 'unk_token')
CONFIG = 'tokenizer_config.json'
# The class whose tokenizers end what an encoder reads, in either of its forms.
_ENDS_PROMPTS = ('T5Tokenizer', 'T5TokenizerFast')


@dataclasses.dataclass(frozen=True)
class Settings:
  """What is told of a tokenizer.

  Attributes:
    tokens: 'bos_token', 'eos_token', 'pad_token' and 'unk_token' as pieces,
      those that are told.
    eos_ids: {file: ids} that end an answer.
    begins: whether BOS precedes every prompt; None is not told.
    ends: whether EOS follows every prompt; None is not told.
    template: of chats.
    added: {id: piece} of those that were added to a vocabulary.
  """

  tokens: Mapping[str, str]
  eos_ids: Mapping[epath.Path, tuple[int, ...]]
  begins: bool | None
  ends: bool | None
  template: chat.Template | None
  added: Mapping[int, str]


def read(folder: epath.Path) -> Settings:
  """Reads the settings of a folder; without a file, nothing is told.

  Raises:
    ValueError: a file is not valid; one line that names it.
  """
  config = _json(folder / CONFIG)
  tokens = _tokens(folder / 'special_tokens_map.json')
  tokens |= _tokens(folder / CONFIG)
  kind = config.get('tokenizer_class')
  if kind is None and _json(folder / 'config.json').get('model_type') == 't5':
    kind = _ENDS_PROMPTS[0]
  is_t5 = kind in _ENDS_PROMPTS
  return Settings(
    tokens=tokens,
    eos_ids=eos_ids(folder),
    begins=config.get('add_bos_token'),
    ends=config.get('add_eos_token', True if is_t5 else None),
    template=_template(folder, config.get('chat_template'), tokens),
    added=_added(folder / CONFIG),
  )


def eos_ids(folder: epath.Path) -> dict[epath.Path, tuple[int, ...]]:
  """Returns {file: ids that end an answer}, of the files that tell any.

  Raises:
    ValueError: a file is not valid; one line that names it.
  """
  found = {}
  for name in ('generation_config.json', 'config.json'):
    file = folder / name
    config = _json(file)
    told = config.get('eos_token_id')
    if told is None and isinstance(config.get('text_config'), dict):
      told = config['text_config'].get('eos_token_id')
    ids = [] if told is None else told if isinstance(told, list) else [told]
    if not all(type(i) is int and i >= 0 for i in ids):
      raise ValueError(
        f'{file}: eos_token_id is {told!r}, not an id or a list of ids; '
        'correct it'
      )
    if ids:
      found[file] = tuple(ids)
  return found


def _json(file) -> dict[str, Any]:
  if not file.exists():
    return {}
  if file.is_dir():
    raise ValueError(f'{file} is a folder, not a file; copy it again')
  try:
    value = json_text.load(file)
  except ValueError as error:
    raise ValueError(f'{error}; copy it again') from None
  if not isinstance(value, dict):
    raise ValueError(f'{file} holds no fields; copy it again')
  return value


def _tokens(file):
  """The named pieces of a file: text, or fields of which content is one."""
  found = {}
  for name, value in _json(file).items():
    if name in _TOKENS and value is not None:
      piece = value.get('content') if isinstance(value, dict) else value
      if not isinstance(piece, str):
        raise ValueError(f'{file}: {name} is {value!r}, not a piece; remove it')
      found[name] = piece
  return found


def _added(file):
  """The pieces of `added_tokens_decoder`, by id."""
  told = _json(file).get('added_tokens_decoder') or {}
  if not isinstance(told, dict) or not all(
    token.isdecimal()
    and isinstance(x, dict)
    and isinstance(x.get('content'), str)
    for token, x in told.items()
  ):
    raise ValueError(
      f'{file}: added_tokens_decoder does not tell a piece for each id; copy '
      'it again'
    )
  return {int(token): x['content'] for token, x in told.items()}


def _template(folder, told, tokens):
  """A file of its own counts more than `tokenizer_config.json`."""
  file = folder / 'chat_template.jinja'
  if file.exists():
    try:
      return chat.Template(str(file), file.read_bytes().decode(), tokens)
    except UnicodeDecodeError:
      raise ValueError(f'{file} is not UTF-8; copy it again') from None
  file = folder / CONFIG
  if isinstance(told, list):  # Several templates by name.
    named = [x for x in told if isinstance(x, dict)]
    named = {x.get('name'): x.get('template') for x in named}
    if 'default' not in named:
      raise ValueError(
        f'{file}: of the chat templates {", ".join(map(repr, named))} none is '
        "named 'default'; name one so"
      )
    told = named['default']
  if told is None:
    return None
  if not isinstance(told, str):
    raise ValueError(f'{file}: chat_template is no text; copy it again')
  return chat.Template(str(file), told, tokens)
