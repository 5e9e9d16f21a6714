"""The points of a sweep: settings, which a text depends on, and draft plans."""

import dataclasses

from speccascade import methods
from speccascade.decoding import schedules
from speccascade.methods import base
from speccascade.sweeps import config as config_lib


@dataclasses.dataclass(frozen=True)
class Setting:
  """A method with its values, and how both models are sampled.

  Attributes:
    method: a name of `methods.METHODS`.
    values: a number for each of its parameters.
    temperature: of both models.
    top_p: likewise.
    top_k: likewise.
    seed: of the draws.
  """

  method: str
  values: tuple[float, ...]
  temperature: float
  top_p: float
  top_k: int
  seed: int

  def id(self, plan: schedules.Plan | None = None) -> str:
    """Name of the setting, or of the point under a plan."""
    parts = [self.method]
    parts += [f'{name}{_text(x)}' for name, x in self.parameters.items()]
    if plan is not None:
      parts.append(plan.id())
    parts += [f't{_text(self.temperature)}', f'p{_text(self.top_p)}']
    parts += [f'k{self.top_k}', f's{self.seed}']
    return '-'.join(parts)

  @property
  def of(self) -> base.Method:
    """The method itself."""
    return methods.METHODS[self.method]

  @property
  def parameters(self) -> dict[str, float]:
    """{name: value} of the method's parameters."""
    names = (parameter.name for parameter in self.of.parameters)
    return dict(zip(names, self.values, strict=True))

  @property
  def sampling(self) -> tuple[float, float]:
    """(temperature, top-p): settings that share it are timed together."""
    return self.temperature, self.top_p

  def text_id(self, plan: schedules.Plan | None) -> str:
    """Name of the text under a plan, which may be that of every plan."""
    return self.id(plan if self.of.plan_changes_text else None)


def _text(x):
  """The number, all of it: a grown sweep may have its neighbour."""
  return str(x).removesuffix('.0')


def like(setting: Setting, method: base.Method) -> Setting:
  """The setting of a method without parameters, sampled alike."""
  return dataclasses.replace(setting, method=method.name, values=())


def settings(sweep: config_lib.Sweep) -> list[Setting]:
  """Every setting of a sweep, method by method in the order of METHODS.

  Both models alone and strict, which others are compared with, are among them
  whether or not the config names them.
  """
  reference = (methods.VERIFIER_ALONE, methods.DRAFTER_ALONE, methods.STRICT)
  points = {method.name: ((),) for method in reference}
  for name in methods.METHODS:  # Not in the order of the config.
    if name in sweep.methods:
      own = tuple(map(config_lib.as_values, sweep.methods[name]))
      points[name] = own or ((),)
  return [
    Setting(
      method=name,
      values=tuple(map(float, values)),
      temperature=float(temperature),
      top_p=float(top_p),
      top_k=sweep.top_k,
      seed=sweep.seed,
    )
    for name, own in points.items()
    for temperature in sweep.temperatures
    for top_p in sweep.top_ps
    for values in own
  ]


def plans(sweep: config_lib.Sweep) -> list[schedules.Plan]:
  """The plans of a sweep: every gamma, then every schedule."""
  found = [schedules.Plan(gamma) for gamma in sweep.gammas]
  for name, parameters in sweep.schedules.items():
    for parameter in parameters or (None,):
      found.append(schedules.Plan(sweep.schedule_gamma, name, parameter))
  return found


def points(
  settings: list[Setting], plans: list[schedules.Plan]
) -> list[tuple[Setting, schedules.Plan | None]]:
  """(setting, plan) of settings; plan is None where nothing is drafted."""
  return [
    (setting, plan)
    for setting in settings
    for plan in (plans if setting.of.drafts else (None,))
  ]
