"""Values of the parameters that a rule or a method declares."""

import math

import numpy as np

from speccascade.rules import base

_REACH = 2.0  # How far past its examples an unbounded parameter is tried.


def span(parameter: base.Parameter) -> tuple[float, float]:
  """Finite ends of the range: just inside of an open one."""
  inside = 1e-3
  low, high = parameter.low, parameter.high
  if math.isinf(low):
    low = parameter.examples[0] - _REACH
  if math.isinf(high):
    high = parameter.examples[-1] + _REACH
  return low + inside * parameter.open_low, high - inside * parameter.open_high


def over(parameter: base.Parameter, count: int) -> np.ndarray:
  """Values over the range, ends included."""
  return np.linspace(*span(parameter), count)


def middle(parameters: tuple[base.Parameter, ...]) -> tuple[float, ...]:
  """The middle example of each parameter."""
  return tuple(x.examples[1] for x in parameters)


def every(
  parameters: tuple[base.Parameter, ...], count: int = 9
) -> list[tuple[float, ...]]:
  """Points to try: the examples, and each parameter over its range."""
  points = [tuple(x.examples[i] for x in parameters) for i in range(3)]
  for k, parameter in enumerate(parameters):
    for value in over(parameter, count):
      point = list(middle(parameters))
      point[k] = float(value)
      points.append(tuple(point))
  return list(dict.fromkeys(points))


def random(
  parameters: tuple[base.Parameter, ...], shape, seed: int = 0
) -> tuple[np.ndarray, ...]:
  """Random values between the smallest and the largest example."""
  rng = np.random.default_rng(seed)
  return tuple(
    rng.uniform(x.examples[0], x.examples[-1], shape) for x in parameters
  )


def wrong(parameter: base.Parameter) -> list[float]:
  """Values that are out of range."""
  values = [math.nan, math.inf, -math.inf]
  if math.isfinite(parameter.low):
    values += [parameter.low - 1e-6] + [parameter.low] * parameter.open_low
  if math.isfinite(parameter.high):
    values += [parameter.high + 1e-6] + [parameter.high] * parameter.open_high
  return values
