"""The schema of a training config, and what relates its fields."""

import json
import typing
from typing import Any

import jax
import pydantic

from speccascade import config
from speccascade.models import base, registry
from speccascade.training import distillation

_Positive = config.float32(gt=0)
_Decay = config.float32(ge=0, lt=1)

_MOST_TOKENS = 2**32  # 12 GB.
_SCRATCH = ('family', 'model', 'tokenizer')
_DISTILLED = ('distill', 'dtype')


class Optimizer(config.Schema):
  """AdamW, its learning rate and the clipping of gradients.

  Attributes:
    peak_learning_rate: learning rate after the warm-up.
    warmup_steps: steps of the linear rise; a cosine to zero follows.
    b1: decay of the mean of gradients.
    b2: decay of the mean of their squares.
    weight_decay: of matrices; scales and biases of products are not decayed.
    clip_norm: largest norm of a gradient.
  """

  peak_learning_rate: _Positive
  warmup_steps: config.Count
  b1: _Decay = 0.9
  b2: _Decay = 0.95
  weight_decay: config.float32(ge=0) = 0.1
  clip_norm: _Positive = 1.0


class Distill(config.Schema):
  """What a drafter learns from its verifier, and on whose text.

  Attributes:
    pair: shipped, or a folder.
    loss: a name of `distillation.LOSSES`.
    samples: one of `distillation.SAMPLES`.
  """

  pair: str
  loss: str
  samples: str

  @pydantic.field_validator('loss')
  @classmethod
  def _check_loss(cls, value):
    _check_known('distill.loss', value, distillation.LOSSES)
    return value

  @pydantic.field_validator('samples')
  @classmethod
  def _check_samples(cls, value):
    _check_known('distill.samples', value, distillation.SAMPLES)
    return value


class Train(config.Schema):
  """One model on one task, from scratch or distilled.

  From scratch: `family`, `model` and `tokenizer`. Distilled: `distill` and
  `dtype`; the pair gives the model and the tokenizer.

  Attributes:
    name: of the model; `<name>.safetensors` is what a run exports.
    seed: of the parameters, the order of examples and all draws.
    task: a name of `tasks.TASKS`.
    task_args: arguments of the task.
    num_train: examples to train on.
    num_valid: examples to validate on.
    length: T, tokens of a row.
    input_length: S of an encoder-decoder; None for a decoder alone.
    family: a name of `registry.FAMILIES`.
    model: settings of the family.
    tokenizer: path of a tokenizer, as `tokenizers.load` takes it.
    distill: the pair, the loss and the text of a distillation.
    dtype: compute type of both models of the pair.
    optimizer: how gradients change parameters.
    batch_size: B, a multiple of the devices that split the rows.
    num_steps: steps of the whole run.
    log_every: steps between lines of metrics.
    eval_every: steps between validations, a multiple of `log_every`.
    save_every: steps between checkpoints, a multiple of `log_every`.
    mesh: (devices that split the rows of a batch, devices that split the
      models), which all split parameters and the optimizer's state; None is one
      device.
    stacked: whether the step scans over the layers of a model, holds only their
      inputs and computes them again for the gradient: for models that compile
      long or do not fit. None is on a TPU only.
  """

  name: config.Name
  seed: config.Seed = 0
  task: config.Task
  task_args: config.TaskArgs = {}
  num_train: config.Corpus
  num_valid: config.Examples = 2048
  length: config.Tokens
  input_length: config.Tokens | None = None
  family: str | None = None
  model: dict[str, Any] | None = None
  tokenizer: str | None = None
  distill: Distill | None = None
  dtype: config.Dtype | None = None
  optimizer: Optimizer
  batch_size: config.Rows
  num_steps: config.Steps
  log_every: config.Steps = 50
  eval_every: config.Steps = 500
  save_every: config.Steps = 1000
  mesh: config.Mesh | None = None
  stacked: bool | None = None

  def architecture(self) -> base.Config:
    """Returns the configuration of a model that is trained from scratch."""
    return registry.make_config(self.family, **self.model)

  def is_stacked(self) -> bool:
    """Returns `stacked`, of this machine if it is None."""
    if self.stacked is None:
      return jax.default_backend() == 'tpu'
    return self.stacked

  @pydantic.field_validator('model')
  @classmethod
  def _check_json(cls, value):
    try:
      json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
      raise config.fault('it must be made of what JSON has') from None
    return value

  @pydantic.model_validator(mode='after')
  def _check_size(self):
    width = self.length + (self.input_length or 0)
    if self.num_train * width > _MOST_TOKENS:
      raise ValueError(
        f'num_train={self.num_train} rows of {width} tokens are more than the '
        f'{_MOST_TOKENS} that are held in memory; lower num_train or length'
      )
    return self

  @pydantic.model_validator(mode='after')
  def _check_steps(self):
    for name in ('eval_every', 'save_every'):
      if getattr(self, name) % self.log_every:
        raise ValueError(
          f'{name}={getattr(self, name)} must be a multiple of '
          f'log_every={self.log_every}'
        )
    if self.optimizer.warmup_steps >= self.num_steps:
      raise ValueError(
        f'optimizer.warmup_steps={self.optimizer.warmup_steps} must be less '
        f'than num_steps={self.num_steps}'
      )
    return self

  @pydantic.model_validator(mode='after')
  def _check_mesh(self):
    if self.mesh and self.batch_size % self.mesh[0]:
      raise ValueError(
        f'batch_size={self.batch_size} must be a multiple of {self.mesh[0]}, '
        f'the devices of mesh={self.mesh} that split the rows'
      )
    return self

  @pydantic.model_validator(mode='after')
  def _check_origin(self):
    fields = {
      name
      for name in (*_SCRATCH, *_DISTILLED)
      if getattr(self, name) is not None
    }
    if fields not in (set(_SCRATCH), set(_DISTILLED)):
      raise ValueError(
        f'a train config must set either {", ".join(_SCRATCH)} or '
        f'{", ".join(_DISTILLED)}, got {", ".join(sorted(fields)) or "none"}'
      )
    return self

  @pydantic.model_validator(mode='after')
  def _check_model(self):
    if self.model is None:
      return self
    dtype = self.model.get('dtype', 'float32')
    _check_known('model.dtype', dtype, typing.get_args(config.Dtype))
    architecture = self.architecture()
    check_lengths(architecture, self)
    return self


def check_lengths(architecture: base.Config, settings: Train) -> None:
  """Raises ValueError unless a model takes the rows and inputs of a config.

  Args:
    architecture: configuration of the model.
    settings: Train; its `input_length` is set for encoders alone.
  """
  family = registry.family_of(architecture)
  if family.encodes_input and settings.input_length is None:
    raise ValueError(
      f'input_length must be set: a {family.name} model encodes its inputs'
    )
  if not family.encodes_input and settings.input_length is not None:
    raise ValueError(
      f'input_length={settings.input_length} must not be set: a {family.name} '
      'model reads the prompt as part of its row'
    )
  for field, source in family.lengths.items():
    length, most = getattr(settings, source), getattr(architecture, field)
    if length > most:
      raise ValueError(
        f'{source}={length} must not exceed {field}={most} of the model'
      )


def _check_known(name, value, known):
  if value not in known:
    raise ValueError(f'{name}={value!r} must be one of {", ".join(known)}')
