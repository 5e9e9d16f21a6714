"""Configurations of published models, by name."""

import dataclasses
from collections.abc import Iterable
from typing import Any

from speccascade.models import base
from speccascade.models.gemma2 import config as gemma2
from speccascade.models.gemma3 import config as gemma3
from speccascade.models.gemma4 import config as gemma4
from speccascade.models.llama import config as llama
from speccascade.models.qwen2 import config as qwen2
from speccascade.models.qwen3 import config as qwen3
from speccascade.models.t5 import config as t5

# A preset's name begins with that of its family, a size follows.
PRESETS = {
  name: make
  for module in (gemma2, gemma3, gemma4, llama, qwen2, qwen3, t5)
  for name, make in vars(module).items()
  if callable(make)
  and getattr(make, '__module__', '') == module.__name__
  and name.startswith(('gemma', 'smollm', 'qwen', 't5_'))
}


def get(name: str, **settings: Any) -> base.Config:
  """Returns the configuration of a published model.

  Args:
    name: of `PRESETS`, such as gemma2_27b.
    **settings: that differ from the published ones.

  Raises:
    ValueError: there is none of that name.
  """
  if name not in PRESETS:
    raise ValueError(f'unknown model {name!r}; known: {", ".join(PRESETS)}')
  return PRESETS[name](**settings)


def alike(names: Iterable[str], **settings: Any) -> list[base.Config]:
  """Returns configurations of the pieces that all have, as pairs are loaded.

  Args:
    names: as of `get`.
    **settings: likewise, of each.

  Raises:
    ValueError: there is none of a name.
  """
  configs = [get(name, **settings) for name in names]
  size = min(x.vocab_size for x in configs)
  return [dataclasses.replace(x, vocab_size=size) for x in configs]
