"""A pair of tiny random models with the shipped tokenizer, on disk."""

import dataclasses
import importlib.resources
import shutil

import jax
import numpy as np

from speccascade import config as config_lib
from speccascade import tasks, tokenizers
from speccascade.checkpoints import native
from speccascade.models import registry
from speccascade.sweeps import config as sweeps


def save(folder):
  """Writes drafter, verifier and tokenizer to `folder`; returns its path."""
  folder.mkdir()
  for seed, (role, width) in enumerate((('drafter', 8), ('verifier', 16))):
    config = registry.make_config(
      'gemma2',
      vocab_size=768,
      num_layers=1,
      embed_dim=width,
      num_heads=2,
      num_kv_heads=1,
      head_dim=8,
      hidden_dim=16,
      attention_pattern=('global',),
    )
    shapes = jax.eval_shape(registry.make_model(config).init, jax.random.key(0))
    rng = np.random.default_rng(seed)
    params = jax.tree.map(
      lambda x, rng=rng: rng.normal(scale=0.3, size=x.shape), shapes
    )
    # Answers end, some early and some late.
    params['embedding'][tokenizers.EOS] *= 6
    native.save(folder / f'{role}.safetensors', config, params)
  shipped = importlib.resources.files('speccascade.pairs') / 'word_problems'
  shutil.copy(str(shipped / 'tokenizer.model'), folder / 'tokenizer.model')
  return str(folder)


def shorten(max_new_tokens):
  """Lets tasks have short answers, from now on; returns what undoes it."""
  load = tasks.load

  def load_short(name, args):
    return dataclasses.replace(load(name, args), max_new_tokens=max_new_tokens)

  tasks.load = load_short
  return lambda: setattr(tasks, 'load', load)


def config(pair, **changes):
  """The config of a small sweep, as a config file returns it."""
  values = dict(
    pair=pair,
    task='word_problems',
    task_args={'seed': 0},
    num_examples=10,
    methods={'strict': (), 'chow': (0.3,), 'token_v3': (0.2, 0.6)},
    gammas=(1, 3),
    schedule_gamma=4,
    temperatures=(0.0, 1.0),
    batch_size=8,
    latency_examples=1,
    trials=2,
  )
  return config_lib.template(sweeps.Sweep, **values | changes)


def sweep(pair, **changes):
  """The same, parsed."""
  return config_lib.parse(sweeps.Sweep, config(pair, **changes))
