"""Names of parameters in files that were written before layers were numbered.

A period of layers was a module, which named each by its kind and its place.
"""

from speccascade.models.decoder import hugging_face


def names(config):
  """Returns the name and the pattern of each parameter."""
  found, kinds = {}, config.attention_pattern
  for ours, (_, pattern) in hugging_face.names(config).items():
    axes = pattern.partition(' -> ')[2]
    theirs = ours
    if ours.startswith('layers_'):
      layer, _, rest = ours.partition('.')
      step, place = divmod(int(layer.removeprefix('layers_')), len(kinds))
      theirs = f'layers_{step}.{kinds[place]}_{place}_{rest}'
    found[ours] = theirs, f'{axes} -> {axes}'
  return found
