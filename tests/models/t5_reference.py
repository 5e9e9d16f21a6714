"""T5 in numpy, one query and one head at a time, from its descriptions.

arXiv 1910.10683, section 2.1, and 2002.05202: pre-norm, RMSNorm, unscaled
attention without biases, relative positions in buckets; version 1.0 has ReLU
and tied, scaled logits, 1.1 GEGLU and untied ones.
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
  if 'gate' not in w:
    return np.maximum(xs @ w['up'], 0) @ w['down']
  return (_gelu(xs @ w['gate']) * (xs @ w['up'])) @ w['down']


def _attend(w, xs, reads, bias):
  """Every x over the reads that `bias(n, t, s)` does not make None."""
  out = np.zeros_like(xs)
  for n in range(w['query'].shape[1]):
    for t, x in enumerate(xs):
      logits, values = [], []
      for s, read in enumerate(reads):
        more = bias(n, t, s)
        if more is not None:
          key = read @ w['key'][:, n]
          logits.append(x @ w['query'][:, n] @ key + more)
          values.append(read @ w['value'][:, n])
      weight = np.exp(np.array(logits) - max(logits))
      out[t] += weight / weight.sum() @ np.array(values) @ w['out'][n]
  return out


def _layers(half):
  number = sum(name.startswith('layers_') for name in half)
  return [half[f'layers_{i}'] for i in range(number)]


def forward(params, input_S, token_T):
  """TxV logits of one row.

  Args:
    params: as `T5.init` names them; without 'lm_head' of version 1.0.
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
  for w in _layers(params['encoder']):
    y = _norm(w['attention_norm'], xs)
    xs = xs + _attend(w['attention'], y, y, both_ways)
    xs = xs + _feed_forward(w['ffw'], _norm(w['ffw_norm'], xs))
  reads = _norm(params['encoder']['final_norm'], xs)

  xs = params['embedding'][token_T]
  for w in _layers(params['decoder']):
    y = _norm(w['attention_norm'], xs)
    xs = xs + _attend(w['attention'], y, y, backwards)
    y = _norm(w['cross_attention_norm'], xs)
    free = lambda n, t, s: 0.0  # noqa: E731
    xs = xs + _attend(w['cross_attention'], y, reads, free)
    xs = xs + _feed_forward(w['ffw'], _norm(w['ffw_norm'], xs))
  xs = _norm(params['decoder']['final_norm'], xs)
  if 'lm_head' not in params:
    return xs / math.sqrt(xs.shape[1]) @ params['embedding'].T
  return xs @ params['lm_head'].T
