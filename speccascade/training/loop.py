"""The training loop: resumes at the very next batch, exports at the end."""

import functools
import hashlib
import math
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from etils import epath

from speccascade import hosts, sharding
from speccascade.checkpoints import native
from speccascade.models import base, stacking
from speccascade.runs import environment, process
from speccascade.runs import workdir as workdir_lib
from speccascade.sampling import keys
from speccascade.storage import files, json_text
from speccascade.timing import clock
from speccascade.training import (
  batches,
  checkpoints,
  config,
  data,
  ending,
  metrics,
)
from speccascade.training import loss as loss_lib
from speccascade.training import step as step_lib

_AHEAD = 2  # Steps that may wait for the devices.

# Fields that a resumed run may change.
_FREE = ('log_every', 'eval_every', 'save_every', 'mesh')

# The code of a step, which must be the same in all processes.
_ROOMS = 'decoding', 'hosts', 'models', 'sampling', 'sharding', 'training'


def train(
  settings: config.Train,
  model: base.Model,
  train_examples: data.Examples,
  valid_examples: data.Examples,
  workdir: epath.PathLike,
  *,
  objective: loss_lib.Objective = loss_lib.next_token,
  frozen: Any = (),
  start: Any = None,
  origin: Mapping[str, str] | None = None,
) -> Any:
  """Trains a model, from its latest checkpoint if there is one.

  Writes to `workdir`: checkpoints/, metrics.jsonl, TensorBoard events and, at
  the end, `<settings.name>.safetensors` and provenance.json. Of several
  processes, all of which call this, the first writes; checkpoints are of all.

  Args:
    settings: of the run.
    model: is trained.
    train_examples: to train on.
    valid_examples: to validate on.
    workdir: folder of this run.
    objective: is minimised.
    frozen: parameters that the objective takes and no step changes, on the
      devices of `settings.mesh`.
    start: parameters to start from, which are copied; None draws them.
    origin: hashes of `frozen`, `start` and the tokenizer, for provenance.json.

  Returns:
    The parameters, split over the mesh.

  Raises:
    process.Terminated: SIGTERM came, and the step at hand was saved; of several
      processes, to any of them, and a step some seconds later was saved.
    ValueError: `workdir` was created with a different config, data or pair,
      another process writes to it, all its checkpoints are damaged, or the
      training diverges. Of several processes: they differ in what they were
      given, or do not share `workdir`.
  """
  workdir = epath.Path(workdir).resolve()
  mesh = sharding.of_config(settings.mesh or (1, 1))
  own = step_lib.Step(
    model,
    objective,
    *step_lib.make_optimizer(settings.optimizer, settings.num_steps),
    mesh,
    settings.is_stacked(),
  )
  stream = batches.shuffled(train_examples, settings.batch_size, settings.seed)
  place = functools.partial(
    batches.place, rows=jax.NamedSharding(mesh, sharding.BATCH)
  )
  whole = jax.NamedSharding(mesh, jax.P())
  key = jax.jit(lambda: keys.make(settings.seed), out_shardings=whole)()
  evaluate = functools.partial(
    _evaluate,
    functools.partial(
      sharding.on_mesh, jax.jit(functools.partial(objective, model))
    ),
    frozen=frozen,
    examples=valid_examples,
    batch_size=settings.batch_size,
    place=place,
  )
  folder = workdir / 'checkpoints'
  with workdir_lib.lock(workdir):
    identity = _identity(settings, train_examples, origin)
    _check_alike(settings, identity, valid_examples)
    if hosts.is_first():
      workdir_lib.claim(settings.to_dict(), workdir / 'config.json', free=_FREE)
    workdir_lib.check_shared(folder)
    state, run = _begun(
      own, checkpoints.restore(folder, own.shapes(), identity), key, start
    )
    if 'batches' in run:
      stream.set_state(run['batches'])
    # Compiled ahead of time, so that no rate includes the compilation.
    example = place(train_examples.rows(np.zeros(settings.batch_size, int)))
    compiled = own.lower(state, frozen, example, key).compile()

    def take(state):
      return compiled(state, frozen, place(next(stream)), key)

    def save(step, state):
      told = run | {'batches': stream.get_state()}
      checkpoints.save(folder, step, state, told, identity)

    with (
      metrics.Writer(
        workdir, _told(settings, state, run), settings.num_steps
      ) as writer,
      process.deferred_termination() as is_terminated,
    ):
      state = _steps(
        settings,
        state,
        run,
        take=take,
        evaluate=evaluate,
        save=save,
        writer=writer,
        ended=ending.agreed(is_terminated),
        size=example['token_BxT'].size,
      )
    _export(workdir, settings, model, state.params, identity, run['seconds'])
  return state.params


def _begun(own, found, key, start):
  """(state, what a checkpoint has beside it) that the run goes on from.

  That is, as JSON has them, seconds: of all steps; window: values of the steps
  since the last line; rate: steps a second; and, but at the beginning, batches:
  the state of the stream.
  """
  if found is None:
    return own.init(key, start), {'seconds': 0.0, 'window': [], 'rate': 0.0}
  state, run = found
  rate = int(state.step) / max(run['seconds'], 1e-9)
  return state, run | {'rate': run.get('rate') or rate}


def _told(settings, state, run):
  """The last step that was told: not the state's if SIGTERM came before."""
  step = int(state.step)
  return step - (bool(run['window']) and _logs(settings, step))


def _steps(settings, state, run, *, take, evaluate, save, writer, ended, size):
  """Takes all steps that are left, tells of them and saves.

  Args:
    settings: config.Train.
    state: to go on from.
    run: of `_begun`, which is kept up to date.
    take: state -> (state after the next step, its values).
    evaluate: `_evaluate` of parameters and `ended`.
    save: (step, state) -> None.
    writer: metrics.Writer.
    ended: of `ending.agreed`.
    size: tokens of a batch.

  Returns:
    The last state.
  """
  first = int(state.step)
  ahead, start_time = [], clock.now()
  for step in range(_told(settings, state, run) + 1, settings.num_steps + 1):
    if step > first:
      # Dispatch is asynchronous: the host runs ahead of the devices, by so few
      # steps that it hears of a signal.
      state, values = take(state)
      ahead.append(values)
      jax.block_until_ready(ahead[:-_AHEAD][-1:])
    last, logs = step == settings.num_steps, _logs(settings, step)
    ends = ended(logs)
    if not logs and not ends:
      continue
    if ahead:
      run['window'] += _read(ahead, step)
      elapsed = clock.now() - start_time
      run['seconds'] += elapsed
      run['rate'] = len(ahead) / elapsed
    line = None
    if logs and not ends:
      line = _means(run['window'])
      line['tokens_per_second'] = run['rate'] * size
      if step % settings.eval_every == 0 or last:
        found = evaluate(state.params, ended=ended)
        line, ends = (line | found, False) if found else (None, True)
    if line is not None:
      writer.write(step, line, run['rate'])
      run['window'] = []
    saves = step % settings.save_every == 0 or last or ends
    if saves and step > first:
      save(step, state)
    if ends:
      raise process.Terminated(f'step {step} is saved')
    ahead, start_time = [], clock.now()
  return state


def _logs(settings, step):
  """Whether a step has a line."""
  return step % settings.log_every == 0 or step == settings.num_steps


def _identity(settings, examples, origin):
  """What a checkpoint must share with a run that goes on from it."""
  values = settings.to_dict()
  return {
    'config': {k: v for k, v in values.items() if k not in _FREE},
    'data': examples.data_hash,
    'origin': dict(origin or {}),
  }


def _check_alike(settings, identity, valid_examples):
  """Raises ValueError unless all processes train the same."""
  own = {
    'config': settings.to_dict(),
    'set of examples': [identity['data'], valid_examples.data_hash],
    'environment, code or model': [
      identity['origin'],
      environment.describe()['versions'],
      environment.code_digest(*_ROOMS),
    ],
  }
  hosts.check_alike(
    {
      name: hashlib.sha256(json_text.dumps(x, sort_keys=True).encode()).digest()
      for name, x in own.items()
    }
  )


def _read(ahead, last):
  """Returns the values of the steps up to `last`, as JSON has them."""
  window = []
  for step, values in enumerate(jax.device_get(ahead), last - len(ahead) + 1):
    if not values.pop('finite'):
      raise ValueError(
        f'the training diverged: at step {step} the loss, a gradient or a '
        'parameter is not finite, and nothing of it is saved; lower '
        'optimizer.peak_learning_rate or compute in float32, in a new --workdir'
      )
    window.append({k: float(v) for k, v in values.items()})
  return window


def _means(window):
  """Returns means over the steps of a line, and the last learning rate."""
  line = {k: float(np.mean([v[k] for v in window])) for k in window[0]}
  return line | {'learning_rate': window[-1]['learning_rate']}


def _evaluate(eval_step, params, *, frozen, examples, batch_size, place, ended):
  """Returns means over all target tokens of `examples`, named 'valid_...'.

  None where `ended` tells amid them that SIGTERM has come.
  """
  sums = []
  for start in range(0, len(examples), batch_size):
    index_B = np.arange(start, start + batch_size)
    batch = examples.rows(index_B % len(examples))
    # Rows that fill up the last batch were counted before.
    batch['weight_BxT'] *= (index_B < len(examples))[:, None]
    sums.append(eval_step(params, frozen, place(batch), None))
    jax.block_until_ready(sums[:-_AHEAD][-1:])
    if ended():
      return None
  total = jax.tree.map(lambda *x: np.sum(x), *jax.device_get(sums))
  means = {f'valid_{k}': float(v) for k, v in loss_lib.mean(total).items()}
  if not all(map(math.isfinite, means.values())):
    raise ValueError(
      f'the validation is not finite ({means}); compute in float32'
    )
  return means


def _export(workdir, settings, model, params, identity, seconds):
  if hosts.is_several():  # One after the other: a device holds one whole.
    params = jax.tree.map(lambda x: np.asarray(hosts.replicated(x)), params)
  if not hosts.is_first():
    return
  path = workdir / f'{settings.name}.safetensors'
  native.save(path, model.config, stacking.unstack(params))
  lines = metrics.read(workdir)
  final = {k: v for line in lines for k, v in line.items() if k != 'step'}
  provenance = {
    'config': settings.to_dict(),
    'seed': settings.seed,
    'data_hash': identity['data'],
    'checkpoint': hashlib.sha256(path.read_bytes()).hexdigest(),
    'num_params': sum(x.size for x in jax.tree.leaves(params)),
    'steps': settings.num_steps,
    'final': final,
    'seconds': seconds,
    **({'origin': identity['origin']} if identity['origin'] else {}),
    **environment.describe(),
  }
  text = json_text.dumps({settings.name: provenance}, indent=2)
  files.write(workdir / 'provenance.json', f'{text}\n')
