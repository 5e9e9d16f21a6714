"""A logit that is not finite is told, with the model, example and position."""

import dataclasses
import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from speccascade import methods
from speccascade.decoding import checks, results, schedules
from speccascade.decoding import loop as loop_lib
from speccascade.models import cache as cache_lib
from speccascade.sampling import keys, probabilities
from tests.decoding import table_model, tiny
from tests.rules import examples

ROLES = ('drafter', 'verifier')


# --- Where: against a walk over what was emitted.

V, N, EOS, ROWS = 6, 8, 0, 5
MODEL = table_model.TableModel(V)
PROMPTS = results.Prompts(
  np.array([[1, 2, 3], [4, 0, 0], [5, 5, 0], [2, 4, 1], [3, 3, 2]]),
  np.array([3, 1, 2, 3, 3]),
  np.arange(ROWS) + 7,
)
# After these two tokens one logit is wrong.
PAIRS = {(2, 3): np.nan, (1, 4): np.inf, (3, 1): -np.inf, (5, 2): np.nan}


def _tables(role):
  """(drafter's, verifier's), one of them with faults."""
  tables = {r: table_model.table(V, i) for i, r in enumerate(ROLES)}
  for i, (pair, value) in enumerate(PAIRS.items()):
    tables[role][pair][i] = value
  return tuple(tables.values())


def _walk(prompt, tokens):
  """Position of the first token that a fault precedes; NONE without one."""
  before = [0, *prompt]
  for t, token in enumerate(tokens):
    if tuple(before[-2:]) in PAIRS:
      return t
    before.append(token)
  return results.NONE


def _decode(names, role, gamma):
  """The result, faults and all, under methods, a group of the prompts each."""
  copies = len(names)
  values = tuple(
    tuple(np.full(ROWS, x) for x in examples.middle(methods.get(n).parameters))
    for n in names
  )
  request = results.Request(
    dataclasses.replace(PROMPTS, copies=copies),
    probabilities.Sampling(
      np.tile([1, 0, 0.6, 1, 1.0], copies), np.ones(ROWS * copies)
    ),
    values,
    keys.make(0),
  )
  groups = tuple(loop_lib.Group(methods.get(name), ROWS) for name in names)
  plan = None if gamma is None else schedules.Plan(gamma)
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(checks, 'finite', lambda result, prompts: result)
    return jax.device_get(
      methods.decode(
        (MODEL, MODEL), _tables(role), groups, request, plan, N, (EOS,)
      )
    )


def _assert_walked(fault_B, result):
  copies = len(fault_B) // ROWS
  walked = [
    _walk(prompt[:length], tokens[:n])
    for prompt, length, tokens, n in zip(
      np.tile(PROMPTS.token_PxS, (copies, 1)),
      np.tile(PROMPTS.length_P, copies),
      result.token_BxN,
      result.length_B,
      strict=True,
    )
  ]
  assert min(walked) == results.NONE < max(walked)  # Some never, some do.
  np.testing.assert_array_equal(fault_B, walked)


@pytest.mark.usefixtures('float64')
@pytest.mark.parametrize(('role', 'gamma'), [('drafter', 3), ('verifier', 0)])
def test_the_first_position_at_fault_is_told_for_each_row(role, gamma):
  result = _decode(tiny.DRAFTING, role, gamma)
  (other,) = set(ROLES) - {role}
  _assert_walked(result.fault_B[role], result)
  assert (result.fault_B[other] == results.NONE).all()
  # Whatever is at fault, what was emitted is tokens.
  assert ((result.token_BxN >= 0) & (result.token_BxN < V)).all()


@pytest.mark.usefixtures('float64')
@pytest.mark.parametrize(
  ('name', 'role'),
  [
    ('verifier_alone', 'verifier'),
    ('drafter_alone', 'drafter'),
    ('token_cascade', 'drafter'),
  ],
)
def test_methods_outside_the_loop_tell_it_too(name, role):
  result = _decode((name,), role, None)
  _assert_walked(result.fault_B[role], result)


# --- That: at the vocabulary of a pair, in float32, as users compile it.


@dataclasses.dataclass(frozen=True)
class Constant:
  """Gives the logits that are its parameters, whatever it reads."""

  vocab_size: int = 768

  def longest_prompt(self, max_new_tokens):
    return 100

  def prefill(self, logits_V, token_BxS, length_B, *, new_tokens, block):
    return cache_lib.Cache(length_B, (), (), ()), token_BxS[:, 0]

  def extend(self, logits_V, cache, token_BxT, at_B=None):
    if at_B is not None:
      token_BxT = token_BxT[:, :1]
    shape = (*token_BxT.shape, self.vocab_size)
    return jnp.broadcast_to(logits_V, shape), cache


LOGITS = np.random.default_rng(0).normal(size=768).astype(np.float32)
WRONG = {
  'all NaN': np.full(768, np.nan, np.float32),
  'one NaN': np.where(np.arange(768) == 700, np.nan, LOGITS).astype('float32'),
  'one infinite': np.where(np.arange(768) == 3, np.inf, LOGITS).astype(
    'float32'
  ),
}


@pytest.mark.usefixtures('optimised')
@pytest.mark.parametrize(
  'wrong',
  [
    pytest.param('all NaN', marks=pytest.mark.thorough),
    'one NaN',
    'one infinite',
  ],
)
@pytest.mark.parametrize('role', ROLES)
@pytest.mark.parametrize(
  'names',
  [
    ('strict', 'token_v3', 'drafter'),
    ('token_cascade',),
    *(
      pytest.param((name,), marks=pytest.mark.thorough)
      for name in ('verifier_alone', 'drafter_alone', 'sequence_mean')
    ),
  ],
)
def test_nothing_comes_of_a_model_that_is_not_finite(names, role, wrong):
  copies = len(names)
  # The sure drafter of a cascade is not followed.
  values = tuple((np.zeros(3),) * len(methods.get(n).parameters) for n in names)
  request = results.Request(
    results.Prompts(np.full((3, 4), 2), np.array([4, 1, 3]), np.arange(3), 1),
    probabilities.Sampling(np.tile([0, 1, 0.5], copies), np.ones(3 * copies)),
    values,
    keys.make(0),
  )
  request = request.replace(
    prompts=dataclasses.replace(request.prompts, copies=copies)
  )
  params = {r: LOGITS for r in ROLES} | {role: WRONG[wrong]}
  groups = tuple(loop_lib.Group(methods.get(n), 3) for n in names)
  plan = schedules.Plan(2) if methods.get(names[0]).drafts else None
  decode = functools.partial(
    methods.decode,
    (Constant(), Constant()),
    tuple(params.values()),
    groups,
    request,
    plan,
    5,
    (767,),
  )
  if methods.get(names[0]).role not in (None, role):
    decode()  # The other model alone is whole.
    return
  message = (
    f'the {role} gave NaN or an infinite logit for token 0 of the answer to '
    'example 0; check its weights'
  )
  with pytest.raises(ValueError, match=re.escape(message)) as error:
    decode()
  assert '\n' not in str(error.value)


@pytest.mark.usefixtures('optimised')
@pytest.mark.parametrize('V', [1, 512, 768, 32_128, 256_000])
def test_finite_sees_one_logit_at_any_vocabulary(V):
  logits = np.zeros((3, 2, V), np.float32)
  logits[0, 1, V - 1], logits[1, 0, V // 2], logits[2, 1, 0] = (
    np.nan,
    np.inf,
    -np.inf,
  )
  np.testing.assert_array_equal(
    jax.jit(probabilities.finite)(logits), [[1, 0], [0, 1], [1, 0]]
  )
