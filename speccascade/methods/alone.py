"""Either model alone, a token at a time."""

import dataclasses

from speccascade.decoding import autoregressive, checks


@dataclasses.dataclass(frozen=True)
class Alone:
  """Plain autoregressive decoding of one model of the pair.

  Attributes:
    role: 'drafter' or 'verifier'.
  """

  role: str

  parameters = ()
  drafts = False
  plan_changes_text = False
  divergence_rejects = False
  family = 'models'

  @property
  def name(self) -> str:
    """`drafter_alone` or `verifier_alone`."""
    return f'{self.role}_alone'

  @property
  def lossless(self) -> bool:
    """Whether it is the verifier."""
    return self.role == 'verifier'

  def decode(self, models, params, request, max_new_tokens, eos_ids):
    """See `base.Standalone`; the Result has no counts: a call a token."""
    checks.check_values(self, request.values[0], request.prompts.rows)
    decoder, params = self.slots(models, params, max_new_tokens, eos_ids)
    return autoregressive.decode(
      decoder,
      *params,
      request.prompts,
      request.sampling,
      request.key,
      request.stops,
    )

  def slots(self, models, params, max_new_tokens, eos_ids):
    """See `base.Standalone`."""
    i = ('drafter', 'verifier').index(self.role)
    decoder = autoregressive.Autoregressive(
      models[i], max_new_tokens, eos_ids, self.role
    )
    return decoder, (params[i],)
