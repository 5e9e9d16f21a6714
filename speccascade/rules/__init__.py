"""Deferral rules by name; `base` says what a rule is."""

from speccascade.rules import (
  base,
  confidence,
  divergence,
  ensemble,
  lossy,
  token,
  truncation,
)

RULES: dict[str, base.Rule] = {
  rule.__name__: rule
  for rule in (
    confidence.strict,
    confidence.drafter,
    confidence.chow,
    confidence.diff,
    confidence.opt,
    token.token_v1,
    token.token_v2,
    token.token_v3,
    lossy.lossy,
    lossy.lossy_beta,
    token.typical,
    token.bild,
    divergence.fsd_js,
    divergence.fsd_kl_qp,
    divergence.fsd_kl_pq,
    divergence.fsd_tv,
    ensemble.mixture,
    ensemble.contrastive,
    truncation.top_p,
    truncation.top_k,
    truncation.min_p,
  )
}
