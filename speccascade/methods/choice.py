"""Several drafting methods in one program, one of them chosen at run time.

A program takes seconds to compile and is made for the methods of its groups.
Latencies at batch 1 would need one for each method; this needs one for all.
"""

import dataclasses

import jax.numpy as jnp
import numpy as np
from jax import lax

from speccascade.decoding import checks
from speccascade.methods import base
from speccascade.rules.base import Parameter


@dataclasses.dataclass(frozen=True)
class Choice:
  """Defers as one of several methods does.

  Its first value is the index of the method, equal in all rows; those of the
  method follow, padded to the most that any takes. See `values`. No schedule
  with `begin` takes it, as it is not told whether it is lossless.

  Attributes:
    methods: Drafting methods.
  """

  methods: tuple[base.Drafting, ...]

  name = 'choice'

  @property
  def parameters(self):
    """The index, and as many values as any of the methods takes."""
    most = max(len(method.parameters) for method in self.methods)
    index = Parameter('method', 0, len(self.methods) - 1)
    return (index, *(Parameter(f'value_{i}') for i in range(most)))

  def values(self, method, values, rows):
    """The values of rows that follow one of the methods.

    Args:
      method: one of `methods`.
      values: an array [R] for each of its parameters.
      rows: R.

    Returns:
      An array [R] for each of `parameters`.

    Raises:
      ValueError: the method does not take the values.
    """
    checks.check_values(method, values, rows)
    index = np.full(rows, float(self.methods.index(method)))
    padding = len(self.parameters) - 1 - len(values)
    return (index, *values, *(np.zeros(rows),) * padding)

  def defer(self, draft, verified, values, u_BxGxU):
    """See `decoding.defer.Defers`."""
    index_B, *rest = values

    def branch(method):
      own = tuple(rest[: len(method.parameters)])
      return lambda: method.defer(draft, verified, own, u_BxGxU)

    index = index_B[0].astype(jnp.int32)
    return lax.switch(index, [branch(method) for method in self.methods])
