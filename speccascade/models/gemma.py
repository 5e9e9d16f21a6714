"""Gemma 2, from thousands of parameters to 27 billion.

Gemma Team, "Gemma 2: Improving Open Language Models at a Practical Size",
2024 (arXiv 2408.00118): grouped-query attention, RoPE, alternating
sliding-window and global layers, soft-capped attention and final logits,
pre- and post-norms with (1 + w) scales, GeGLU, tied and scaled embeddings.

Letters: B batch, T tokens, S keys, D model width, F feed-forward width,
N query heads, K key-value heads, G = N / K, H head width, V vocabulary.
"""

import dataclasses

import jax.numpy as jnp

from speccascade import sharding
from speccascade.models import cache as cache_lib
from speccascade.models import transformer


@dataclasses.dataclass(frozen=True)
class GemmaConfig:
  """Architecture and compute settings.

  Attributes:
    vocab_size: V.
    num_layers: a multiple of the length of `attention_pattern`.
    embed_dim: D.
    num_heads: N.
    num_kv_heads: K, a divisor of N.
    head_dim: H, even.
    hidden_dim: F.
    query_scalar: queries are scaled by its inverse square root; None is H.
    attention_pattern: kind of each layer of a period, 'local' or 'global'.
    window: tokens a local layer sees, the current one included.
    attention_softcap: attention logits stay within plus or minus this.
    final_softcap: output logits likewise.
    rope_base: base wavelength of the rotary embedding.
    context_length: most tokens, prompt and answer, the model is meant for.
    scan_layers: one compiled period scanned over stacked parameters (large
      models: short compiles) or all layers unrolled (small models).
    dtype: compute type, 'bfloat16', 'float32' or 'float64'; softmax and
      logits are computed in float32 or wider.
  """

  vocab_size: int
  num_layers: int
  embed_dim: int
  num_heads: int
  num_kv_heads: int
  head_dim: int
  hidden_dim: int
  query_scalar: float | None = None
  attention_pattern: tuple[str, ...] = ('local', 'global')
  window: int = 4096
  attention_softcap: float = 50.0
  final_softcap: float = 30.0
  rope_base: float = 10_000.0
  context_length: int = 8192
  scan_layers: bool = False
  dtype: str = 'float32'

  def __post_init__(self):
    object.__setattr__(self, 'attention_pattern', tuple(self.attention_pattern))
    unknown = set(self.attention_pattern) - {'local', 'global'}
    if unknown or not self.attention_pattern:
      raise ValueError(
        f'attention_pattern={self.attention_pattern} must be of '
        "'local' and 'global'"
      )
    for whole, part in (
      ('num_layers', len(self.attention_pattern)),
      ('num_heads', self.num_kv_heads),
      ('head_dim', 2),
    ):
      if getattr(self, whole) % part:
        raise ValueError(
          f'{whole}={getattr(self, whole)} must be a multiple of {part}'
        )

  @property
  def windows(self):
    """Window of each layer of a period, None where it is global."""
    return tuple(
      self.window if kind == 'local' else None
      for kind in self.attention_pattern
    )


def gemma2_2b(**overrides):
  """Gemma 2 2B: 2,614,341,888 parameters."""
  return _preset(26, 2304, 8, 4, 256, 9216, 256.0, overrides)


def gemma2_9b(**overrides):
  """Gemma 2 9B: 9,241,705,984 parameters."""
  return _preset(42, 3584, 16, 8, 256, 14336, 256.0, overrides)


def gemma2_27b(**overrides):
  """Gemma 2 27B: 27,227,128,320 parameters."""
  return _preset(46, 4608, 32, 16, 128, 36864, 144.0, overrides)


def _preset(layers, width, heads, kv_heads, head, hidden, scalar, overrides):
  settings = dict(
    vocab_size=256_000,
    num_layers=layers,
    embed_dim=width,
    num_heads=heads,
    num_kv_heads=kv_heads,
    head_dim=head,
    hidden_dim=hidden,
    query_scalar=scalar,
    scan_layers=True,
    dtype='bfloat16',
  )
  return GemmaConfig(**{**settings, **overrides})


@dataclasses.dataclass(frozen=True)
class Gemma:
  """The model as pure functions of its parameters."""

  config: GemmaConfig

  @property
  def vocab_size(self):
    """V."""
    return self.config.vocab_size

  def longest_prompt(self, max_new_tokens):
    """Most tokens of a prompt that is to be continued by so many."""
    return self.config.context_length - max_new_tokens

  def init(self, key):
    """Random parameters, float32: a nested dict."""
    token_1x1 = jnp.zeros((1, 1), jnp.int32)
    return transformer.Transformer(self.config).init(key, token_1x1)['params']

  def forward(self, params, token_BxT):
    """Uncached causal pass: logits_BxTxV, float32 or wider."""
    x_BxTxD, _ = self._apply(params, token_BxT)
    return self._logits(params, x_BxTxD)

  def prefill(self, params, token_BxS, length_B, *, new_tokens, block):
    """Reads right-padded prompts.

    Args:
      params: from `init`.
      token_BxS: int32 prompts, padded on the right.
      length_B: their lengths, at least 1.
      new_tokens: most tokens that will be generated.
      block: longest block that `extend` will be given.

    Returns:
      (cache of all but each prompt's last token, that token_B).
    """
    held_B = length_B - 1
    capacity = token_BxS.shape[1] + new_tokens
    _, (keys, values) = self._apply(params, token_BxS)
    windows = self.config.windows
    shapes = [
      cache_lib.num_slots(windows[i % len(windows)], capacity, block)
      for i in range(len(keys))
    ]
    pack = lambda stacks: tuple(  # noqa: E731
      sharding.constrain(cache_lib.pack(x, held_B, slots, ring), sharding.CACHE)
      for x, (slots, ring) in zip(stacks, shapes, strict=True)
    )
    cache = cache_lib.Cache(
      length_B=held_B,
      keys=pack(keys),
      values=pack(values),
      rings=tuple(ring for _, ring in shapes),
    )
    last_B = jnp.take_along_axis(token_BxS, held_B[:, None], axis=1)[:, 0]
    return cache, last_B

  def extend(self, params, cache, token_BxT):
    """Appends a block: (logits_BxTxV after each of its tokens, cache)."""
    x_BxTxD, (keys, values) = self._apply(params, token_BxT, cache)
    cache = cache.replace(
      length_B=cache.length_B + token_BxT.shape[1], keys=keys, values=values
    )
    return self._logits(params, x_BxTxD), cache

  def _apply(self, params, token_BxT, cache=None):
    net = transformer.Transformer(self.config)
    return net.apply({'params': params}, token_BxT, cache)

  def _logits(self, params, x_BxTxD):
    # Vocabulary-sharded embeddings give vocabulary-sharded logits.
    embedding_VxD = params['embedding'].astype(x_BxTxD.dtype)
    logits_BxTxV = jnp.einsum(
      'BTD,VD->BTV',
      x_BxTxD,
      embedding_VxD,
      preferred_element_type=transformer.wide(x_BxTxD.dtype),
    )
    logits_BxTxV = transformer.softcap(logits_BxTxV, self.config.final_softcap)
    return sharding.constrain(logits_BxTxV, sharding.LOGITS)
