"""Speculative cascades in JAX.

pair = speccascade.load(drafter='...', verifier='...')
for answer in speccascade.generate(pair, ['Why is the sky blue?']):
print(answer.text)
"""

import importlib
import os

__version__ = '0.1.0'

# On tpu7x, programs would begin with a copy of all weights in other tiles, and
# hold it. Read when the TPU is first asked for; of two settings the last holds.
_TILES = '--xla_tpu_impure_enable_large_2nd_minor_layout=false'
_GIVEN = os.environ.get('LIBTPU_INIT_ARGS', '')
if _TILES not in _GIVEN:
  os.environ['LIBTPU_INIT_ARGS'] = f'{_TILES} {_GIVEN}'.strip()

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
