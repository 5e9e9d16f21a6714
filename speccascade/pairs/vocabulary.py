"""The pieces that all models of a pair and their tokenizer have."""

from collections.abc import Mapping

from speccascade import tokenizers
from speccascade.checkpoints import opened
from speccascade.models import registry

_EVEN = 128  # Of a TPU's tile, and of devices that divide V.


def common(
  models: Mapping[str, opened.Checkpoint],
  tokenizer: tokenizers.Tokenizer,
  certain: Mapping[str, bool],
) -> tuple[int, int]:
  """Returns (how many pieces are drawn from, V, the rows that models keep).

  Models may have padding rows after the pieces, each its own number of them; a
  tokenizer may have special pieces after a model's rows, such as for images.
  Of padding that all have V keeps as much as makes it a multiple of `_EVEN`.

  Args:
    models: {role: Checkpoint}.
    tokenizer: of all.
    certain: {role: whether the tokenizer is known to be the model's}.

  Raises:
    ValueError: a model does not fit the tokenizer.
  """
  pieces = tokenizer.vocab_size
  padding = max(128, pieces // 100)
  for role, model in models.items():
    rows = model.config.vocab_size
    spoken = set(range(rows, pieces)) - tokenizer.special_ids
    if spoken or (rows > pieces + padding and not certain[role]):
      raise ValueError(
        f'{model.path} has a vocabulary of {rows}, but the tokenizer has '
        f'{pieces} pieces; use the tokenizer that the model was trained with'
      )
    start = getattr(model.config, 'start_token', None)
    if registry.family_of(model.config).encodes_input and (
      tokenizer.pad_id != start
    ):
      raise ValueError(
        f'{model.path}: its decoder starts from token {start}, which is not '
        'the padding of the tokenizer; use the tokenizer that the model was '
        'trained with'
      )
  rows = min(x.config.vocab_size for x in models.values())
  pieces = min(pieces, rows)
  return pieces, min(rows, -(-pieces // _EVEN) * _EVEN)
