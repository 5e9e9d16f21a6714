"""A run's folder belongs to one config."""

import json

from etils import epath


def claim(config, path, free=()):
  """Keeps the config of a new folder; refuses another one for an old.

  Args:
    config: ConfigDict of the run.
    path: where the folder keeps its config, JSON.
    free: fields that may change between runs.

  Raises:
    ValueError: the folder was made with other values.
  """
  path = epath.Path(path)
  own = json.loads(config.to_json())
  old = own
  if path.exists():
    try:
      old = json.loads(path.read_text())
    except ValueError:  # Torn: nothing was done yet.
      pass
  differ = sorted(
    k
    for k in own.keys() | old.keys()
    if k not in free and own.get(k) != old.get(k)
  )
  if differ:
    raise ValueError(
      f'{path.parent} holds a run with another {", ".join(differ)}; choose '
      'another workdir or restore the config'
    )
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(json.dumps(own, indent=2) + '\n')
