"""Decoders in numpy, one token and one head at a time, from their reports.

Gemma 2 (arXiv 2408.00118): norms with (1 + w) scales before and after, RoPE,
grouped-query attention, soft-capped logits, local attention in every other
layer, GEGLU, tied embeddings scaled by sqrt(D). Gemma 3 (2503.19786): no caps,
normalised queries and keys, a global layer after several local ones, whose
positions are scaled. Gemma 4: scales w, values that are normalised, global
layers of which keys serve as values and a part of a head is rotated. Llama
(2302.13971), Qwen2.5 (2412.15115) with biases and Qwen3 (2505.09388) with
normalised queries and keys: norms before, SwiGLU.
"""

import dataclasses
import math

import numpy as np


@dataclasses.dataclass(frozen=True)
class Layer:
  """What a layer does apart from its weights."""

  base: float
  window: int | None = None
  factor: float = 1.0
  fraction: float = 1.0


@dataclasses.dataclass(frozen=True)
class Model:
  """What a model does apart from its weights; `layers` has one each."""

  layers: tuple[Layer, ...]
  scalar: float
  offset: int = 0
  epsilon: float = 1e-6
  silu: bool = False
  scaled: bool = False
  value_norm: bool = False
  attention_cap: float | None = None
  final_cap: float | None = None


def _normalize(x, epsilon):
  return x / np.sqrt(np.mean(x**2) + epsilon)


def _rotate(x, position, layer):
  half = len(x) // 2
  y = np.array(x)
  for i in range(int(half * layer.fraction)):
    angle = position / layer.factor / layer.base ** (2 * i / len(x))
    y[i] = x[i] * math.cos(angle) - x[i + half] * math.sin(angle)
    y[i + half] = x[i + half] * math.cos(angle) + x[i] * math.sin(angle)
  return y


def _gelu(x):
  return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def _silu(x):
  return x / (1 + np.exp(-x))


def _cap(x, cap):
  return x if cap is None else cap * np.tanh(x / cap)


def _heads(w, name, xs, n):
  """A head of each token: projected, with its bias."""
  bias = w[f'{name}_bias'][n] if f'{name}_bias' in w else 0
  return [x @ w[name][:, n] + bias for x in xs]


def _attend(model, layer, w, xs):
  """TxD in, TxD out."""
  N, K = w['query'].shape[1], w['key'].shape[1]
  out = np.zeros_like(xs)

  def placed(name, n):
    heads = _heads(w, name, xs, n)
    if f'{name}_norm' in w:
      scale = model.offset + w[f'{name}_norm']
      heads = [_normalize(x, model.epsilon) * scale for x in heads]
    return [_rotate(x, t, layer) for t, x in enumerate(heads)]

  for n in range(N):
    k_head = n // (N // K)
    q, k = placed('query', n), placed('key', k_head)
    v = _heads(w, 'value' if 'value' in w else 'key', xs, k_head)
    if model.value_norm:
      v = [_normalize(x, model.epsilon) for x in v]
    for t in range(len(xs)):
      first = max(0, t - layer.window + 1) if layer.window else 0
      logits = [
        q[t] @ k[s] / math.sqrt(model.scalar) for s in range(first, t + 1)
      ]
      weight = np.exp(_cap(np.array(logits), model.attention_cap))
      weight /= weight.sum()
      mixed = sum(a * b for a, b in zip(weight, v[first : t + 1], strict=True))
      out[t] += mixed @ w['out'][n]
  return out


def forward(model, params, token_T):
  """TxV logits.

  Args:
    model: Model.
    params: as `Decoder.init` names them.
    token_T: ids.
  """

  def norm(own, name, xs):
    if name not in own:  # Of norms after, which not all have.
      return xs
    scale = model.offset + own[name]['scale']
    return np.stack([_normalize(x, model.epsilon) * scale for x in xs])

  xs = np.array(params['embedding'][token_T])
  if model.scaled:
    xs *= math.sqrt(xs.shape[1])
  for i, layer in enumerate(model.layers):
    own = params[f'layers_{i}']
    y = norm(own, 'pre_attention_norm', xs)
    y = _attend(model, layer, own['attention'], y)
    xs = xs + norm(own, 'post_attention_norm', y)
    y, w = norm(own, 'pre_ffw_norm', xs), own['ffw']
    gate = (_silu if model.silu else _gelu)(y @ w['gate'])
    xs = xs + norm(own, 'post_ffw_norm', (gate * (y @ w['up'])) @ w['down'])
    xs = xs * own.get('scalar', 1)
  xs = norm(params, 'final_norm', xs)
  table = params.get('lm_head', params['embedding'])
  return _cap(xs @ table.T, model.final_cap)
