"""The training loop: resumes at the very next batch, exports at the end."""

import functools
import hashlib
import math
from collections.abc import Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from etils import epath

from speccascade import sharding
from speccascade.checkpoints import native
from speccascade.models import base
from speccascade.runs import environment
from speccascade.runs import workdir as workdir_lib
from speccascade.sampling import keys
from speccascade.storage import files, json_text
from speccascade.timing import clock
from speccascade.training import batches, checkpoints, config, data, metrics
from speccascade.training import loss as loss_lib

# Fields that a resumed run may change.
_FREE = ('log_every', 'eval_every', 'save_every')


@flax.struct.dataclass
class State:
  """State that a step updates.

  Attributes:
    step: updates made so far, int32.
    params: the model's parameters, float32.
    optimizer: state of the optimizer.
  """

  step: jax.Array
  params: Any
  optimizer: Any


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
  the end, `<settings.name>.safetensors` and provenance.json.

  Args:
    settings: of the run.
    model: is trained.
    train_examples: to train on.
    valid_examples: to validate on.
    workdir: folder of this run.
    objective: is minimised.
    frozen: parameters that the objective takes and no step changes.
    start: parameters to start from, which are copied; None draws them.
    origin: hashes of `frozen`, `start` and the tokenizer, for provenance.json.

  Returns:
    The parameters.

  Raises:
    ValueError: `workdir` was created with a different config, data or pair,
      another process writes to it, all its checkpoints are damaged, or the
      training diverges.
  """
  workdir = epath.Path(workdir).resolve()
  mesh = sharding.make_mesh(jax.device_count(), 1)
  whole = jax.NamedSharding(mesh, jax.P())
  split = jax.NamedSharding(mesh, sharding.BATCH)
  optimizer, schedule = make_optimizer(settings)
  stream = batches.shuffled(train_examples, settings.batch_size, settings.seed)
  init = jax.jit(
    functools.partial(_init, model, optimizer), out_shardings=whole
  )
  key = keys.make(settings.seed)
  frozen = jax.device_put(frozen, whole)
  evaluate = functools.partial(
    _evaluate,
    jax.jit(functools.partial(objective, model)),
    frozen=frozen,
    examples=valid_examples,
    batch_size=settings.batch_size,
    place=split,
  )
  folder = workdir / 'checkpoints'
  with workdir_lib.lock(workdir):
    workdir_lib.claim(settings.to_dict(), workdir / 'config.json', free=_FREE)
    identity = _identity(settings, train_examples, origin)
    found = checkpoints.restore(
      folder, jax.eval_shape(init, key, start), identity
    )
    if found is None:
      state, seconds = init(key, start), 0.0
    else:
      state, run = found
      stream.set_state(run['batches'])
      seconds = run['seconds']
    first = int(state.step)
    # Compiled ahead of time, so that no rate below includes the compilation.
    example = train_examples.rows(np.zeros(settings.batch_size, int))
    train_step = jax.jit(
      functools.partial(_train_step, model, objective, optimizer, schedule),
      donate_argnums=0,
      out_shardings=whole,
    )
    example = jax.device_put(example, split)
    train_step = train_step.lower(state, frozen, example, key)
    train_step = train_step.compile()

    with metrics.Writer(workdir, first, settings.num_steps) as writer:
      window, start_time = [], clock.now()
      for step in range(first + 1, settings.num_steps + 1):
        # Dispatch is asynchronous: the host runs ahead of the devices until
        # it reads the metrics below.
        batch = jax.device_put(next(stream), split)
        state, values = train_step(state, frozen, batch, key)
        window.append(values)
        last = step == settings.num_steps
        if step % settings.log_every and not last:
          continue
        line = _summarise(jax.device_get(window), step)
        elapsed = clock.now() - start_time
        rate = len(window) / elapsed
        line['tokens_per_second'] = rate * batch['token_BxT'].size
        seconds += elapsed
        if step % settings.eval_every == 0 or last:
          line |= evaluate(state.params)
        writer.write(step, line, rate)
        if step % settings.save_every == 0 or last:
          run = {'batches': stream.get_state(), 'seconds': seconds}
          checkpoints.save(folder, step, state, run, identity)
        window, start_time = [], clock.now()
    _export(workdir, settings, model, state.params, identity, seconds)
  return state.params


def _identity(settings, examples, origin):
  """What a checkpoint must share with a run that goes on from it."""
  values = settings.to_dict()
  return {
    'config': {k: v for k, v in values.items() if k not in _FREE},
    'data': examples.data_hash,
    'origin': dict(origin or {}),
  }


def _summarise(window, last):
  """Returns means over the steps of a line, and the last learning rate."""
  for step, values in enumerate(window, last - len(window) + 1):
    if not values.pop('finite'):
      raise ValueError(
        f'the training diverged: at step {step} the loss, a gradient or a '
        'parameter is not finite, and nothing of it is saved; lower '
        'optimizer.peak_learning_rate or compute in float32, in a new --workdir'
      )
  line = {k: float(np.mean([v[k] for v in window])) for k in window[0]}
  return line | {'learning_rate': float(window[-1]['learning_rate'])}


def make_optimizer(
  settings: config.Train,
) -> tuple[optax.GradientTransformation, optax.Schedule]:
  """Returns AdamW with clipped gradients, and the learning rate of a step.

  The rate rises linearly and falls to zero along a cosine. Norm scales are
  not decayed.
  """
  schedule = optax.warmup_cosine_decay_schedule(
    init_value=0.0,
    peak_value=settings.optimizer.peak_learning_rate,
    warmup_steps=settings.optimizer.warmup_steps,
    decay_steps=settings.num_steps,
  )
  optimizer = optax.chain(
    optax.clip_by_global_norm(settings.optimizer.clip_norm),
    optax.adamw(
      schedule,
      b1=settings.optimizer.b1,
      b2=settings.optimizer.b2,
      weight_decay=settings.optimizer.weight_decay,
      mask=_is_matrix,
    ),
  )
  return optimizer, schedule


def _is_matrix(params):
  # By name: scanned layers stack their scales into arrays of two dimensions.
  return jax.tree_util.tree_map_with_path(
    lambda path, _: path[-1].key != 'scale', params
  )


def _init(model, optimizer, key, start):
  # Copied: a step reuses the memory of the state that it is given.
  params = model.init(key) if start is None else jax.tree.map(jnp.copy, start)
  return State(jnp.zeros((), jnp.int32), params, optimizer.init(params))


def _train_step(
  model, objective, optimizer, schedule, state, frozen, batch, key
):
  # The key depends on the step alone, so that a resumed run draws the same.
  key = jax.random.fold_in(key, state.step)

  def loss_fn(params):
    means = loss_lib.mean(objective(model, params, frozen, batch, key))
    return means['loss'], means

  gradient, values = jax.grad(loss_fn, has_aux=True)(state.params)
  updates, optimizer_state = optimizer.update(
    gradient, state.optimizer, state.params
  )
  params = optax.apply_updates(state.params, updates)
  # A norm that overflows would clip its gradient to zero.
  own = values['loss'], optax.global_norm(gradient), params, optimizer_state
  values |= {'learning_rate': schedule(state.step), 'finite': _finite(own)}
  return State(state.step + 1, params, optimizer_state), values


def _finite(tree):
  return jnp.stack([jnp.isfinite(x).all() for x in jax.tree.leaves(tree)]).all()


def _evaluate(eval_step, params, *, frozen, examples, batch_size, place):
  """Returns means over all target tokens of `examples`, named 'valid_...'."""
  sums = []
  for start in range(0, len(examples), batch_size):
    index_B = np.arange(start, start + batch_size)
    batch = examples.rows(index_B % len(examples))
    # Rows that fill up the last batch were counted before.
    batch['weight_BxT'] *= (index_B < len(examples))[:, None]
    sums.append(eval_step(params, frozen, jax.device_put(batch, place), None))
  total = jax.tree.map(lambda *x: np.sum(x), *jax.device_get(sums))
  means = {f'valid_{k}': float(v) for k, v in loss_lib.mean(total).items()}
  if not all(map(math.isfinite, means.values())):
    raise ValueError(
      f'the validation is not finite ({means}); compute in float32'
    )
  return means


def _export(workdir, settings, model, params, identity, seconds):
  path = workdir / f'{settings.name}.safetensors'
  native.save(path, model.config, params)
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
