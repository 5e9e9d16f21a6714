"""Speculative cascades in JAX.

pair = speccascade.load(drafter='...', verifier='...')
for answer in speccascade.generate(pair, ['Why is the sky blue?']):
print(answer.text)
"""

import importlib

__version__ = '0.1.0'

# Loaded when they are asked for: they import JAX, whose settings an entry point
# makes before.
_HOMES = {
  'generate': 'speccascade.generation',
  'load': 'speccascade.pairs',
  'stream': 'speccascade.generation',
}
__all__ = list(_HOMES)


def __getattr__(name):
  """Returns one of the functions of the package."""
  if name not in _HOMES:
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
  return getattr(importlib.import_module(_HOMES[name]), name)
