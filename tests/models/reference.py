"""Gemma 2 in numpy, one token and one head at a time, from its report.

arXiv 2408.00118, section 2: pre- and post-norm RMSNorm, RoPE, grouped-query
attention, logit soft-capping, local attention in every other layer beginning
with the first, GeGLU, tied embeddings scaled by sqrt(D).
"""

import math

import numpy as np


def _norm(x, w):
  return x / np.sqrt(np.mean(x**2) + 1e-6) * (1 + w)


def _rotate(x, position, base=10_000):
  half = len(x) // 2
  y = np.empty_like(x)
  for i in range(half):
    angle = position / base ** (2 * i / len(x))
    y[i] = x[i] * math.cos(angle) - x[i + half] * math.sin(angle)
    y[i + half] = x[i + half] * math.cos(angle) + x[i] * math.sin(angle)
  return y


def _gelu(x):
  return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def _cap(x, cap):
  return cap * np.tanh(x / cap)


def _attend(w, xs, window, scalar):
  """TxD in, TxD out."""
  N, K = w['query'].shape[1], w['key'].shape[1]
  out = np.zeros_like(xs)
  for n in range(N):
    k_head = n // (N // K)
    q = [_rotate(x @ w['query'][:, n], t) for t, x in enumerate(xs)]
    k = [_rotate(x @ w['key'][:, k_head], t) for t, x in enumerate(xs)]
    v = [x @ w['value'][:, k_head] for x in xs]
    for t in range(len(xs)):
      first = max(0, t - window + 1) if window else 0
      logits = [q[t] @ k[s] / math.sqrt(scalar) for s in range(first, t + 1)]
      weight = np.exp(_cap(np.array(logits), 50))
      weight /= weight.sum()
      mixed = sum(a * b for a, b in zip(weight, v[first : t + 1], strict=True))
      out[t] += mixed @ w['out'][n]
  return out


def forward(layers, embedding, final_norm, token_T, window, scalar):
  """TxV logits.

  Args:
    layers: for each layer a dict of 'attention', 'ffw' and the four norms.
    embedding: VxD.
    final_norm: D.
    token_T: ids.
    window: of layers 0, 2, ...
    scalar: queries are scaled by its inverse square root.
  """
  xs = embedding[token_T] * math.sqrt(embedding.shape[1])
  for i, layer in enumerate(layers):
    norms = {k: v['scale'] for k, v in layer.items() if k.endswith('norm')}
    norm = lambda name, xs: np.stack([_norm(x, norms[name]) for x in xs])  # noqa: B023, E731
    y = norm('pre_attention_norm', xs)
    y = _attend(layer['attention'], y, None if i % 2 else window, scalar)
    xs = xs + norm('post_attention_norm', y)
    y = norm('pre_ffw_norm', xs)
    w = layer['ffw']
    y = (_gelu(y @ w['gate']) * (y @ w['up'])) @ w['down']
    xs = xs + norm('post_ffw_norm', y)
  xs = np.stack([_norm(x, final_norm) for x in xs])
  return _cap(xs @ embedding.T, 30)
