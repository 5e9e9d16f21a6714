"""Tokenizers of few pieces, whose ids are those of `tokenizers.train`."""

import importlib.resources

from speccascade import tokenizers

SHIPPED = importlib.resources.files('speccascade.pairs') / 'word_problems'
SPECIAL = ('<pad>', '</s>', '<s>', '<unk>')


class Pieces:
  """A codec of given pieces, of which '▁' begins with a space."""

  special_ids = frozenset((tokenizers.PAD, tokenizers.EOS, tokenizers.BOS))

  def __init__(self, pieces):
    self._pieces = [*SPECIAL, *pieces]
    self.vocab_size = len(self._pieces)

  def encode(self, text):
    """Of a text that is a piece; others are unknown."""
    token = self.find('▁' + text)
    return [tokenizers.UNK if token is None else token]

  def decode(self, tokens):
    text = ''.join(map(self.piece, tokens)).replace('▁', ' ')
    return text.removeprefix(' ')

  def piece(self, token):
    return self._pieces[token]

  def find(self, piece):
    return self._pieces.index(piece) if piece in self._pieces else None


class Bytes:
  """A codec of one byte a token."""

  vocab_size = 256
  special_ids = frozenset()

  def encode(self, text):
    return list(text.encode())

  def decode(self, tokens):
    return bytes(tokens).decode(errors='replace')


def make(codec, **changes):
  """A tokenizer of a codec."""
  told = dict(
    path='tokenizer.model',
    codec=codec,
    beginning=(tokenizers.BOS,),
    ending=(),
    eos_ids=(tokenizers.EOS,),
    pad_id=tokenizers.PAD,
    unk_id=tokenizers.UNK,
    template=None,
    file_digest='',
    digest='',
  )
  return tokenizers.Tokenizer(**told | changes)
