"""Pairs of published shapes with random weights, and prompts for them.

They tell of time and memory; what they write is noise.
"""

import functools
import types
from collections.abc import Iterable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from speccascade import sharding
from speccascade.aot import program
from speccascade.decoding import results
from speccascade.models import fusing, presets, registry, split

_EOS = 1


def pair(
  names: Sequence[str],
  weights: Sequence[str | None],
  dtype: str,
  mesh: jax.sharding.Mesh,
  stacked: bool | None = None,
  drafter_devices: int | None = None,
) -> types.SimpleNamespace:
  """Makes the models: what `timing` and `decoding` need of a pair.

  Args:
    names: of `models.presets`, the drafter's and the verifier's.
    weights: of each, 'int8' or None for `dtype`.
    dtype: of parameters and of what is computed.
    mesh: where the parameters lie.
    stacked: whether programs scan over layers; None is on a TPU only.
    drafter_devices: that split the drafter, as of `sharding.split_by`.
  """
  if stacked is None:
    stacked = jax.default_backend() == 'tpu'
  configs = [presets.get(name, dtype=dtype) for name in names]
  made = []
  each = zip(configs, weights, (drafter_devices, None), strict=True)
  for seed, (own, narrow, devices) in enumerate(each):
    with sharding.split_by(devices):
      placed = program.shapes(own, mesh, stacked, narrow)
    made.append(_weights(placed, seed))
  models = [registry.make_model(own) for own in configs]
  if fusing.by_default(mesh, stacked):
    made = [model.fuse(own) for model, own in zip(models, made, strict=True)]
  return types.SimpleNamespace(
    drafter=split.over(models[0], drafter_devices),
    verifier=models[1],
    drafter_params=made[0],
    verifier_params=made[1],
    params=tuple(made),
    eos_ids=(_EOS,),
  )


def check_prompt(names: Iterable[str], tokens: int, new_tokens: int) -> None:
  """Raises ValueError unless models have room for a prompt and an answer.

  Args:
    names: of `models.presets`.
    tokens: of the prompt.
    new_tokens: most tokens of the answer.
  """
  for name in names:
    most = registry.make_model(presets.get(name)).longest_prompt(new_tokens)
    if tokens > most:
      raise ValueError(
        f'a prompt of {tokens} tokens is too long: {name} takes at most '
        f'{max(most, 0)} tokens with new_tokens={new_tokens}'
      )


def prompts(pair: types.SimpleNamespace, tokens: int, rows: int):
  """Returns results.Prompts of so many random tokens a row."""
  size = min(pair.drafter.vocab_size, pair.verifier.vocab_size)
  random = np.random.default_rng(0)
  return results.Prompts(
    random.integers(2, size, (rows, tokens), np.int32),
    np.full(rows, tokens, np.int32),
    np.arange(rows, dtype=np.int32),
  )


def _weights(shapes, seed):
  """Random parameters of small numbers, each made where it lies."""
  leaves, tree = jax.tree.flatten(shapes)
  own = jax.random.split(jax.random.key(seed), len(leaves))
  return tree.unflatten(
    # On one device where JAX has them lie, as it does what it makes of them.
    _normal(x.shape, x.dtype, x.sharding if x.sharding.mesh.size > 1 else None)(
      key
    )
    for x, key in zip(leaves, own, strict=True)
  )


@functools.cache
def _normal(shape, dtype, placed):
  def make(key):
    if dtype == jnp.int8:
      return jax.random.randint(key, shape, -127, 128, dtype)
    return jax.random.normal(key, shape, dtype) / 50

  return jax.jit(make, out_shardings=placed)
