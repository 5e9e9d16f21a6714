"""Which models a config names."""

from typing import Any

import jax
import pydantic

from speccascade import config, hosts, pairs, sharding
from speccascade.models import base, stacking


class Models(config.Schema):
  """A pair, two models, or a pair of which one is replaced.

  Attributes:
    pair: shipped, or a folder.
    drafter: a checkpoint, in any format that `checkpoints.open` takes, in place
      of the pair's; None is the pair's own.
    verifier: likewise.
    dtype: compute type of both models.
    drafter_weights: int8 for kernels and tables of the drafter in int8, with a
      scale for each channel (`models.int8`); None is `dtype`.
    verifier_weights: likewise.
    stacked: whether programs scan over the layers of a model. They then compile
      in a fraction of the time; on a CPU and a GPU, which copy the weights of
      each layer, they run slower. None is on a TPU only.
    mesh: (devices that split the rows of a batch, devices that split the
      models), all of those of several processes; None is one device.
    drafter_devices: of those that split the models, how many split the drafter,
      a divisor of their number; None is all. The others hold the same parts.
  """

  pair: str | None = None
  drafter: str | None = None
  verifier: str | None = None
  dtype: config.Dtype = 'float32'
  drafter_weights: config.Weights = None
  verifier_weights: config.Weights = None
  stacked: bool | None = None
  mesh: config.Mesh | None = None
  drafter_devices: config.Rows | None = None

  @pydantic.model_validator(mode='after')
  def _check_given(self):
    if self.pair is None and None in (self.drafter, self.verifier):
      raise ValueError('pair must be set, or drafter and verifier')
    sharding.check_splits(self.drafter_devices, self.mesh or (1, 1))
    return self

  def load_pair(self) -> pairs.Pair:
    """Loads the models.

    Raises:
      ValueError: as `pairs.load`.
    """
    return pairs.load(
      self.pair,
      self.dtype,
      drafter=self.drafter,
      verifier=self.verifier,
      mesh=self._mesh(),
      stacked=self.stacked,
      drafter_weights=self.drafter_weights,
      verifier_weights=self.verifier_weights,
      drafter_devices=self.drafter_devices,
    )

  def load_drafter(
    self, path: str, pair: pairs.Pair
  ) -> tuple[base.Model, dict[str, Any]]:
    """Loads a checkpoint to stand for the drafter of a pair.

    It is stacked and divided as the pair's own; kernels lie apart.

    Args:
      path: a checkpoint.
      pair: of `load_pair`.

    Returns:
      (model, parameters).

    Raises:
      ValueError: as `pairs.load_drafter`.
    """
    return pairs.load_drafter(
      path,
      pair,
      mesh=self._mesh(),
      stacked=bool(stacking.stacks_of(pair.drafter_params)),
      weights=self.drafter_weights,
      devices=self.drafter_devices,
    )

  @property
  def numbers(self) -> str:
    """What is computed in, and of which model weights are narrower."""
    narrow = [
      f'{weights} {role}'
      for role in pairs.ROLES
      if (weights := getattr(self, f'{role}_weights'))
    ]
    return ', '.join([self.dtype, *narrow])

  def _mesh(self):
    if self.mesh is not None:
      return sharding.of_config(self.mesh)
    if hosts.is_several():
      raise ValueError(
        f'mesh is not set: {jax.process_count()} processes have '
        f'{jax.device_count()} devices, which it must divide between rows and '
        'models'
      )
    return None
