"""Which models a config names."""

import pydantic

from speccascade import config, pairs


class Models(config.Schema):
  """A pair, two models, or a pair of which one is replaced.

  Attributes:
    pair: shipped, or a folder.
    drafter: a checkpoint, in any format that `checkpoints.open` takes, in place
      of the pair's; None is the pair's own.
    verifier: likewise.
    dtype: compute type of both models.
    stacked: whether programs scan over the layers of a model. Deep models then
      compile in a fraction of the time; on a CPU they run slower.
  """

  pair: str | None = None
  drafter: str | None = None
  verifier: str | None = None
  dtype: config.Dtype = 'float32'
  stacked: bool = False

  @pydantic.model_validator(mode='after')
  def _check_given(self):
    if self.pair is None and None in (self.drafter, self.verifier):
      raise ValueError('pair must be set, or drafter and verifier')
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
      stacked=self.stacked,
    )
