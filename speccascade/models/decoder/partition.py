"""PartitionSpecs of a decoder's parameters, by the last part of their names."""

from jax.sharding import PartitionSpec as P

from speccascade.models import int8

PARTITION = int8.partition(
  {
    'embedding': P('model', None),  # VxD
    'lm_head': P('model', None),  # VxD
    'query': P(None, 'model', None),  # DxNxH
    'key': P(None, 'model', None),  # DxKxH
    'value': P(None, 'model', None),  # DxKxH
    'query_key_value': P(None, None, None),  # Dx(N+2K)xH, of one part.
    'query_key': P(None, None, None),  # Dx(N+K)xH
    'query_bias': P('model', None),  # NxH
    'key_bias': P('model', None),  # KxH
    'value_bias': P('model', None),  # KxH
    'query_norm': P(None),  # H
    'key_norm': P(None),  # H
    'out': P('model', None, None),  # NxHxD
    'gate': P(None, 'model'),  # DxF
    'up': P(None, 'model'),  # DxF
    'up_gate': P(None, None),  # Dx2F
    'down': P('model', None),  # FxD
    'scale': P(None),  # D
    'scalar': P(None),  # 1
  }
)
