"""A tiny model of each family on `sums`, and the settings of a run."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.compilation_cache import compilation_cache

from speccascade import config
from speccascade.models import registry
from speccascade.training import config as training_config
from tests.training import sums

GEMMA = dict(
  vocab_size=sums.Characters().vocab_size,
  num_layers=1,
  attention_pattern=('global',),
  embed_dim=32,
  num_heads=2,
  num_kv_heads=1,
  head_dim=16,
  hidden_dim=64,
)
T5 = dict(
  vocab_size=sums.Characters().vocab_size,
  num_layers=1,
  embed_dim=32,
  num_heads=2,
  head_dim=16,
  hidden_dim=64,
)


def model(family='gemma2', **overrides):
  settings = {'gemma2': GEMMA, 't5': T5}[family] | overrides
  return registry.make_model(registry.make_config(family, **settings))


def settings(**overrides):
  values = dict(
    name='tiny',
    seed=3,
    task='word_problems',
    task_args={},
    num_train=50,
    num_valid=16,
    length=13,
    family='gemma2',
    model=GEMMA,
    tokenizer='characters',
    batch_size=16,
    num_steps=24,
    log_every=1,
    eval_every=12,
    save_every=12,
    optimizer=dict(peak_learning_rate=1e-2, warmup_steps=4),
  )
  return config.parse(training_config.Train, values | overrides)


def params(model, seed=0, scale=0.2):
  """Random parameters, without compiling what draws them."""
  shapes = jax.eval_shape(model.init, jax.random.key(0))
  generator = np.random.default_rng(seed)

  def draw(x):
    values = generator.normal(0, scale, x.shape)
    return jnp.asarray(values, x.dtype)

  return jax.tree.map(draw, shapes)


@contextlib.contextmanager
def compiled_once(folder):
  """Keeps compiled programs in a folder."""
  values = {
    'jax_compilation_cache_dir': str(folder),
    'jax_persistent_cache_min_compile_time_secs': 0.0,
  }
  before = {name: jax.config.values[name] for name in values}
  for name, value in values.items():
    jax.config.update(name, value)
  compilation_cache.reset_cache()
  try:
    yield
  finally:
    for name, value in before.items():
      jax.config.update(name, value)
    compilation_cache.reset_cache()
