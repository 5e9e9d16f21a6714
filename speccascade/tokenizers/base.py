"""What a tokenizer is: text to ids and back, and the ids that mean more."""

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from speccascade.tokenizers import chat

_SPACE = '\u2581'  # How sentencepiece writes a space.


class Codec(Protocol):
  """The pieces of a vocabulary, as one file has them. Can be pickled.

  Attributes:
    vocab_size: one more than the largest id, added pieces included.
    special_ids: pieces that stand for no text.
    own_ids: {'eos_token': id}, likewise 'bos_token', 'pad_token' and
      'unk_token': what the file itself tells, the more certain source.
    beginning: tokens before every prompt, as the file tells.
    ending: tokens after every prompt, likewise.
  """

  vocab_size: int
  special_ids: frozenset[int]
  own_ids: Mapping[str, int]
  beginning: tuple[int, ...]
  ending: tuple[int, ...]

  def encode(self, text: str) -> list[int]:
    """Returns the ids of a text; special pieces written in it are theirs."""

  def decode(self, tokens: Sequence[int]) -> str:
    """Returns the text of ids, none of which is special."""

  def piece(self, token: int) -> str:
    """Returns the piece of an id, '' for an id without one."""

  def find(self, piece: str) -> int | None:
    """Returns the id of a piece, None if there is no such piece."""


@dataclasses.dataclass(frozen=True, eq=False)
class Tokenizer:
  """A tokenizer, whatever its file format. Can be pickled.

  Attributes:
    path: where it was read from, for messages alone.
    codec: its pieces.
    beginning: tokens before every prompt: BOS, or none.
    ending: tokens after every prompt: none, but EOS where an encoder wants it.
    eos_ids: tokens that end an answer, at least one; the first is the
      tokenizer's own, which ends what is trained on.
    pad_id: padding; None without one.
    unk_id: what stands for unknown characters; None without one.
    template: of chats; None without one.
    file_digest: SHA-256 of the vocabulary's file, in hexadecimal.
    digest: likewise, of that file and of what others tell of it.
  """

  path: str
  codec: Codec
  beginning: tuple[int, ...]
  ending: tuple[int, ...]
  eos_ids: tuple[int, ...]
  pad_id: int | None
  unk_id: int | None
  template: chat.Template | None
  file_digest: str
  digest: str

  @property
  def vocab_size(self) -> int:
    """Number of pieces, added ones included; models may have more rows."""
    return self.codec.vocab_size

  @functools.cached_property
  def special_ids(self) -> frozenset[int]:
    """The tokens that stand for no text."""
    return self.codec.special_ids.union(self.eos_ids, self.beginning)

  def encode(self, text: str) -> list[int]:
    """Returns the ids of a text, without what begins or ends a prompt.

    Special pieces that are written in the text, as chat templates write them,
    become their ids.
    """
    return self.codec.encode(text)

  def prompt(self, text: str) -> list[int]:
    """Returns the ids of a prompt: its beginning, the text and its ending."""
    return [*self.beginning, *self.encode(text), *self.ending]

  def decode(self, tokens: Iterable[int]) -> str:
    """Returns the text of ids; special pieces are left out."""
    special = self.special_ids
    return self.codec.decode([t for t in map(int, tokens) if t not in special])

  def piece(self, token: int) -> str:
    """Returns the piece of an id, '' for an id without one."""
    return self.codec.piece(token)

  def chat(
    self, messages: Sequence[Mapping[str, Any]], **variables: Any
  ) -> str:
    """Renders a chat as the model was trained to read it.

    Args:
      messages: of 'role' and 'content' each, the user's last.
      **variables: of the template, such as `enable_thinking=False`.

    Returns:
      A whole prompt, its beginning included, up to where the answer begins.

    Raises:
      ValueError: there is no template, or it refuses the messages.
    """
    if self.template is None:
      raise ValueError(
        f'{self.path} has no chat template; give the prompt as text, or take a '
        'model that is tuned to chat'
      )
    return self.template.render(messages, **variables)


def check_same(a: Tokenizer, b: Tokenizer) -> None:
  """Raises ValueError unless two tokenizers have the same pieces.

  They are compared by content, over the ids that both have: the same pieces in
  another file format, which may write a space otherwise, are the same, and one
  may have further pieces.
  """
  if a.file_digest == b.file_digest:
    return
  for token in range(min(a.vocab_size, b.vocab_size)):
    own, other = a.piece(token), b.piece(token)
    if own.replace(_SPACE, ' ') != other.replace(_SPACE, ' '):
      raise ValueError(
        f'the tokenizers differ: token {token} is {own!r} in {a.path}, '
        f'{other!r} in {b.path}; a pair needs models of one tokenizer'
      )
