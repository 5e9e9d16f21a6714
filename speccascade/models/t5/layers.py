"""T5 v1.1's encoder, cross-attention memory and decoder.

Shape letters are those of `speccascade.models`; K is N.
"""

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

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
  def __call__(self, query_BxT, key_BxS):
    """Returns bias_BxNxTxS for queries and keys at these positions."""
    cfg = self.config
    table_WxN = self.param(
      'relative_bias',
      nn.initializers.normal(cfg.embed_dim**-0.5),
      (_BUCKETS, cfg.num_heads),
    )
    relative_BxTxS = key_BxS[:, None, :] - query_BxT[:, :, None]
    at_BxTxS = jnp.clip(relative_BxTxS, -_FAR, _FAR) + _FAR
    bucket_BxTxS = jnp.asarray(buckets(self.bidirectional))[at_BxTxS]
    bias_BxTxSxN = table_WxN[bucket_BxTxS].astype(cfg.dtype)
    return bias_BxTxSxN.transpose(0, 3, 1, 2)


@flax.struct.dataclass
class _Context:
  """Inputs that all layers of a stack share."""

  mask_BxTxS: jax.Array
  bias_BxNxTxS: jax.Array
  start_B: jax.Array | None = None
  memory_mask_Bx1xS: jax.Array | None = None


class _Encoder(nn.Module):
  config: config_lib.T5Config

  @nn.compact
  def __call__(self, x_BxSxD, mask_Bx1xS):
    cfg = self.config
    position_1xS = jnp.arange(x_BxSxD.shape[1])[None]
    bias = _RelativeBias(cfg, True, name='positions')
    context = _Context(mask_Bx1xS, bias(position_1xS, position_1xS))
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
    if cache is None:
      start_B = None
      query_BxT = key_BxS = jnp.arange(T)[None]
    else:
      start_B = cache.length_B
      query_BxT = start_B[:, None] + jnp.arange(T)
      slots = cache.keys[0].shape[3]
      key_BxS = cache_lib.slot_positions(start_B + T, slots)
    bias = _RelativeBias(cfg, False, name='positions')
    context = _Context(
      mask_BxTxS=cache_lib.causal_mask(query_BxT, key_BxS, None),
      bias_BxNxTxS=bias(query_BxT, key_BxS),
      start_B=start_B,
      memory_mask_Bx1xS=_within(memory.length_B, memory.keys[0].shape[3]),
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
    k_BxNxSxH, v_BxNxSxH = (
      common.project(self, x_BxTxD, name, shape).swapaxes(1, 2)
      for name in ('key', 'value')
    )
    if cached is not None:
      cached = tuple(
        cache_lib.append(old, layer, new, context.start_B, False)
        for old, new in zip(cached, (k_BxNxSxH, v_BxNxSxH), strict=True)
      )
      k_BxNxSxH, v_BxNxSxH = (stack[layer] for stack in cached)
    mixed_BxTxNxH = _attend(
      q_BxTxNxH, k_BxNxSxH, v_BxNxSxH, context.mask_BxTxS, context.bias_BxNxTxS
    )
    return _merge_heads(self, mixed_BxTxNxH, cfg.embed_dim), cached


class _CrossAttention(nn.Module):
  config: config_lib.T5Config

  @nn.compact
  def __call__(self, x_BxTxD, memory, layer, context):
    cfg = self.config
    shape = (cfg.embed_dim, cfg.num_heads, cfg.head_dim)
    keys_LxBxNxSxH, values_LxBxNxSxH = memory
    mixed_BxTxNxH = _attend(
      _queries(self, x_BxTxD, shape),
      keys_LxBxNxSxH[layer],
      values_LxBxNxSxH[layer],
      context.memory_mask_Bx1xS,
    )
    return _merge_heads(self, mixed_BxTxNxH, cfg.embed_dim)


def _queries(module, x_BxTxD, shape):
  # Attention is unscaled: the queries' initial width holds the scale.
  D, _, H = shape
  init = nn.initializers.normal((D * H) ** -0.5)
  return common.project(module, x_BxTxD, 'query', shape, init)


def _attend(q_BxTxNxH, k_BxNxSxH, v_BxNxSxH, mask_BxTxS, bias_BxNxTxS=0.0):
  """Returns mixed_BxTxNxH; the T of the mask is 1 if all queries share it."""
  # Keys come first: XLA's CPU backend transposes a second operand that is
  # contracted over its last axis into a copy, in a loop at every step.
  logits_BxNxSxT = lax.dot_general(
    k_BxNxSxH,
    q_BxTxNxH,
    (((3,), (3,)), ((0, 1), (0, 2))),
    preferred_element_type=common.wide(q_BxTxNxH.dtype),
  )
  logits_BxNxTxS = logits_BxNxSxT.swapaxes(2, 3) + bias_BxNxTxS
  logits_BxNxTxS = jnp.where(mask_BxTxS[:, None], logits_BxNxTxS, common.MASKED)
  weight_BxNxTxS = jax.nn.softmax(logits_BxNxTxS).astype(q_BxTxNxH.dtype)
  return jnp.einsum('BNTS,BNSH->BTNH', weight_BxNxTxS, v_BxNxSxH)


def _merge_heads(module, x_BxTxNxH, width):
  init = nn.initializers.lecun_normal((0, 1))
  w_NxHxD = module.param('out', init, (*x_BxTxNxH.shape[2:], width))
  return jnp.tensordot(x_BxTxNxH, w_NxHxD.astype(x_BxTxNxH.dtype), 2)
