"""A model whose vocabulary has rows that stand for no piece."""

import dataclasses
from typing import Any

import jax.numpy as jnp

from speccascade.models import base, common, registry


@dataclasses.dataclass(frozen=True)
class Padded:
  """A `base.Model` that gives no probability to what is no piece.

  Rows that pad a vocabulary were never trained. They stay for the devices of a
  mesh to divide V, which without them is seldom a multiple of anything.

  Attributes:
    model: Model.
    pieces: how many of its V rows stand for pieces, the first ones.
  """

  model: base.Model
  pieces: int

  def __getattr__(self, name: str) -> Any:
    """Returns what the model has."""
    if name.startswith('__'):
      raise AttributeError(name)
    return getattr(self.model, name)

  def forward(self, params, *inputs):
    """See `base.Model`."""
    return self._of_pieces(self.model.forward(params, *inputs))

  def logits(self, params, x_BxTxD):
    """See `base.Model`."""
    return self._of_pieces(self.model.logits(params, x_BxTxD))

  def extend(self, params, cache, token_BxT, at_B=None):
    """See `base.Model`."""
    logits_BxTxV, cache = self.model.extend(params, cache, token_BxT, at_B)
    return self._of_pieces(logits_BxTxV), cache

  def _of_pieces(self, logits_BxTxV):
    is_piece_V = jnp.arange(logits_BxTxV.shape[-1]) < self.pieces
    return jnp.where(is_piece_V, logits_BxTxV, common.MASKED)


def like(model: base.Model, config: base.Config) -> base.Model:
  """Returns a model of another configuration, which draws the same pieces."""
  return over(registry.make_model(config), pieces(model))


def pieces(model: base.Model) -> int:
  """Returns how many pieces a model draws."""
  return getattr(model, 'pieces', model.vocab_size)


def over(model: base.Model, pieces: int) -> base.Model:
  """Returns the model, which draws the first so many pieces alone."""
  return model if pieces >= model.vocab_size else Padded(model, pieces)
