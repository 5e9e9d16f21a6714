"""The latency that counts and measured costs predict.

An answer takes both prefills and, for each verifier call, gamma + 1 drafter
steps and a block of as many tokens.
"""

from speccascade.decoding import replay
from speccascade.sweeps import settings as settings_lib


def seconds(outputs, widths, costs, setting, plan):
  """Predicts the time of answers decoded one by one.

  Args:
    outputs: lines of `quality.collect`, of a setting.
    widths: tokens that the prompt of each is padded to.
    costs: benchmark.Costs of the pair.
    setting: Setting.
    plan: settings.Plan, or None.

  Returns:
    Seconds in all; None for a baseline and for a schedule other than 'fixed',
    whose blocks the outputs do not tell.
  """
  prefill = [costs.prefill[width] for width in widths]
  if setting.rule in settings_lib.ALONE:
    role = setting.rule.removesuffix('_alone')
    step = {'drafter': costs.drafter_step, 'verifier': costs.verifier_block[1]}
    tokens = sum(x['tokens'] for x in outputs)
    return (tokens * step[role] + sum(p[role] for p in prefill)) / 1e3
  if plan is None or plan.schedule != 'fixed':
    return None
  calls = sum(
    replay.accepted_lengths(
      [kept == '1' for kept in x['from_drafter']], plan.gamma
    ).sum()
    for x in outputs
  )
  G = plan.gamma + 1
  iteration = G * costs.drafter_step + costs.verifier_block[G]
  both = sum(p['drafter'] + p['verifier'] for p in prefill)
  return float(calls * iteration + both) / 1e3
