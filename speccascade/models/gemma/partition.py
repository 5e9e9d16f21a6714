"""PartitionSpecs of Gemma 2's parameters, by the last part of their names."""

from jax.sharding import PartitionSpec as P

PARTITION = {
  'embedding': P('model', None),  # VxD
  'query': P(None, 'model', None),  # DxNxH
  'key': P(None, 'model', None),  # DxKxH
  'value': P(None, 'model', None),  # DxKxH
  'out': P('model', None, None),  # NxHxD
  'gate': P(None, 'model'),  # DxF
  'up': P(None, 'model'),  # DxF
  'down': P('model', None),  # FxD
  'scale': P(None),  # D
}
