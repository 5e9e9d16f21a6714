"""Distillation: a drafter learns the verifier's distribution of each token.

A draft is rejected with probability D_TV(p, q), p the verifier's and q the
drafter's distribution, so bringing q nearer to p lengthens what a verifier
call keeps. Losses, and the text that they are computed on: Zhou et al.,
"DistillSpec: Improving Speculative Decoding via Knowledge Distillation", ICLR
2024 (arXiv 2310.08461), and Agarwal et al., "On-Policy Distillation of
Language Models: Learning from Self-Generated Mistakes" (GKD), ICLR 2024 (arXiv
2306.13649).

To add a loss, write a function of `Loss`'s form and list it in LOSSES.
"""

import functools
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from speccascade.models import base
from speccascade.sampling import probabilities
from speccascade.training import answers
from speccascade.training import loss as loss_lib


class Loss(Protocol):
  """Compares two distributions of the next token at each position."""

  def __call__(
    self, log_p_BxTxV: jax.Array, log_q_BxTxV: jax.Array, target_BxT: jax.Array
  ) -> jax.Array:
    """Returns loss_BxT.

    Args:
      log_p_BxTxV: log probabilities of the verifier.
      log_q_BxTxV: log probabilities of the drafter.
      target_BxT: the text's next token.
    """


def forward_kl(log_p_BxTxV, log_q_BxTxV, target_BxT):
  """KL(p || q) in nats: q covers all that has probability under p."""
  del target_BxT
  return _kl(log_p_BxTxV, log_q_BxTxV)


def reverse_kl(log_p_BxTxV, log_q_BxTxV, target_BxT):
  """KL(q || p) in nats: q leaves what has no probability under p."""
  del target_BxT
  return _kl(log_q_BxTxV, log_p_BxTxV)


def generalised_jsd(beta: float) -> Loss:
  """Returns the loss beta KL(p || m) + (1 - beta) KL(q || m).

  Args:
    beta: in (0, 1), the share of p in the mixture m = beta p + (1 - beta) q.
      Over beta, the loss tends to the forward KL as beta falls to 0.
      Source: GKD, section 2.
  """

  def loss(log_p_BxTxV, log_q_BxTxV, target_BxT):
    del target_BxT
    log_m_BxTxV = jnp.logaddexp(
      np.log(beta) + log_p_BxTxV, np.log1p(-beta) + log_q_BxTxV
    )
    towards_p, towards_q = (
      _kl(x, log_m_BxTxV) for x in (log_p_BxTxV, log_q_BxTxV)
    )
    return beta * towards_p + (1 - beta) * towards_q

  return loss


def total_variation(log_p_BxTxV, log_q_BxTxV, target_BxT):
  """D_TV(p, q): the probability that a draft is rejected."""
  del target_BxT
  return probabilities.total_variation(
    jnp.exp(log_p_BxTxV), jnp.exp(log_q_BxTxV)
  )


def cross_entropy(log_p_BxTxV, log_q_BxTxV, target_BxT):
  """-log q of the text's next token; p has no effect.

  On the verifier's answers this is sequence-level distillation (Kim and Rush
  2016, arXiv 1606.07947); on the task's targets, further training.
  """
  del log_p_BxTxV
  at_BxTx1 = target_BxT[..., None]
  return -jnp.take_along_axis(log_q_BxTxV, at_BxTx1, axis=-1)[..., 0]


LOSSES: dict[str, Loss] = {
  'forward_kl': forward_kl,
  'reverse_kl': reverse_kl,
  'jsd': generalised_jsd(0.5),
  'total_variation': total_variation,
  'cross_entropy': cross_entropy,
}

# The text that a loss is computed on: the task's targets, or answers that the
# verifier or (on-policy) the current drafter draws within the step.
SAMPLES = ('targets', 'verifier', 'drafter')


def objective(
  verifier: base.Model,
  loss: str,
  samples: str,
  max_new_tokens: int,
  eos_ids: tuple[int, ...],
) -> loss_lib.Objective:
  """Returns the objective of a distillation.

  Args:
    verifier: the teacher; the objective takes its parameters as `frozen`.
    loss: a name of LOSSES.
    samples: one of SAMPLES; validation is always on the targets.
    max_new_tokens: most tokens of an answer that is drawn.
    eos_ids: tokens that end such an answer.

  Returns:
    An objective with the sums 'loss', 'acceptance' (1 - D_TV(p, q)) and
    'weight'.
  """
  answer = max_new_tokens, eos_ids
  return functools.partial(_sums, verifier, loss, samples, answer)


def _sums(verifier, loss, samples, answer, model, params, frozen, batch, key):
  if key is not None and samples != 'targets':
    writers = {'verifier': (verifier, frozen), 'drafter': (model, params)}
    # Draws have no gradient; a loop of unknown length has no reverse mode.
    writer = lax.stop_gradient(writers[samples][1])
    batch = answers.sample(writers[samples][0], writer, batch, *answer, key)
  frozen = lax.stop_gradient(frozen)

  def sums(p_BxTxD, q_BxTxD, target_BxT, weight_BxT):
    log_p_BxTxV, log_q_BxTxV = (
      jax.nn.log_softmax(loss_lib.logits(*x))
      for x in ((verifier, frozen, p_BxTxD), (model, params, q_BxTxD))
    )
    both = log_p_BxTxV, log_q_BxTxV, target_BxT
    return {
      'loss': jnp.sum(weight_BxT * LOSSES[loss](*both)),
      'acceptance': jnp.sum(weight_BxT * (1 - total_variation(*both))),
      'weight': jnp.sum(weight_BxT),
    }

  return loss_lib.sum_over_tokens(
    sums,
    2 * model.vocab_size,
    loss_lib.hidden(verifier, frozen, batch),
    loss_lib.hidden(model, params, batch),
    *loss_lib.targets(batch),
  )


def _kl(log_a, log_b):
  return jnp.sum(jnp.exp(log_a) * (log_a - log_b), axis=-1)
