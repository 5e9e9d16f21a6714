"""PartitionSpecs of T5's parameters, by the last part of their names."""

from jax.sharding import PartitionSpec as P

from speccascade.models import int8

PARTITION = int8.partition(
  {
    'embedding': P('model', None),  # VxD
    'lm_head': P('model', None),  # VxD
    'relative_bias': P(None, 'model'),  # WxN
    'query': P(None, 'model', None),  # DxNxH
    'key': P(None, 'model', None),  # DxNxH
    'value': P(None, 'model', None),  # DxNxH
    'out': P('model', None, None),  # NxHxD
    'gate': P(None, 'model'),  # DxF
    'up': P(None, 'model'),  # DxF
    # What is fused or by rows lies whole on a device.
    'up_gate': P(None, None),  # Dx2F
    'out_rows': P(None, None, None),  # DxNxH
    'up_gate_rows': P(None, None),  # 2FxD
    'down_rows': P(None, None),  # DxF
    'down': P('model', None),  # FxD
    'scale': P(None),  # D
  }
)
