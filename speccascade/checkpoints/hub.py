"""Models on the Hugging Face hub, by their names."""

import re
from typing import Any

from etils import epath

# What a model is read from; others are weights of another library.
_FILES = ('*.json', '*.safetensors', '*.model', '*.jinja')


def is_name(path: Any) -> bool:
  """Whether a path is the name of a model on the hub, and no path here."""
  return (
    isinstance(path, str)
    and re.fullmatch(r'[\w-][\w.-]*/[\w.-]+', path) is not None
    and not epath.Path(path).exists()
  )


def fetch(name: str) -> epath.Path:
  """Returns the folder of a model, which is downloaded if it is not there.

  Raises:
    ValueError: the hub cannot be reached, or has no such model.
  """
  import huggingface_hub  # Which takes a while.
  from huggingface_hub import errors

  try:
    return epath.Path(
      huggingface_hub.snapshot_download(name, allow_patterns=list(_FILES))
    )
  except (OSError, ValueError, errors.HfHubHTTPError) as error:
    reason = ' '.join(str(error).split())
    raise ValueError(
      f'{name}: there is no such folder, and the hub does not give it: '
      f'{reason:.200}'
    ) from None
