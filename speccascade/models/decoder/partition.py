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
    # What is fused or by rows lies whole on a device.
    'query_key_value': P(None, None, None),  # Dx(N+2K)xH
    'query_key': P(None, None, None),  # Dx(N+K)xH
    'up_gate': P(None, None),  # Dx2F
    'query_key_value_rows': P(None, None, None),  # (N+2K)xHxD
    'query_key_rows': P(None, None, None),  # (N+K)xHxD
    'out_rows': P(None, None, None),  # DxNxH
    'up_gate_rows': P(None, None),  # 2FxD
    'down_rows': P(None, None),  # DxF
    'query_bias': P('model', None),  # NxH
    'key_bias': P('model', None),  # KxH
    'value_bias': P('model', None),  # KxH
    'query_norm': P(None),  # H
    'key_norm': P(None),  # H
    'out': P('model', None, None),  # NxHxD
    'gate': P(None, 'model'),  # DxF
    'up': P(None, 'model'),  # DxF
    'down': P('model', None),  # FxD
    'scale': P(None),  # D
    'scalar': P(None),  # 1
  }
)
