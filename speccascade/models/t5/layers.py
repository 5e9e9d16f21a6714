"""T5's encoder, cross-attention memory and decoder.

Shape letters are those of `speccascade.models`; K is N.
"""

from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
from jax import lax

from speccascade import sharding
from speccascade.models import cache as cache_lib
from speccascade.models import common, products, stacking
from speccascade.models.t5 import config as config_lib
from speccascade.models.t5 import partition, positions

# Of an encoder's block: 128 MiB in float32, over all heads that a device has,
_LOGITS = 2**25
_SHORT = 32  # and so many queries at least.


def init(cfg: config_lib.T5Config, key: jax.Array) -> dict[str, Any]:
  """Returns random float32 parameters, with a name a layer."""
  normal, shape = nn.initializers.normal, (cfg.vocab_size, cfg.embed_dim)
  keys = iter(jax.random.split(key, 4 + cfg.num_layers + cfg.decoder_layers))
  params = {'embedding': normal(1.0)(next(keys), shape)}
  if not cfg.tied_embeddings:
    params['lm_head'] = normal(cfg.embed_dim**-0.5)(next(keys), shape)
  x_1x1xD, length_1 = jnp.zeros((1, 1, cfg.embed_dim)), jnp.ones(1, jnp.int32)
  kv = jnp.zeros((1, 1, cfg.num_heads, 1, cfg.head_dim))
  mask_1x1x1, bias = jnp.ones((1, 1, 1), bool), jnp.zeros((1, 1, 1, 1))
  context = _Context(mask_1x1x1, bias, input_length_B=length_1)
  for name, layer, inputs in (
    ('encoder', _EncoderLayer(cfg), (context,)),
    ('decoder', _DecoderLayer(cfg), (None, (kv, kv), 0, context)),
  ):
    own = {
      'positions': positions.RelativeBias(cfg, False).init(next(keys)),
      'final_norm': common.RMSNorm(cfg.norm_epsilon).init(key, x_1x1xD),
    }
    layers = cfg.num_layers if name == 'encoder' else cfg.decoder_layers
    make = jax.jit(layer.init)  # Traced once.
    for i in range(layers):
      own[f'layers_{i}'] = make(next(keys), x_1x1xD, *inputs)
    params[name] = {k: made['params'] for k, made in own.items()}
  return params


def read(
  cfg: config_lib.T5Config,
  params: dict[str, Any],
  input_BxS: jax.Array,
  length_B: jax.Array,
) -> cache_lib.Memory:
  """Returns the memory of right-padded inputs.

  Args:
    cfg: configuration.
    params: from `init`, or those with their layers stacked.
    input_BxS: int32 inputs.
    length_B: lengths of the inputs.
  """
  own = params['encoder']
  context = _Context(
    _within(length_B, input_BxS.shape[1]), bias_RxN=_bias(cfg, own, True)
  )
  layer = _EncoderLayer(cfg)
  run = common.uncached(
    lambda p, x_BxSxD: layer.apply({'params': p}, x_BxSxD, context),
    partition.PARTITION,
    again=stacking.steps(own) > 0,
  )
  run = jax.jit(run)  # Traced once.
  x_BxSxD = _embed(cfg, params, input_BxS)
  for stacked in stacking.stacks_of(own):
    x_BxSxD, _ = lax.scan(lambda x, p: (run(p, x), None), x_BxSxD, stacked)
  for _, layer_params in stacking.tail(own):
    x_BxSxD = run(layer_params, x_BxSxD)
  x_BxSxD = _normed(cfg, own, x_BxSxD)

  @jax.jit  # Traced once.
  def project(attention):
    attention = sharding.gather(attention, partition.PARTITION)
    made = _CrossAttention(cfg).apply(
      {'params': attention}, x_BxSxD, method='read'
    )
    return tuple(sharding.constrain(y, sharding.CACHE[1:]) for y in made)

  own = params['decoder']
  stacks = [
    lax.map(project, stacked['cross_attention'])
    for stacked in stacking.stacks_of(own)
  ]
  for _, layer_params in stacking.tail(own):
    made = project(layer_params['cross_attention'])
    stacks.append(tuple(y[None] for y in made))
  keys, values = zip(*stacks, strict=True)
  return cache_lib.Memory(length_B=length_B, keys=keys, values=values)


def blank(
  cfg: config_lib.T5Config,
  params: dict[str, Any],
  rows: int,
  width: int,
  shared: bool,
) -> cache_lib.Memory:
  """Returns the memory of nothing, for inputs of `width` tokens."""
  own = params['decoder']
  layers = [stacking.steps(own)] * len(stacking.stacks_of(own))
  layers += [1 for _ in stacking.tail(own)]

  def empty():
    shape = rows, cfg.num_heads, width, cfg.head_dim
    return tuple(
      cache_lib.empty(n, *shape, cfg.dtype, shared=shared) for n in layers
    )

  return cache_lib.Memory(jnp.zeros(rows, jnp.int32), empty(), empty())


def write(
  cfg: config_lib.T5Config,
  params: dict[str, Any],
  token_BxT: jax.Array,
  memory: cache_lib.Memory,
  cache: cache_lib.Cache | None = None,
) -> tuple[jax.Array, tuple[Any, Any] | None]:
  """Decodes a block after an input.

  Args:
    cfg: configuration.
    params: from `init`, or those with their layers stacked.
    token_BxT: int32 tokens of the decoder.
    memory: from `read`.
    cache: of the decoder's tokens before them; None is an empty one.

  Returns:
    (x_BxTxD after the final norm, the cache's (keys, values) with the block;
    None without).
  """
  own, T = params['decoder'], token_BxT.shape[1]
  bias_RxN = _bias(cfg, own, False)
  if cache is None:
    position_1xT = jnp.arange(T)[None]
    context = _Context(
      cache_lib.causal_mask(position_1xT, position_1xT, None),
      positions.spread(bias_RxN, position_1xT, position_1xT),
      input_length_B=memory.length_B,
    )
  else:
    context = _Context(
      bias_RxN=bias_RxN,
      position_BxT=cache.length_B[:, None] + jnp.arange(T),
      longest=cache.length_B.max() + T,
      input_length_B=memory.length_B,
    )
  layer = _DecoderLayer(cfg)

  def step(carry, inputs, read):
    (x_BxTxD, cached), (layer_params, index) = carry, inputs

    def run(params, x_BxTxD):
      return layer.apply(
        {'params': params}, x_BxTxD, cached, read, index, context
      )

    if cached is None:
      stacked = stacking.steps(own) > 0
      run = common.uncached(run, partition.PARTITION, again=stacked)
    return run(layer_params, x_BxTxD)

  x_BxTxD, stacks = _embed(cfg, params, token_BxT), []
  places = len(memory.keys)
  old = [None] * places
  if cache is not None:
    old = list(zip(cache.keys, cache.values, strict=True))
  memories = list(zip(memory.keys, memory.values, strict=True))
  for place, stacked in enumerate(stacking.stacks_of(own)):
    (x_BxTxD, new), _ = lax.scan(
      lambda *x, read=memories[place]: (step(*x, read), None),
      (x_BxTxD, old[place]),
      (stacked, jnp.arange(stacking.steps(own))),
    )
    stacks.append(new)

  @jax.jit  # Traced once.
  def run(params, x_BxTxD, cached, read):
    return step((x_BxTxD, cached), (params, 0), read)

  for place, (_, layer_params) in enumerate(stacking.tail(own), len(stacks)):
    x_BxTxD, new = run(layer_params, x_BxTxD, old[place], memories[place])
    stacks.append(new)
  x_BxTxD = _normed(cfg, own, x_BxTxD)
  if cache is None:
    return x_BxTxD, None
  return x_BxTxD, tuple(zip(*stacks, strict=True))


def _embed(cfg, params, token_BxT):
  return common.embed(
    token_BxT, params['embedding'], cfg.dtype, params.get('embedding_scale')
  )


def _bias(cfg, own, bidirectional):
  table = {'params': own['positions']}
  return positions.RelativeBias(cfg, bidirectional).apply(table)


def _normed(cfg, own, x_BxTxD):
  norm = common.RMSNorm(cfg.norm_epsilon)
  return norm.apply({'params': own['final_norm']}, x_BxTxD)


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


class _EncoderLayer(nn.Module):
  config: config_lib.T5Config

  @nn.compact
  def __call__(self, x_BxTxD, context):
    cfg = self.config
    y_BxTxD = _norm(cfg, 'attention_norm')(x_BxTxD)
    y_BxTxD, _ = _SelfAttention(cfg, name='attention')(
      y_BxTxD, None, 0, context
    )
    x_BxTxD += y_BxTxD
    return x_BxTxD + _feed_forward(cfg)(_norm(cfg, 'ffw_norm')(x_BxTxD))


class _DecoderLayer(nn.Module):
  config: config_lib.T5Config

  @nn.compact
  def __call__(self, x_BxTxD, cached, memory, layer, context):
    """Returns (x_BxTxD, the cache's keys and values with the block)."""
    cfg = self.config
    y_BxTxD = _norm(cfg, 'attention_norm')(x_BxTxD)
    y_BxTxD, new = _SelfAttention(cfg, name='attention')(
      y_BxTxD, cached, layer, context
    )
    x_BxTxD += y_BxTxD
    y_BxTxD = _norm(cfg, 'cross_attention_norm')(x_BxTxD)
    x_BxTxD += _CrossAttention(cfg, name='cross_attention')(
      y_BxTxD, memory, layer, context
    )
    x_BxTxD += _feed_forward(cfg)(_norm(cfg, 'ffw_norm')(x_BxTxD))
    return x_BxTxD, new


def _norm(cfg, name):
  return common.RMSNorm(cfg.norm_epsilon, name=name)


def _feed_forward(cfg):
  activation = 'gelu' if cfg.gated else 'relu'
  return common.FeedForward(cfg.hidden_dim, activation, cfg.gated, name='ffw')


def _within(length_B, width):
  """Returns the Bx1xS mask of the first `length_B` of `width` keys."""
  return jnp.arange(width) < length_B[:, None, None]


class _SelfAttention(nn.Module):
  config: config_lib.T5Config

  @nn.compact
  def __call__(self, x_BxTxD, cached, layer, context):
    """Attends over the block, or over the cache after appending it."""
    cfg = self.config
    shape = (cfg.embed_dim, cfg.num_heads, cfg.head_dim)
    q_BxTxNxH = _queries(self, x_BxTxD, shape)
    k_BxNxTxH, v_BxNxTxH = (
      products.project(self, x_BxTxD, name, shape).swapaxes(1, 2)
      for name in ('key', 'value')
    )

    def attend(k_BxNxSxH, v_BxNxSxH, mask_BxTxS, bias_BxNxTxS):
      add = lambda logits_BxNxTxS: logits_BxNxTxS + bias_BxNxTxS  # noqa: E731
      return common.attend(q_BxTxNxH, k_BxNxSxH, v_BxNxSxH, mask_BxTxS, add)

    if cached is None and context.bias_BxNxTxS is None:
      mixed_BxTxNxH = _in_blocks(
        q_BxTxNxH, k_BxNxTxH, v_BxNxTxH, context.mask_BxTxS, context.bias_RxN
      )
    elif cached is None:
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
          positions.spread(context.bias_RxN, position_BxT, key_1xS),
        )

      mixed_BxTxNxH = cache_lib.read(
        attend_first, cached, layer, context.longest
      )
    return products.merge_heads(self, mixed_BxTxNxH, cfg.embed_dim), cached


class _CrossAttention(nn.Module):
  config: config_lib.T5Config

  def setup(self):
    """Declares what `read` projects an encoded input with."""
    cfg = self.config
    shape = (cfg.embed_dim, cfg.num_heads, cfg.head_dim)
    init = nn.initializers.lecun_normal(0, (1, 2))
    self.kernels = [
      products.weight(self, name, init, shape) for name in ('key', 'value')
    ]

  def read(self, x_BxSxD):
    """Returns (keys, values) of an encoded input, each BxNxSxH."""

    def times(w_DxNxH, scale_NxH):
      factors = products.factors(x_BxSxD, w_DxNxH)
      y_BxNxSxH = jnp.einsum('BSD,DNH->BNSH', *factors)
      return products.scaled(
        y_BxNxSxH, None if scale_NxH is None else scale_NxH[:, None]
      )

    return tuple(times(*kernel) for kernel in self.kernels)

  @nn.compact
  def __call__(self, x_BxTxD, memory, layer, context):
    cfg = self.config
    shape = (cfg.embed_dim, cfg.num_heads, cfg.head_dim)
    q_BxTxNxH, length_B = _queries(self, x_BxTxD, shape), context.input_length_B

    def attend(k_BxNxSxH, v_BxNxSxH):
      mask_Bx1xS = _within(length_B, k_BxNxSxH.shape[2])
      return common.attend(q_BxTxNxH, k_BxNxSxH, v_BxNxSxH, mask_Bx1xS)

    mixed_BxTxNxH = cache_lib.read(attend, memory, layer, length_B.max())
    return products.merge_heads(self, mixed_BxTxNxH, cfg.embed_dim)


def _in_blocks(q_BxSxNxH, k_BxNxSxH, v_BxNxSxH, mask_Bx1xS, bias_RxN):
  """Attends to all of an input from blocks of it, whose logits are small."""
  B, S, N, _ = q_BxSxNxH.shape
  own = sharding.own_shape(q_BxSxNxH.shape, sharding.HEADS)
  block = min(S, max(_LOGITS // (own[0] * own[2] * S), _SHORT))
  number = -(-S // block)
  padding = number * block - S
  q_BxPxNxH = jnp.pad(q_BxSxNxH, ((0, 0), (0, padding), (0, 0), (0, 0)))
  bias_NxR = positions.line(bias_RxN, number * block, S)

  def attend(i):
    q_BxTxNxH = lax.dynamic_slice_in_dim(q_BxPxNxH, i * block, block, 1)
    # From the last query and the first key to the first query and the last key.
    start = (number - 1 - i) * block
    own_NxR = lax.dynamic_slice_in_dim(bias_NxR, start, block + S - 1, 1)
    bias_NxTxS = positions.skewed(own_NxR, block)
    add = lambda logits_BxNxTxS: logits_BxNxTxS + bias_NxTxS  # noqa: E731
    return common.attend(q_BxTxNxH, k_BxNxSxH, v_BxNxSxH, mask_Bx1xS, add)

  if number == 1:
    return attend(0)
  mixed_BxPxNxH = lax.map(attend, jnp.arange(number)).swapaxes(0, 1)
  return mixed_BxPxNxH.reshape(q_BxPxNxH.shape)[:, :S]


def _queries(module, x_BxTxD, shape):
  # Attention is unscaled: the queries' initial width holds the scale.
  D, _, H = shape
  init = nn.initializers.normal((D * H) ** -0.5)
  return products.project(module, x_BxTxD, 'query', shape, init)
