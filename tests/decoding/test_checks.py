"""One program for all settings, and one clear line for a wrong one."""

import dataclasses

import numpy as np
import pytest

from speccascade import methods
from speccascade.decoding import autoregressive, results
from speccascade.decoding import loop as loop_lib
from speccascade.methods import sequence_cascade, token_cascade
from speccascade.sampling import keys, probabilities
from tests.decoding import table_model, tiny
from tests.rules import examples

pytestmark = pytest.mark.usefixtures('float64')

V, N, P, S = 6, 5, 4, 7
MODEL = table_model.TableModel(V, context_length=12)
TABLES = table_model.table(V, 0), table_model.table(V, 1)


def _loop(
  *names, rows=P, model=MODEL, verifier=None, gamma=2, most=N, eos_ids=(0,)
):
  groups = tuple(loop_lib.Group(methods.get(name), rows) for name in names)
  return loop_lib.Loop(model, verifier or model, gamma, most, eos_ids, groups)


def _values(name, rows=P):
  middle = examples.middle(methods.get(name).parameters)
  return tuple(np.full(rows, float(x)) for x in middle)


def _request(*names, seed=0, **changes):
  rng = np.random.default_rng(seed)
  copies = len(names)
  request = results.Request(
    results.Prompts(
      rng.integers(0, V, (P, S)),
      rng.integers(1, S + 1, P),
      rng.integers(0, 1000, P),
      copies,
    ),
    probabilities.Sampling(
      np.tile(rng.choice([0, 0.3, 1, 2.5], P), copies),
      np.tile(rng.uniform(0.1, 1, P), copies),
    ),
    tuple(_values(name) for name in names),
    keys.make(seed),
  )
  return request.replace(**changes)


def _programs():
  return sum(
    module._decode._cache_size()
    for module in (loop_lib, autoregressive, token_cascade, sequence_cascade)
  )


def test_one_program_for_32_values_of_each_parameter_and_32_samplings():
  loop, tokens = _loop(*tiny.DRAFTING), []
  loop_lib.decode(loop, TABLES, _request(*tiny.DRAFTING))
  before = _programs()
  every = [methods.get(name).parameters for name in tiny.DRAFTING]
  for i in range(32):
    values = tuple(
      tuple(np.full(P, examples.over(x, 32)[i]) for x in parameters)
      for parameters in every
    )
    request = _request(*tiny.DRAFTING, seed=i, values=values)
    tokens.append(loop_lib.decode(loop, TABLES, request).token_BxN)
  assert _programs() == before
  for i in range(len(every)):  # The settings arrive.
    own = {np.asarray(x[i * P : i * P + P]).tobytes() for x in tokens}
    assert len(own) >= 30  # Few tokens: two seeds may agree.


def test_values_arrive():
  """At one seed and one sampling, text changes with the values alone."""
  texts = [
    np.stack(
      [
        loop_lib.decode(
          _loop(*tiny.DRAFTING),
          TABLES,
          _request(
            *tiny.DRAFTING,
            seed=seed,
            values=tuple(
              tuple(np.full(P, float(x.examples[i])) for x in parameters)
              for parameters in (
                methods.get(n).parameters for n in tiny.DRAFTING
              )
            ),
          ),
        ).token_BxN
        for seed in range(8)
      ]
    )
    for i in (0, -1)
  ]
  for i, name in enumerate(tiny.DRAFTING):
    small, large = (x[:, i * P : i * P + P] for x in texts)
    changed = bool((small != large).any())
    assert changed == bool(methods.get(name).parameters), name


def test_one_autoregressive_program():
  sizes = set()
  for seed in range(8):
    methods.VERIFIER_ALONE.decode(
      (MODEL, MODEL), TABLES, _request('verifier_alone', seed=seed), N, (0,)
    )
    sizes.add(_programs())
  assert len(sizes) == 1


def _prompts(**changes):
  return _request('token_v3').prompts.replace(**changes)


def _sampling(**changes):
  return _request('token_v3').sampling.replace(**changes)


WRONG = {
  'there is no prompt; give at least one': dict(
    prompts=results.Prompts(np.zeros((0, S), int), *np.zeros((2, 0), int))
  ),
  'prompt 2 has length 0': dict(
    prompts=_prompts(length_P=np.array([1, 7, 0, 3]))
  ),
  'prompt 3 has length 8; it must be in 1..7': dict(
    prompts=_prompts(length_P=np.array([1, 7, 2, 8]))
  ),
  'need length_P and example_P of shape': dict(
    prompts=_prompts(length_P=np.array([1, 7, 2]), copies=1)
  ),
  r'tokens 0..6 are outside the vocabulary of 6': dict(
    prompts=_prompts(token_PxS=np.arange(28).reshape(P, S) % 7)
  ),
  r'tokens -1..5 are outside': dict(
    prompts=_prompts(token_PxS=np.arange(28).reshape(P, S) % 7 - 1)
  ),
  'temperature must be a finite number of at least 0, got -0.5': dict(
    sampling=_sampling(temperature_B=np.array([0, 1, -0.5, 1]))
  ),
  'temperature must be a finite number of at least 0, got nan': dict(
    sampling=_sampling(temperature_B=np.array([0, 1, np.nan, 1]))
  ),
  r'temperature needs shape \(4,\)': dict(
    sampling=_sampling(temperature_B=np.ones(1))
  ),
  r'top_p must be in \(0, 1\], got 0': dict(
    sampling=_sampling(top_p_B=np.array([0, 1, 1, 1]))
  ),
  r'top_p must be in \(0, 1\], got 1.1': dict(
    sampling=_sampling(top_p_B=np.array([0.5, 1.1, 1, 1]))
  ),
  r'top_p must be in \(0, 1\], got nan': dict(
    sampling=_sampling(top_p_B=np.array([0.5, np.nan, 1, 1]))
  ),
  r'top_k must be 0 \(all\) or more, got -1': dict(
    sampling=_sampling(top_k=-1)
  ),
}
WRONG_VALUES = {
  'alpha=1.5 is out of range for token_v3': np.array([0, 0.5, 1.5, 0]),
  'alpha=nan is out of range for token_v3': np.array([0, 0.5, np.nan, 0]),
  r'alpha needs shape \(4,\), one a row, got \(\)': np.float64(0.3),
  r'alpha needs shape \(4,\), one a row, got \(3,\)': np.zeros(3),
}


def _assert_refused(message, call):
  """The call raises ValueError of one line, and nothing compiles."""
  before = _programs()
  with pytest.raises(ValueError, match=message) as error:
    call()
  assert '\n' not in str(error.value)
  assert _programs() == before


@pytest.mark.parametrize('message', WRONG)
def test_errors_come_before_any_compile(message):
  request = _request('token_v3', **WRONG[message])
  _assert_refused(
    message, lambda: loop_lib.decode(_loop('token_v3'), TABLES, request)
  )
  for name, method in methods.METHODS.items():
    if not method.drafts:
      own = request.replace(values=(_values(name),))
      _assert_refused(
        message,
        lambda m=method, r=own: m.decode((MODEL, MODEL), TABLES, r, N, (0,)),
      )


@pytest.mark.parametrize('message', WRONG_VALUES)
def test_wrong_values_are_refused_before_any_compile(message):
  request = _request('token_v3', values=((WRONG_VALUES[message],),))
  _assert_refused(
    message, lambda: loop_lib.decode(_loop('token_v3'), TABLES, request)
  )


def test_a_prompt_that_is_too_long_is_named():
  short = table_model.TableModel(V, context_length=11)
  request = _request(
    'strict', prompts=_prompts(length_P=np.array([1, 7, 2, 3]))
  )
  message = (
    'prompt 1 is too long: 7 tokens; with max_new_tokens=5 the models take 6'
  )
  loop = _loop('strict', verifier=short)
  _assert_refused(message, lambda: loop_lib.decode(loop, TABLES, request))
  _assert_refused(
    message,
    lambda: methods.VERIFIER_ALONE.decode(
      (MODEL, short), TABLES, request, N, (0,)
    ),
  )


@pytest.mark.parametrize(
  ('groups', 'values'),
  [
    ((3,), 1),  # Too few rows.
    ((3, 2), 2),  # Too many.
    ((2, 2), 1),  # Values for one group of two.
    ((4,), 2),
    ((), 0),
  ],
)
def test_groups_that_do_not_add_up_are_refused(groups, values):
  loop = dataclasses.replace(
    _loop(), groups=tuple(loop_lib.Group(methods.STRICT, n) for n in groups)
  )
  request = _request('strict', values=((),) * values)
  total = sum(groups)
  _assert_refused(
    f'{len(groups)} groups of {total} rows, values for {values}: the request '
    'has 4 rows',
    lambda: loop_lib.decode(loop, TABLES, request),
  )


def test_values_of_a_group_have_its_rows():
  groups = tuple(
    loop_lib.Group(methods.get(n), r) for n, r in (('chow', 1), ('opt', 3))
  )
  loop = dataclasses.replace(_loop(), groups=groups)
  request = _request('strict', values=((np.ones(3),), (np.ones(1),)))
  _assert_refused(
    r'alpha needs shape \(1,\)',
    lambda: loop_lib.decode(loop, TABLES, request),
  )


def test_the_number_of_values_is_checked():
  request = _request('lossy_beta', values=((np.full(P, 0.3),),))
  _assert_refused(
    r'lossy_beta takes 2 parameters \(alpha, beta\), got 1',
    lambda: loop_lib.decode(_loop('lossy_beta'), TABLES, request),
  )
  request = _request('strict', values=((np.full(P, 0.3),),))
  _assert_refused(
    r'strict takes 0 parameters \(none\), got 1',
    lambda: loop_lib.decode(_loop('strict'), TABLES, request),
  )


@pytest.mark.parametrize('gamma', [-1, 0.5, 2.0])
def test_gamma_is_checked(gamma):
  with pytest.raises(
    ValueError, match=f'gamma must be a non-negative integer, got {gamma}'
  ):
    _loop('strict', gamma=gamma)


def test_a_loop_checks_its_static_half():
  with pytest.raises(ValueError, match='drafter 6, verifier 7'):
    _loop('strict', verifier=table_model.TableModel(7))
  _assert_refused(
    'max_new_tokens must be at least 1, got 0',
    lambda: loop_lib.decode(
      _loop('strict', most=0), TABLES, _request('strict')
    ),
  )
