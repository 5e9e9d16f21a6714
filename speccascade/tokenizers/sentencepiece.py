"""Vocabularies in sentencepiece's format, `tokenizer.model`."""

import re

import sentencepiece
from etils import epath
from google.protobuf import message
from sentencepiece import sentencepiece_model_pb2


class SentencePiece:
  """See `base.Codec`."""

  def __init__(self, processor: sentencepiece.SentencePieceProcessor):
    self._processor = processor
    self.vocab_size = processor.vocab_size()
    self.special_ids = frozenset(
      filter(processor.is_control, range(self.vocab_size))
    )
    own = {
      'pad_token': processor.pad_id(),
      'eos_token': processor.eos_id(),
      'bos_token': processor.bos_id(),
      'unk_token': processor.unk_id(),
    }
    self.own_ids = {name: token for name, token in own.items() if token >= 0}
    bos = self.own_ids.get('bos_token')
    self.beginning = () if bos is None else (bos,)
    self.ending = ()
    # The library takes a special piece in a text for any other characters.
    self._written = {self.piece(token): token for token in self.special_ids}
    longest_first = sorted(self._written, key=len, reverse=True)
    self._special = re.compile(f'({"|".join(map(re.escape, longest_first))})')

  def encode(self, text):
    """See `base.Codec`."""
    if not self._written:
      return self._processor.encode(text)
    tokens = []
    for part in self._special.split(text):
      if part in self._written:
        tokens.append(self._written[part])
      else:
        tokens += self._processor.encode(part)
    return tokens

  def decode(self, tokens):
    """See `base.Codec`."""
    return self._processor.decode(tokens)

  def piece(self, token):
    """See `base.Codec`."""
    return self._processor.id_to_piece(token)

  def find(self, piece):
    """See `base.Codec`."""
    token = self._processor.piece_to_id(piece)  # Or that of unknown ones.
    return token if self.piece(token) == piece else None


def load(file: epath.Path, data: bytes) -> SentencePiece:
  """Makes a vocabulary of a file's bytes.

  Raises:
    ValueError: they are no whole sentencepiece model, or its ids are of no use.
  """
  processor = sentencepiece.SentencePieceProcessor()
  if not _whole(processor, data):
    raise ValueError(
      f'{file} is not a complete sentencepiece model; copy it again'
    )
  codec = SentencePiece(processor)
  if len(set(codec.own_ids.values())) < len(codec.own_ids):
    raise ValueError(
      f'{file}: its ids {codec.own_ids} must be distinct; train a tokenizer '
      'with such'
    )
  return codec


def _whole(processor, data):
  """Loads `data`; whether it is a whole model."""
  try:
    proto = sentencepiece_model_pb2.ModelProto.FromString(data)
    processor.LoadFromSerializedProto(data)
    processor.id_to_piece(list(range(processor.vocab_size())))  # Are text.
    processor.decode(processor.encode('A text.'))
  except (RuntimeError, UnicodeDecodeError, message.DecodeError):
    return False
  # A file that is cut between two fields is a valid one without these.
  return proto.HasField('trainer_spec') and proto.HasField('normalizer_spec')
