"""T5 v1.1's encoder, cross-attention memory and decoder.

Shape letters are those of `speccascade.models`; K is N.
"""

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from speccascade import sharding
from speccascade.models import cache as cache_lib
from speccascade.models import common
from speccascade.models.t5 import config as config_lib

_BUCKETS = 32
_FAR = 128  # All distances from here on share the last bucket.


class Network(nn.Module):
  """All parameters; `read` encodes an input and `write` decodes after it."""

  config: config_lib.T5Config

  def setup(self):
    """Declares the parameters of both methods."""
    cfg = self.config
    shape, normal = (cfg.vocab_size, cfg.embed_dim), nn.initializers.normal
    self.embedding = self.param('embedding', normal(1.0), shape)
    self.encoder = _Encoder(cfg)
    self.memory = _Memory(cfg)
    self.decoder = _Decoder(cfg)
    self.lm_head = self.param('lm_head', normal(cfg.embed_dim**-0.5), shape)

  def __call__(self, input_BxS, length_B, token_BxT):
    """Returns logits_BxTxV after each token of the decoder."""
    return self.write(token_BxT, self.read(input_BxS, length_B))[0]

  def read(self, input_BxS, length_B):
    """Returns the memory of right-padded inputs."""
    mask_Bx1xS = _within(length_B, input_BxS.shape[1])
    x_BxSxD = self.encoder(self._embed(input_BxS), mask_Bx1xS)
    keys, values = self.memory(x_BxSxD)
    return cache_lib.Memory(length_B=length_B, keys=keys, values=values)

  def write(self, token_BxT, memory, cache=None):
    """Returns (logits_BxTxV, self-attention's keys and values or None)."""
    x_BxTxD, stacks = self.decoder(self._embed(token_BxT), memory, cache)
    # Vocabulary-sharded heads give vocabulary-sharded logits.
    logits_BxTxV = jnp.einsum(
      'BTD,VD->BTV',
      x_BxTxD,
      self.lm_head.astype(x_BxTxD.dtype),
      preferred_element_type=common.wide(x_BxTxD.dtype),
    )
    return sharding.constrain(logits_BxTxV, sharding.LOGITS), stacks

  def _embed(self, token_BxT):
    # Cast after the gather: its gradient is then summed in float32.
    return self.embedding[token_BxT].astype(self.config.dtype)


def buckets(bidirectional):
  """Returns the bucket of each relative position, key - query, in -128..128.

  Half of a direction's buckets hold one distance each; the others hold ranges
  that grow geometrically up to 128. Computed in integers: a logarithm rounds
  distances on a boundary to either side.

  Args:
    bidirectional: whether half of the buckets are for keys after the query;
      otherwise such keys count as distance 0.

  Returns:
    int32 array of 257 buckets in 0..31.
  """
  relative = np.arange(-_FAR, _FAR + 1)
  if bidirectional:
    half, distance = _BUCKETS // 2, np.abs(relative)
    return (_distance_buckets(half)[distance] + half * (relative > 0)).astype(
      np.int32
    )
  return _distance_buckets(_BUCKETS)[np.maximum(-relative, 0)].astype(np.int32)


def _distance_buckets(number):
  exact = wide = number // 2
  # The i-th wide bucket starts at exact * (128 / exact) ** (i / wide).
  starts = [_FAR**i * exact ** (wide - i) for i in range(1, wide)]
  return np.array(
    [
      d if d < exact else exact + sum(d**wide >= start for start in starts)
      for d in range(_FAR + 1)
    ]
  )


class _RelativeBias(nn.Module):
  """Bias of the self-attention logits, shared by the layers of a stack."""

  config: config_lib.T5Config
  bidirectional: bool

  @nn.compact
  def __call__(self):
    """Returns bias_RxN of the R relative positions -128..128."""
    cfg = self.config
    table_WxN = self.param(
      'relative_bias',
      nn.initializers.normal(cfg.embed_dim**-0.5),
      (_BUCKETS, cfg.num_heads),
    )
    return table_WxN[buckets(self.bidirectional)].astype(cfg.dtype)


def _spread(bias_RxN, query_BxT, key_BxS):
  """Returns bias_BxNxTxS of queries and keys at these positions."""
  relative_BxTxS = key_BxS[:, None, :] - query_BxT[:, :, None]
  at_BxTxS = jnp.clip(relative_BxTxS, -_FAR, _FAR) + _FAR
  return bias_RxN[at_BxTxS].transpose(0, 3, 1, 2)


@flax.struct.dataclass
class _Context:
  """Inputs that all layers of a stack share.

  Of `mask_BxTxS` and `bias_BxNxTxS` over a cache every layer makes as much as
  it reads, of `bias_RxN` and the positions.
  """

  mask_BxTxS: jax.Array | None = None
  bias_BxNxTxS: jax.Array | None = None
  bias_RxN: jax.Array | None = None
  position_BxT: jax.Array | None = None
  longest: jax.Array | None = None  # tokens of the longest row, with the block
  input_length_B: jax.Array | None = None


class _Encoder(nn.Module):
  config: config_lib.T5Config

  @nn.compact
  def __call__(self, x_BxSxD, mask_Bx1xS):
    cfg = self.config
    position_1xS = jnp.arange(x_BxSxD.shape[1])[None]
    bias_RxN = _RelativeBias(cfg, True, name='positions')()
    context = _Context(
      mask_Bx1xS, _spread(bias_RxN, position_1xS, position_1xS)
    )
    for layers, index in _layers(_EncoderLayer, cfg, cfg.num_layers):
      x_BxSxD, _ = layers(x_BxSxD, index, context)
    return _RMSNorm(name='final_norm')(x_BxSxD)


class _EncoderLayer(nn.Module):
  config: config_lib.T5Config

  @nn.compact
  def __call__(self, x_BxTxD, _, context):
    cfg = self.config
    y_BxTxD = _RMSNorm(name='attention_norm')(x_BxTxD)
    y_BxTxD, _ = _SelfAttention(cfg, name='attention')(
      y_BxTxD, None, 0, context
    )
    x_BxTxD += y_BxTxD
    y_BxTxD = _RMSNorm(name='ffw_norm')(x_BxTxD)
    return x_BxTxD + common.FeedForward(cfg, name='ffw')(y_BxTxD), None


class _Memory(nn.Module):
  """Keys and values of the encoded input, for each decoder layer."""

  config: config_lib.T5Config

  @nn.compact
  def __call__(self, x_BxSxD):
    """Returns (keys, values), each one LxBxNxSxH array a stack."""
    names, layers = ['layers'], self.config.decoder_layers
    if not self.config.scan_layers:
      names, layers = [f'layers_{i}' for i in range(layers)], 1
    made = [_Kernels(self.config, layers, name=n)(x_BxSxD) for n in names]
    return tuple(zip(*made, strict=True))


class _Kernels(nn.Module):
  config: config_lib.T5Config
  layers: int

  @nn.compact
  def __call__(self, x_BxSxD):
    cfg = self.config
    shape = (self.layers, cfg.embed_dim, cfg.num_heads, cfg.head_dim)
    init = nn.initializers.lecun_normal(1, (2, 3), 0)

    def project(name):
      w_LxDxNxH = self.param(name, init, shape).astype(x_BxSxD.dtype)
      y_LxBxNxSxH = jnp.einsum('BSD,LDNH->LBNSH', x_BxSxD, w_LxDxNxH)
      return sharding.constrain(y_LxBxNxSxH, sharding.CACHE)

    return project('key'), project('value')


class _Decoder(nn.Module):
  config: config_lib.T5Config

  @nn.compact
  def __call__(self, x_BxTxD, memory, cache):
    """Returns (x_BxTxD, the cache's new keys and values or None)."""
    cfg = self.config
    B, T, _ = x_BxTxD.shape
    bias_RxN = _RelativeBias(cfg, False, name='positions')()
    if cache is None:
      position_1xT = jnp.arange(T)[None]
      context = _Context(
        cache_lib.causal_mask(position_1xT, position_1xT, None),
        _spread(bias_RxN, position_1xT, position_1xT),
        input_length_B=memory.length_B,
      )
    else:
      context = _Context(
        bias_RxN=bias_RxN,
        position_BxT=cache.length_B[:, None] + jnp.arange(T),
        longest=cache.length_B.max() + T,
        input_length_B=memory.length_B,
      )
    stacks = []
    for i, (layers, index) in enumerate(
      _layers(_DecoderLayer, cfg, cfg.decoder_layers)
    ):
      old = None if cache is None else (cache.keys[i], cache.values[i])
      read = (memory.keys[i], memory.values[i])
      (x_BxTxD, new), _ = layers((x_BxTxD, old), index, (context, read))
      stacks.append(new)
    x_BxTxD = _RMSNorm(name='final_norm')(x_BxTxD)
    return x_BxTxD, None if cache is None else tuple(zip(*stacks, strict=True))


class _DecoderLayer(nn.Module):
  config: config_lib.T5Config

  @nn.compact
  def __call__(self, carry, layer, shared):
    cfg = self.config
    (x_BxTxD, cached), (context, memory) = carry, shared
    y_BxTxD = _RMSNorm(name='attention_norm')(x_BxTxD)
    y_BxTxD, cached = _SelfAttention(cfg, name='attention')(
      y_BxTxD, cached, layer, context
    )
    x_BxTxD += y_BxTxD
    y_BxTxD = _RMSNorm(name='cross_attention_norm')(x_BxTxD)
    x_BxTxD += _CrossAttention(cfg, name='cross_attention')(
      y_BxTxD, memory, layer, context
    )
    y_BxTxD = _RMSNorm(name='ffw_norm')(x_BxTxD)
    x_BxTxD += common.FeedForward(cfg, name='ffw')(y_BxTxD)
    return (x_BxTxD, cached), None


def _layers(kind, cfg, number):
  """Returns [(layers, index)] to call in turn: one scan, or each layer."""
  if not cfg.scan_layers:
    return [(kind(cfg, name=f'layers_{i}'), 0) for i in range(number)]
  scan = nn.scan(
    kind,
    variable_axes={'params': 0},
    split_rngs={'params': True},
    in_axes=(0, nn.broadcast),
    length=number,
  )
  return [(scan(cfg, name='layers'), jnp.arange(number))]


def _within(length_B, width):
  """Returns the Bx1xS mask of the first `length_B` of `width` keys."""
  return jnp.arange(width) < length_B[:, None, None]


class _RMSNorm(nn.Module):
  @nn.compact
  def __call__(self, x_BxTxD):
    w_D = self.param('scale', nn.initializers.ones, x_BxTxD.shape[-1:])
    return common.rms_norm(x_BxTxD, w_D)


class _SelfAttention(nn.Module):
  config: config_lib.T5Config

  @nn.compact
  def __call__(self, x_BxTxD, cached, layer, context):
    """Attends over the block, or over the cache after appending it."""
    cfg = self.config
    shape = (cfg.embed_dim, cfg.num_heads, cfg.head_dim)
    q_BxTxNxH = _queries(self, x_BxTxD, shape)
    k_BxNxTxH, v_BxNxTxH = (
      common.project(self, x_BxTxD, name, shape).swapaxes(1, 2)
      for name in ('key', 'value')
    )

    def attend(k_BxNxSxH, v_BxNxSxH, mask_BxTxS, bias_BxNxTxS):
      add = lambda logits_BxNxTxS: logits_BxNxTxS + bias_BxNxTxS  # noqa: E731
      return common.attend(q_BxTxNxH, k_BxNxSxH, v_BxNxSxH, mask_BxTxS, add)

    if cached is None:
      mixed_BxTxNxH = attend(
        k_BxNxTxH, v_BxNxTxH, context.mask_BxTxS, context.bias_BxNxTxS
      )
    else:
      position_BxT = context.position_BxT
      cached = tuple(
        cache_lib.append(old, layer, new, position_BxT[:, 0], False)
        for old, new in zip(cached, (k_BxNxTxH, v_BxNxTxH), strict=True)
      )

      def attend_first(k_BxNxSxH, v_BxNxSxH):
        key_1xS = jnp.arange(k_BxNxSxH.shape[2])[None]
        return attend(
          k_BxNxSxH,
          v_BxNxSxH,
          cache_lib.causal_mask(position_BxT, key_1xS, None),
          _spread(context.bias_RxN, position_BxT, key_1xS),
        )

      mixed_BxTxNxH = cache_lib.read(
        attend_first, cached, layer, context.longest
      )
    return common.merge_heads(self, mixed_BxTxNxH, cfg.embed_dim), cached


class _CrossAttention(nn.Module):
  config: config_lib.T5Config

  @nn.compact
  def __call__(self, x_BxTxD, memory, layer, context):
    cfg = self.config
    shape = (cfg.embed_dim, cfg.num_heads, cfg.head_dim)
    q_BxTxNxH, length_B = _queries(self, x_BxTxD, shape), context.input_length_B

    def attend(k_BxNxSxH, v_BxNxSxH):
      mask_Bx1xS = _within(length_B, k_BxNxSxH.shape[2])
      return common.attend(q_BxTxNxH, k_BxNxSxH, v_BxNxSxH, mask_Bx1xS)

    mixed_BxTxNxH = cache_lib.read(attend, memory, layer, length_B.max())
    return common.merge_heads(self, mixed_BxTxNxH, cfg.embed_dim)


def _queries(module, x_BxTxD, shape):
  # Attention is unscaled: the queries' initial width holds the scale.
  D, _, H = shape
  init = nn.initializers.normal((D * H) ** -0.5)
  return common.project(module, x_BxTxD, 'query', shape, init)
