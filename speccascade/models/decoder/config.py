"""What the configurations of all decoders without an encoder have.

Shape letters are those of `speccascade.models`.
"""

import dataclasses
from typing import ClassVar

from speccascade.models import base


@dataclasses.dataclass(frozen=True)
class Kind:
  """How the layers of one kind attend.

  Attributes:
    num_kv_heads: K, a divisor of N.
    head_dim: H, even; N * H need not be D.
    rope_base: base wavelength of the rotary embedding.
    rope_factor: positions are divided by it (linear scaling).
    rope_fraction: of the pairs of a head that are rotated, the first ones.
    window: tokens a layer sees, the current one included; None for all.
    keys_as_values: whether values are projected as keys, without weights of
      their own.
  """

  num_kv_heads: int
  head_dim: int
  rope_base: float
  rope_factor: float = 1.0
  rope_fraction: float = 1.0
  window: int | None = None
  keys_as_values: bool = False


@dataclasses.dataclass(frozen=True)
class Config:
  """Architecture and compute settings.

  The class variables are what a family fixes and no setting changes.

  Attributes:
    vocab_size: V.
    num_layers: L.
    embed_dim: D.
    num_heads: N.
    num_kv_heads: K, a divisor of N.
    head_dim: H, even; N * H need not be D.
    hidden_dim: F.
    rope_base: base wavelength of the rotary embedding, at least 1.
    context_length: most tokens, prompt and answer, that a row may have.
    norm_epsilon: added to the mean square of what is normalised.
    dtype: compute type; softmax and logits are computed in float32 or wider.
    activation: of the feed-forward gate, a name of `common.ACTIVATIONS`.
    norm_offset: added to the scales of norms, 0 or 1.
    post_norms: whether norms follow attention and feed-forward, too.
    qk_norm: whether queries and keys are normalised.
    value_norm: whether values are normalised, without a scale.
    qkv_bias: whether queries, keys and values have biases.
    layer_scalar: whether a number multiplies what a layer returns.
    scales_embedding: whether embeddings are multiplied by the root of D.
  """

  vocab_size: int
  num_layers: base.Layers
  embed_dim: int
  num_heads: int
  num_kv_heads: int
  head_dim: int
  hidden_dim: int
  rope_base: float = 10_000.0
  context_length: int = 8192
  norm_epsilon: float = 1e-6
  dtype: base.Dtype = 'float32'

  activation: ClassVar[str] = 'silu'
  norm_offset: ClassVar[int] = 0
  post_norms: ClassVar[bool] = False
  qk_norm: ClassVar[bool] = False
  value_norm: ClassVar[bool] = False
  qkv_bias: ClassVar[bool] = False
  layer_scalar: ClassVar[bool] = False
  scales_embedding: ClassVar[bool] = False

  def __post_init__(self):
    for whole, part in (('num_heads', self.num_kv_heads), ('head_dim', 2)):
      if getattr(self, whole) % part:
        raise ValueError(
          f'{whole}={getattr(self, whole)} must be a multiple of {part}'
        )
    if self.rope_base < 1:
      raise ValueError(f'rope_base={self.rope_base} must be at least 1')

  @property
  def kinds(self) -> tuple[Kind, ...]:
    """Of the layers of a period; layer i has that of i modulo its length."""
    return (self.kind(),)

  def kind(self, **changes) -> Kind:
    """Returns a kind of the settings that all layers share, but for changes."""
    shared = dict(
      num_kv_heads=self.num_kv_heads,
      head_dim=self.head_dim,
      rope_base=self.rope_base,
    )
    return Kind(**shared | changes)

  @property
  def query_scale(self) -> float:
    """What queries are multiplied by."""
    return self.head_dim**-0.5

  @property
  def tied(self) -> bool:
    """Whether the logits are computed with the table of embeddings."""
    return True

  @property
  def attention_cap(self) -> float | None:
    """Bound on the size of attention logits."""
    return None

  @property
  def final_cap(self) -> float | None:
    """Bound on the size of output logits."""
    return None
