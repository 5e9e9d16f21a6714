"""What holds of every registered method."""

import inspect
import re

import jax
import numpy as np
import pytest

from speccascade import methods
from speccascade.decoding import loop as loop_lib
from speccascade.decoding import results, schedules
from speccascade.methods import base, choice
from speccascade.rules.base import Parameter
from speccascade.runs import records
from speccascade.sampling import keys, probabilities
from tests.decoding import table_model, tiny
from tests.rules import examples

pytestmark = pytest.mark.usefixtures('float64')

V, N, EOS, ROWS = 6, 6, 0, 4
MODELS = (table_model.TableModel(V),) * 2
TABLES = table_model.table(V, 0), table_model.table(V, 1)
STANDALONE = [n for n, m in methods.METHODS.items() if not m.drafts]


def _request(name, **changes):
  prompts = results.Prompts(
    np.array([[1, 2, 3], [4, 0, 0], [5, 5, 0], [2, 4, 1]]),
    np.array([3, 1, 2, 3]),
    np.arange(ROWS) + 7,
  )
  sampling = probabilities.Sampling(
    np.array([1, 0, 0.6, 1]), np.array([1, 1, 1, 0.7])
  )
  values = tuple(
    np.linspace(x.examples[0], x.examples[-1], ROWS)
    for x in methods.get(name).parameters
  )
  request = results.Request(prompts, sampling, (values,), keys.make(1))
  return request.replace(**changes)


def _decode(name, request, gamma=2):
  method = methods.get(name)
  plan = schedules.Plan(gamma) if method.drafts else None
  group = loop_lib.Group(method, ROWS)
  return jax.device_get(
    methods.decode(MODELS, TABLES, (group,), request, plan, N, (EOS,))
  )


@pytest.mark.parametrize('name', methods.METHODS)
def test_a_method_declares_what_it_is(name):
  method = methods.get(name)
  assert method.name == name
  assert inspect.getdoc(method)
  hash(method)
  for trait, value in base.traits(method).items():
    assert isinstance(value, bool), trait
  assert method.role in (None, 'drafter', 'verifier')
  for parameter in method.parameters:
    assert isinstance(parameter, Parameter)
    for value in parameter.examples:
      parameter.check(value, name)
  own = 'defer' if method.drafts else 'decode'
  assert callable(getattr(method, own))
  assert hasattr(method, 'defer') == method.drafts
  if method.drafts:
    assert isinstance(method.invariant, bool)
    assert method.lossless or not method.invariant
  # Only what drafts ahead has a plan that could change its text.
  assert method.drafts or not method.plan_changes_text
  assert re.fullmatch(r'[a-z][a-z0-9_]*', name)


def test_an_unknown_method_is_named():
  with pytest.raises(ValueError, match="unknown method 'x'; known: verif.*opt"):
    methods.get('x')


def _wrong():
  for name, method in methods.METHODS.items():
    for k, parameter in enumerate(method.parameters):
      for value in examples.wrong(parameter):
        yield pytest.param(name, k, value, id=f'{name}-{k}-{value:g}')


@pytest.mark.parametrize(('name', 'k', 'value'), _wrong())
def test_values_out_of_range_are_refused_before_any_compile(name, k, value):
  method, request = methods.get(name), _request(name)
  own = [np.array(x) for x in request.values[0]]
  own[k][2] = value
  parameter = method.parameters[k].name
  message = f'{parameter}={value:g} is out of range for {name}'
  with pytest.raises(ValueError) as error:
    _forbid_compiling(lambda: _decode(name, request.replace(values=(own,))))
  assert str(error.value).startswith(message)
  assert '\n' not in str(error.value)


def _forbid_compiling(call):
  """Runs the call; whatever it traces fails."""
  with pytest.MonkeyPatch.context() as patch:
    for model in {type(model) for model in MODELS}:
      patch.setattr(model, 'prefill', _traced)
    return call()


def _traced(*arguments, **options):
  raise AssertionError('the program was traced')


def test_forbidding_compiles_fails_a_call_that_is_right():
  with pytest.raises(AssertionError, match='traced'):
    _forbid_compiling(lambda: _decode('strict', _request('strict'), 3))


@pytest.mark.parametrize('name', methods.METHODS)
def test_the_number_of_values_is_checked(name):
  request = _request(name)
  request = request.replace(values=((*request.values[0], np.ones(ROWS)),))
  with pytest.raises(ValueError, match=f'{name} takes . parameters'):
    _decode(name, request)


@pytest.mark.parametrize('name', STANDALONE)
def test_a_row_gives_what_it_gives_beside_others(name):
  """Those that draft: tests/decoding/test_loop.py."""
  request = _request(name)
  together = _decode(name, request)
  for b in range(ROWS):
    rows = [b] * ROWS
    alone = _decode(
      name,
      request.replace(
        prompts=tiny.row(request.prompts, rows),
        sampling=tiny.row(request.sampling, rows),
        values=tiny.row(request.values, rows),
      ),
    )
    for x, y in zip(
      jax.tree.leaves(alone),
      jax.tree.leaves(tiny.row(together, rows)),
      strict=True,
    ):
      np.testing.assert_allclose(x, y, rtol=0, atol=1e-9)


@pytest.mark.parametrize('name', STANDALONE)
def test_standalone_results_are_whole(name):
  method, result = methods.get(name), _decode(name, _request(name))
  ends = [np.flatnonzero(row == EOS) for row in result.token_BxN]
  assert result.token_BxN.shape == (ROWS, N)
  for end, n in zip(ends, result.length_B, strict=True):
    assert n == (end[0] + 1 if len(end) else N)
  if method.role:  # A call a token, and nothing else to count.
    assert result.counts is None
  else:
    c = result.counts
    np.testing.assert_array_equal(c.accepted_B + c.rejected_B, result.length_B)
    np.testing.assert_array_equal(result.from_drafter_BxN.sum(1), c.accepted_B)


# --- Groups of rows.


class _Spy:
  """Notes the rows that it is given; keeps what the drafter wrote."""

  name, parameters = 'spy', (Parameter('alpha'),)

  def __init__(self):
    self.seen = []

  def defer(self, draft, verified, values, u_BxGxU):
    (alpha_B,) = values
    shapes = jax.tree.map(lambda x: x.shape[0], (draft, verified, u_BxGxU))
    self.seen.append({*jax.tree.leaves(shapes), *alpha_B.shape})
    return methods.get('drafter').defer(draft, verified, (), u_BxGxU)


def _mixed(groups, request):
  loop = loop_lib.Loop(*MODELS, 2, N, (EOS,), groups)
  return jax.device_get(loop_lib.decode(loop, TABLES, request))


def test_groups_of_any_size_equal_their_rows_alone():
  names, rows = ('lossy_beta', 'strict', 'bild_rollback'), (1, 2, 1)
  full = [_request(name).values[0] for name in names]
  starts = np.cumsum((0, *rows))
  own = [slice(a, b) for a, b in zip(starts, starts[1:], strict=False)]
  values = tuple(
    tuple(x[rows] for x in each) for each, rows in zip(full, own, strict=True)
  )
  groups = tuple(
    loop_lib.Group(methods.get(n), r) for n, r in zip(names, rows, strict=True)
  )
  mixed = _mixed(groups, _request('strict', values=values))
  assert len({row.tobytes() for row in mixed.token_BxN}) == ROWS
  of = choice.Choice(tuple(map(methods.get, names)))
  for name, rows in zip(names, own, strict=True):
    request = _request(name)
    chosen = of.values(methods.get(name), request.values[0], ROWS)
    alone = _mixed(
      (loop_lib.Group(of, ROWS),), request.replace(values=(chosen,))
    )
    tiny.assert_same(
      tiny.row(mixed, rows), tiny.row(alone, rows), gamma_free=False
    )


def test_a_method_is_given_its_own_rows_alone():
  spies = _Spy(), _Spy()
  groups = tuple(
    loop_lib.Group(spy, rows) for spy, rows in zip(spies, (3, 1), strict=True)
  )
  _mixed(groups, _request('strict', values=((np.ones(3),), (np.ones(1),))))
  for spy, rows in zip(spies, (3, 1), strict=True):
    assert spy.seen
    assert all(seen == {rows} for seen in spy.seen)


def test_copies_equal_rows_of_their_own():
  """Row b continues prompt b mod P."""
  groups = (loop_lib.Group(methods.STRICT, 3 * ROWS),)
  once = _request('strict')
  request = once.replace(
    prompts=once.prompts.replace(copies=3),
    sampling=jax.tree.map(lambda x: np.tile(x, 3), once.sampling),
  )
  tile = lambda x: np.tile(x, (3,) + (1,) * (x.ndim - 1))  # noqa: E731
  own = _mixed(
    groups, request.replace(prompts=jax.tree.map(tile, once.prompts))
  )
  copied = _mixed(groups, request)
  tiny.assert_same(copied, own, gamma_free=False)
  first, second = (tiny.row(copied, slice(i, i + 4)) for i in (0, 4))
  tiny.assert_same(first, second, gamma_free=False)
  assert len({row.tobytes() for row in first.token_BxN}) == ROWS


def test_tile():
  prompts = results.Prompts(
    np.zeros((2, 4), int), np.array([3, 1]), np.array([7, 8]), copies=3
  )
  assert prompts.rows == 6
  np.testing.assert_array_equal(
    prompts.tile(prompts.example_P), [7, 8, 7, 8, 7, 8]
  )
  np.testing.assert_array_equal(
    prompts.replace(copies=1).tile(prompts.example_P), [7, 8]
  )


# --- A method that is chosen at run time; tests/decoding/test_loop.py decodes.


def test_a_choice_pads_values_and_checks_them():
  of = choice.Choice(tuple(map(methods.get, ('strict', 'lossy_beta', 'opt'))))
  assert len(of.parameters) == 3
  ones = np.ones(2)
  for name, own, expected in (
    ('strict', (), (0, 0, 0)),
    ('lossy_beta', (0.5 * ones, 2 * ones), (1, 0.5, 2)),
    ('opt', (-3 * ones,), (2, -3, 0)),
  ):
    values = of.values(methods.get(name), own, 2)
    np.testing.assert_array_equal(np.stack(values).T, [expected] * 2)
  with pytest.raises(ValueError, match='alpha=1 is out of range for lossy_b'):
    of.values(methods.get('lossy_beta'), (ones, ones), 2)
  with pytest.raises(ValueError, match='opt takes 1 parameters'):
    of.values(methods.get('opt'), (), 2)


def test_records_keep_what_methods_declare():
  assert base.traits(methods.STRICT).keys() == records.TRAITS.keys()
