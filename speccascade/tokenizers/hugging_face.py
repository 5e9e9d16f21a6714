"""Vocabularies in Hugging Face's format, `tokenizer.json`."""

import json
import re

import tokenizers
from etils import epath

_KINDS = ('BPE', 'Unigram', 'WordLevel', 'WordPiece')
_ADDED = re.compile(r'"added_tokens"\s*:\s*')


class HuggingFace:
  """See `base.Codec`."""

  def __init__(self, tokenizer: tokenizers.Tokenizer):
    tokenizer.no_truncation()  # A file may tell what its last user asked for.
    tokenizer.no_padding()
    self._tokenizer = tokenizer
    self.vocab_size = 1 + max(tokenizer.get_vocab().values())
    added = tokenizer.get_added_tokens_decoder()
    self.special_ids = frozenset(i for i, x in added.items() if x.special)
    unknown = self.find(getattr(tokenizer.model, 'unk_token', None) or '')
    self.own_ids = {} if unknown is None else {'unk_token': unknown}
    # Whatever the text, the post-processor puts the same around it.
    text = self.encode('a')
    whole = tokenizer.encode('a', add_special_tokens=True).ids
    starts = range(len(whole) - len(text) + 1)
    start = next(i for i in starts if whole[i : i + len(text)] == text)
    self.beginning = tuple(whole[:start])
    self.ending = tuple(whole[start + len(text) :])

  def encode(self, text):
    """See `base.Codec`."""
    return self._tokenizer.encode(text, add_special_tokens=False).ids

  def decode(self, tokens):
    """See `base.Codec`."""
    return self._tokenizer.decode(tokens, skip_special_tokens=False)

  def piece(self, token):
    """See `base.Codec`."""
    return self._tokenizer.id_to_token(token) or ''

  def find(self, piece):
    """See `base.Codec`."""
    return self._tokenizer.token_to_id(piece)


def load(file: epath.Path, data: bytes) -> HuggingFace:
  """Makes a vocabulary of a file's bytes.

  Raises:
    ValueError: they are no whole tokenizer, one of an unknown kind, or two of
      its pieces have one id.
  """
  try:
    tokenizer = tokenizers.Tokenizer.from_buffer(data)
  except ValueError as error:
    raise ValueError(f'{file} {_fault(data, str(error))}') from None
  vocab = tokenizer.get_vocab()
  if not vocab:
    raise ValueError(f'{file} is a tokenizer without pieces; copy it again')
  _check_ids(file, vocab, _added(data.decode()))
  return HuggingFace(tokenizer)


def _fault(data, error):
  """Why the library does not take a file."""
  try:
    value = json.loads(data)
  except ValueError:
    return 'is not complete JSON; copy it again'
  model = value.get('model') if isinstance(value, dict) else None
  if not isinstance(model, dict):
    return 'is not a tokenizer, it has no field model; check the path'
  kind = model.get('type')
  if kind not in (None, *_KINDS):
    return (
      f'is a tokenizer of kind {kind!r}, known are {", ".join(_KINDS)}; update '
      'the library tokenizers'
    )
  reason = ' '.join(error.split()).partition('buffer: ')[2]
  return f'is not a whole tokenizer: {reason}; copy it again'


def _added(text):
  """The added pieces as the file tells them, without parsing the rest."""
  found = _ADDED.search(text)
  if not found:
    return []
  return json.JSONDecoder().raw_decode(text, found.end())[0] or []


def _check_ids(file, vocab, added):
  """Raises ValueError if an id stands for two pieces.

  The library would give one of them to an added piece under another id.
  """
  pieces = {}
  told = [(x['content'], x['id']) for x in added]
  for piece, token in (*vocab.items(), *told):
    other = pieces.setdefault(token, piece)
    if other != piece:
      raise ValueError(
        f'{file}: id {token} stands for two pieces, {other!r} and {piece!r}; '
        'copy it again'
      )
