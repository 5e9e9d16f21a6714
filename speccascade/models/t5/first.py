"""Names of parameters in files that were written before layers were numbered.

The projections of the encoded input were apart from the decoder's layers, each
in a stack of one.
"""

from speccascade.models.t5 import hugging_face


def names(config):
  """Returns the name and the pattern of each parameter."""
  found = {}
  for ours, (_, pattern) in hugging_face.names(config).items():
    axes = pattern.partition(' -> ')[2]
    found[ours] = ours, f'{axes} -> {axes}'
    for name in ('key', 'value'):
      if ours.endswith(f'.cross_attention.{name}'):
        layer = ours.split('.')[1]
        found[ours] = f'memory.{layer}.{name}', f'0 {axes} -> {axes}'
  return found
