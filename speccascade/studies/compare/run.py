"""A comparison, from its config to its table."""

import dataclasses
import tempfile
from collections.abc import Iterator

import jax
from etils import epath

from speccascade import checkpoints, pairs
from speccascade.checkpoints import hugging_face
from speccascade.models import fusing, padded, registry, stacking
from speccascade.studies.compare import config, measure, peer, table


def run(study: config.Compare) -> Iterator[str]:
  """Measures both libraries, a batch size after the other.

  Yields:
    Lines in Markdown: what is measured, a table whose lines come as they are
    known, and where answers differ.

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
  yield f'{table.title(study, workload, models)}\n\n{table.HEAD}'
  ways, notes = measure.ways(study, workload, models), []
  for batch in study.batch_sizes:
    rows = measure.measure(ways, workload, batch, study.trials)
    yield table.lines(rows, study.temperature)
    if study.temperature == 0:
      notes += table.differences(rows, workload, models)
  yield from (f'\n{note}' for note in table.first(notes))


def _folder(study, pair: pairs.Pair, role, scratch):
  """The folder of a model, which is written to `scratch` if there is none."""
  given = getattr(study, role)
  if given is not None:
    path = checkpoints.open(given).path
    if path.is_dir() and hugging_face.is_one(path):
      return path
  model, params = getattr(pair, role), getattr(pair, f'{role}_params')
  params = stacking.unstack(fusing.apart(params))
  # Without rows that are drawn by nobody here.
  size = padded.pieces(model)
  own = dataclasses.replace(model.config, vocab_size=size)
  shapes = jax.eval_shape(registry.make_model(own).init, jax.random.key(0))
  params = jax.tree.map(
    lambda x, like: x[tuple(map(slice, like.shape))], params, shapes
  )
  hugging_face.save(scratch, own, params, study.dtype)
  return scratch
