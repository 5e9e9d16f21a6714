"""A comparison, from its config to its table."""

import sys
import tempfile

from etils import epath

from speccascade import checkpoints, pairs
from speccascade.checkpoints import hugging_face
from speccascade.studies.compare import config, measure, peer, table


def run(study: config.Compare) -> str:
  """Measures both libraries at every batch size.

  Returns:
    Text in Markdown: a table, what it is of, and where answers differ.

  Raises:
    ValueError: transformers is missing, or models, task or examples are not
      there or do not fit.
  """
  peer.libraries()
  workload = study.workload()
  with tempfile.TemporaryDirectory() as scratch:
    models = peer.load(
      {
        role: _folder(study, workload.pair, role, epath.Path(scratch) / role)
        for role in peer.Models._fields
      },
      study.dtype,
    )
  ways, rows = measure.ways(study, workload, models), []
  for batch in study.batch_sizes:
    print(f'batch size {batch} ...', file=sys.stderr, flush=True)
    rows += measure.measure(ways, workload, batch, study.trials)
  return table.write(study, workload, models, rows)


def _folder(study, pair: pairs.Pair, role, scratch):
  """The folder of a model, which is written to `scratch` if there is none."""
  given = getattr(study, role)
  if given is not None:
    path = checkpoints.open(given).path
    if path.is_dir() and hugging_face.is_one(path):
      return path
  model, params = getattr(pair, role), getattr(pair, f'{role}_params')
  hugging_face.save(scratch, model.config, params, study.dtype)
  return scratch
