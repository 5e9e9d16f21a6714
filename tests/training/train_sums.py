"""A tiny run on sums in double precision, by one process or one of several.

Five steps: the second and fourth are logged, the fourth is validated and saved.
"""

from speccascade.runs import process  # noqa: F401  It comes first.

# isort: split
import itertools
import json
import os
import pathlib

import jax
import numpy as np
from absl import flags

from speccascade import hosts, sharding
from speccascade.runs import command_line, job
from speccascade.storage import files
from speccascade.training import batches, data, distillation, loop, metrics
from speccascade.training import step as step_lib
from tests.training import stand_ins, sums

STEPS = 5


def model(seed=0, **overrides):
  """Returns (model, parameters as NumPy arrays), both in double precision."""
  made = stand_ins.model(num_layers=2, dtype='float64', **overrides)
  params = stand_ins.params(made, seed)
  return made, jax.tree.map(lambda x: np.asarray(x, np.float64), params)


def train(workdir, mesh, samples=None):
  """Trains, or distils on the text `samples`; returns whole parameters."""
  student, start = model()
  examples = [
    data.tokenize(sums.Sums(), sums.Characters(), split, count, 13)
    for split, count in (('train', 50), ('validation', 16))
  ]
  settings = stand_ins.settings(
    mesh=mesh, num_steps=STEPS, log_every=2, eval_every=4, save_every=4
  )
  teaching = _teaching(samples, sharding.of_config(mesh)) if samples else {}
  params = loop.train(
    settings, student, *examples, workdir, start=start, **teaching
  )
  return jax.tree.map(np.asarray, hosts.replicated(params))


def _teaching(samples, mesh):
  teacher, params = model(seed=1, hidden_dim=96)
  shapes = jax.eval_shape(lambda: params)
  place = lambda x, like: jax.make_array_from_callback(  # noqa: E731
    x.shape, like.sharding, x.__getitem__
  )
  return {
    'objective': distillation.objective(teacher, 'jsd', samples, 4, (1,)),
    'frozen': jax.tree.map(
      place, params, step_lib.place(teacher, shapes, mesh)
    ),
  }


def _send(signal, at):
  """Sends a signal to this process as it places its batch number `at`."""
  place, numbers = batches.place, itertools.count()

  def instead(*args, **kwargs):
    if next(numbers) == at:
      os.kill(os.getpid(), signal)
    return place(*args, **kwargs)

  batches.place = instead


def _record():
  """Returns the list of what this process gives to its `metrics.Writer`."""
  write, given = metrics.Writer.write, []

  def instead(self, step, values, rate):
    own = {k: x for k, x in values.items() if k != 'tokens_per_second'}
    given.append({'step': step, **own})
    write(self, step, values, rate)

  metrics.Writer.write = instead
  return given


def _main():
  _JOIN()
  if not hosts.is_first():
    files.write = None  # The first alone writes, but for Orbax.
  given, workdir = _record(), pathlib.Path(_WORKDIR.value)
  if _AT.value is not None:
    _send(_SIGNAL.value, _AT.value)
  mesh = tuple(map(int, _MESH.value.split('x')))
  params = train(workdir, mesh, _SAMPLES.value or None)
  told = workdir / f'given_{jax.process_index()}.json'
  told.write_text(json.dumps(given))
  if hosts.is_first():
    np.savez(workdir / 'params', *jax.tree.leaves(params))


if __name__ == '__main__':
  _JOIN = job.define_flags()
  _WORKDIR = flags.DEFINE_string('workdir', None, '')
  _MESH = flags.DEFINE_string('mesh', None, 'ROWSxMODELS.')
  _SAMPLES = flags.DEFINE_string('samples', '', '')
  _SIGNAL = flags.DEFINE_integer('signal', None, 'To be sent.')
  _AT = flags.DEFINE_integer('at', None, 'The first batch is but an example.')
  command_line.run(_main, 'sums')
