"""T5 v1.1 in numpy, one query and one head at a time, from its descriptions.

arXiv 1910.10683, section 2.1, and 2002.05202: pre-norm, RMSNorm, unscaled
attention without biases, relative positions in buckets, GEGLU, untied logits.
"""

import math

import numpy as np


def bucket(relative, bidirectional, buckets=32, far=128):
  """Bucket of key position less query position, as published, in floats."""
  first = 0
  if bidirectional:
    buckets //= 2
    first = buckets if relative > 0 else 0
    distance = abs(relative)
  else:
    distance = max(-relative, 0)
  exact = buckets // 2
  if distance < exact:
    return first + distance
  fraction = np.log(np.float32(distance) / exact) / math.log(far / exact)
  return first + min(exact + int(fraction * (buckets - exact)), buckets - 1)


def _norm(w, xs):
  return np.stack([w['scale'] * x / np.sqrt(np.mean(x**2) + 1e-6) for x in xs])


def _gelu(x):
  return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def _feed_forward(w, xs):
  return (_gelu(xs @ w['gate']) * (xs @ w['up'])) @ w['down']


def _attend(w, kernels, xs, reads, bias):
  """Every x over the reads that `bias(n, t, s)` does not make None."""
  out = np.zeros_like(xs)
  for n in range(w['query'].shape[1]):
    for t, x in enumerate(xs):
      logits, values = [], []
      for s, read in enumerate(reads):
        more = bias(n, t, s)
        if more is not None:
          key = read @ kernels['key'][:, n]
          logits.append(x @ w['query'][:, n] @ key + more)
          values.append(read @ kernels['value'][:, n])
      weight = np.exp(np.array(logits) - max(logits))
      out[t] += weight / weight.sum() @ np.array(values) @ w['out'][n]
  return out


def forward(params, layers, input_S, token_T):
  """TxV logits of one row.

  Args:
    params: 'embedding' and 'lm_head', VxD; the final norms and the tables of
      relative positions by stack, 'encoder' or 'decoder'.
    layers: for each stack a list of its layers; 'memory' holds the decoder's
      cross-attention keys and values.
    input_S: ids that the encoder reads.
    token_T: ids that the decoder reads, the start token first.
  """

  def both_ways(n, t, s):
    table = params['encoder']['positions']['relative_bias']
    return table[bucket(s - t, True), n]

  def backwards(n, t, s):
    table = params['decoder']['positions']['relative_bias']
    return table[bucket(s - t, False), n] if s <= t else None

  xs = params['embedding'][input_S]
  for w in layers['encoder']:
    y = _norm(w['attention_norm'], xs)
    xs = xs + _attend(w['attention'], w['attention'], y, y, both_ways)
    xs = xs + _feed_forward(w['ffw'], _norm(w['ffw_norm'], xs))
  reads = _norm(params['encoder']['final_norm'], xs)

  xs = params['embedding'][token_T]
  for w, kernels in zip(layers['decoder'], layers['memory'], strict=True):
    y = _norm(w['attention_norm'], xs)
    xs = xs + _attend(w['attention'], w['attention'], y, y, backwards)
    y = _norm(w['cross_attention_norm'], xs)
    free = lambda n, t, s: 0.0  # noqa: E731
    xs = xs + _attend(w['cross_attention'], kernels, y, reads, free)
    xs = xs + _feed_forward(w['ffw'], _norm(w['ffw_norm'], xs))
  xs = _norm(params['decoder']['final_norm'], xs)
  return xs @ params['lm_head'].T
