"""What a method is: a way of deciding which model writes each token.

A method declares what the rest of the code needs to know of it, and is decoded
in one of two ways: a `Drafting` method defers block by block within
`decoding.loop`, where one batch carries several of them; a `Standalone` one
has a program of its own.
"""

from collections.abc import Callable
from typing import Any, Protocol

from speccascade.decoding import defer, results
from speccascade.rules.base import Parameter


class Method(Protocol):
  """What every method declares. Hashable: programs are made for it.

  Attributes:
    name: as configs, records and reports have it.
    parameters: what a sweep gives it values of.
    drafts: whether drafts are sized by a plan (gamma and schedule).
    plan_changes_text: whether the text depends on that plan. With coupled
      draws it need not: then one decoding tells the text under every plan.
    divergence_rejects: whether a token is rejected with probability
      D_TV(pi, q).
    lossless: whether it samples the verifier's own distribution.
    role: 'drafter' or 'verifier', the model that decodes alone; None where
      both do.
    family: methods of one family share a panel of figures.
  """

  name: str
  parameters: tuple[Parameter, ...]
  drafts: bool
  plan_changes_text: bool
  divergence_rejects: bool
  lossless: bool
  role: str | None
  family: str


class Drafting(Method, defer.Defers, Protocol):
  """A method of `decoding.loop`: `drafts` holds, and it has `defer`."""


class Standalone(Method, Protocol):
  """A method with a program of its own: `drafts` does not hold.

  Attributes:
    slots: (models, params, max_new_tokens, eos_ids), as of `decode`, -> (what
      `decoding.queue.Slots` takes for a decoder, parameters of its models).
  """

  slots: Callable[..., tuple[Any, tuple[Any, ...]]]

  def decode(
    self,
    models: tuple[Any, Any],
    params: tuple[Any, Any],
    request: results.Request,
    max_new_tokens: int,
    eos_ids: tuple[int, ...],
  ) -> results.Result:
    """Decodes a batch whose rows all follow this method.

    Args:
      models: (drafter, verifier).
      params: their parameters.
      request: Request; its one group's values are [B].
      max_new_tokens: most tokens generated.
      eos_ids: tokens that end a row.

    Raises:
      ValueError: an argument is out of range; nothing was compiled.
    """


# How far a model's confidence may be from certainty.
LACK = Parameter('alpha', 0, 1, examples=(0.0, 0.3, 0.9))


def traits(method: Method) -> dict[str, bool]:
  """What records tell of a method."""
  names = ('drafts', 'plan_changes_text', 'divergence_rejects', 'lossless')
  return {name: getattr(method, name) for name in names}
