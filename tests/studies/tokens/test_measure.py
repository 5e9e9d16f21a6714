"""What is observed of emitted tokens, against uncached passes and by hand."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from speccascade import methods, pairs, tokenizers
from speccascade.decoding import loop as loop_lib
from speccascade.decoding import results, schedules
from speccascade.models.t5 import config as t5_config
from speccascade.models.t5 import model as t5
from speccascade.sampling import probabilities
from speccascade.studies.tokens import measure
from speccascade.sweeps import batches, points
from speccascade.tasks import example
from tests.decoding import tiny
from tests.tokenizers import stand_ins

pytestmark = pytest.mark.usefixtures('float64')


def _held(result):
  """Which of a Result's tokens belong to an answer, BxN."""
  N = result.token_BxN.shape[1]
  return np.arange(N) < np.asarray(result.length_B)[:, None]


# --- Observed values, against an uncached pass of both models.


def _gemma_logits(model, params, prompts, token_BxN):
  """BxNxV before each token of the answers."""
  N = token_BxN.shape[1]
  length_B = np.tile(prompts.length_P, prompts.copies)
  token_BxS = np.tile(prompts.token_PxS, (prompts.copies, 1))
  read_BxT = np.zeros((len(length_B), token_BxS.shape[1] + N), int)
  for b, n in enumerate(length_B):
    read_BxT[b, :n] = token_BxS[b, :n]
    read_BxT[b, n : n + N] = token_BxN[b]
  logits_BxTxV = np.asarray(jax.jit(model.forward)(params, read_BxT))
  return np.stack(
    [x[n - 1 : n - 1 + N] for x, n in zip(logits_BxTxV, length_B, strict=True)]
  )


def _t5_logits(model, params, prompts, token_BxN):
  """BxNxV before each token of the answers, which follow the start token."""
  read_BxN = np.pad(token_BxN[:, :-1], ((0, 0), (1, 0)))
  tile = lambda x: np.tile(x, (prompts.copies, *[1] * (x.ndim - 1)))  # noqa: E731
  inputs = tile(prompts.token_PxS), tile(prompts.length_P)
  return np.asarray(jax.jit(model.forward)(params, *inputs, read_BxN))


def _check_observed(loop, params, request, logits):
  """Decodes, and compares what is observed with the definitions."""
  result = jax.device_get(loop_lib.decode(loop, params, request))
  assert result.observed.keys() == {
    *('divergence', 'gap', 'entropy', 'confidence')
  }
  held_BxN = _held(result)
  (q_raw, q), (p_raw, p) = (
    (raw, probabilities.sampled(x, raw, request.sampling))
    for x in (
      logits(model, own, request.prompts, result.token_BxN)
      for model, own in zip((loop.drafter, loop.verifier), params, strict=True)
    )
    for raw in [probabilities.raw(jnp.asarray(x))]
  )
  start = 0
  for group, values in zip(loop.groups, request.values, strict=True):
    own = slice(start, start + group.rows)
    held = held_BxN[own]
    pi = group.method.rule(
      *(x[own] for x in (q, p, q_raw, p_raw)),
      *(jnp.asarray(x)[:, None] for x in values),
    )
    raw = np.asarray(q_raw[own])
    expected = {
      'divergence': np.abs(pi - q[own]).sum(-1) / 2,
      'gap': np.abs(p[own] - q[own]).sum(-1) / 2,
      'entropy': -(raw * np.log(raw)).sum(-1),
      'confidence': raw.max(-1),
    }
    for name, x_RxN in expected.items():
      np.testing.assert_allclose(
        result.observed[name][own][held],
        x_RxN[held],
        rtol=0,
        atol=1e-8,
        err_msg=f'{group.method.name} {name}',
      )
    assert expected['divergence'][held].max() > 0.1
    start += group.rows
  np.testing.assert_allclose(
    result.observed['divergence'].sum(1),
    result.counts.divergence_B,
    rtol=0,
    atol=1e-9,
  )


def test_what_is_observed_is_what_an_uncached_pass_says():
  loop = tiny.make_loop(3, observe=measure.observe)
  _check_observed(loop, tiny.params(), tiny.request(), _gemma_logits)


def test_encoder_decoders_are_observed_alike():
  shared = dict(
    vocab_size=24, embed_dim=12, num_heads=2, head_dim=6, hidden_dim=16,
    input_length=9, dtype='float64',
  )  # fmt: skip
  models = [t5.T5(t5_config.T5Config(num_layers=n, **shared)) for n in (1, 2)]
  rng = np.random.default_rng(0)
  params = tuple(
    jax.tree.map(
      lambda x: 0.4 * rng.normal(size=x.shape),
      jax.eval_shape(model.init, jax.random.key(0)),
    )
    for model in models
  )
  rows = 4
  prompts = results.Prompts(
    np.random.default_rng(1).integers(2, 24, (rows, 9)),
    np.array([9, 1, 4, 6]),
    np.arange(rows),
    copies=2,
  )
  temperature_B = np.tile(np.array([1, 0, 0.7, 1]), 2)
  request = results.Request(
    prompts,
    probabilities.Sampling(temperature_B, np.ones(2 * rows)),
    ((), (np.linspace(0.1, 0.9, rows),)),
    jax.random.key(0),
  )
  groups = tuple(
    loop_lib.Group(methods.METHODS[name], rows)
    for name in ('strict', 'token_v3')
  )
  loop = loop_lib.Loop(*models, 3, 20, (5,), groups, observe=measure.observe)
  _check_observed(loop, params, request, _t5_logits)


# --- A whole workload, batch by batch.

_TOKENIZER = stand_ins.make(
  stand_ins.Pieces(
    ['\n', '▁5', '7', '▁the', 're', '.', *(f'▁w{i}' for i in range(22))]
  )
)


class _Task:
  """Scores the share of answers that hold what the reference says."""

  name, metric, max_new_tokens, stop = 'words', 'held', 24, ()

  def quality(self, outputs, references):
    held = [r in o for o, r in zip(outputs, references, strict=True)]
    return sum(held) / len(held)


def _workload(params=None):
  params = tiny.params() if params is None else params
  pair = pairs.Pair('tiny', tiny.DRAFTER, tiny.VERIFIER, *params, _TOKENIZER)
  prompts, references = tiny.prompts(), ('.', '5', ' w3') * 3
  examples = [
    example.Example(i, '', '', r) for i, r in enumerate(references[:7])
  ]
  return batches.Workload(
    pair, _Task(), examples, prompts.token_PxS[:7], prompts.length_P[:7]
  )


_SETTINGS = [
  points.Setting(name, values, temperature, 1.0, 0, 0)
  for name, values in (('strict', ()), ('token_v3', (0.7,)))
  for temperature in (1.0, 0.0)
]


@pytest.fixture(scope='module')
def answers():
  """Of each setting, in batches of 2 prompts: the last is short of one."""
  return measure.measure(_workload(), _SETTINGS, gamma=3, batch_size=8)


@pytest.mark.parametrize('batch_size', [1, 2, 3, 8, 100])
def test_a_batch_has_no_more_rows_than_it_may(monkeypatch, batch_size):
  workload = _workload()
  # Decoded in another order than that of the examples.
  workload.length_E[:] = [400, 3, 700, 3, 400, 3, 3]
  token_ExS = np.pad(workload.token_ExS, ((0, 0), (0, 700)))
  workload = dataclasses.replace(workload, token_ExS=token_ExS)

  def decode(workload, prompts, settings, plan, choice, observe):
    assert prompts.rows <= batch_size
    example_B = np.tile(prompts.example_P, prompts.copies)
    names = 'divergence', 'gap', 'entropy', 'confidence'
    return results.Result(
      token_BxN=example_B[:, None],
      length_B=np.ones(len(example_B), int),
      from_drafter_BxN=np.ones((len(example_B), 1), bool),
      observed=dict.fromkeys(names, example_B[:, None]),
    )

  monkeypatch.setattr(batches, 'decode', decode)
  got = measure.measure(workload, _SETTINGS, 3, batch_size)
  assert [own.setting for own in got] == _SETTINGS
  for own in got:
    np.testing.assert_array_equal(own.entropy_T, range(7))


@pytest.fixture(scope='module')
def decoded():
  """A Result of each setting, of another draft length, in one batch."""
  workload = _workload()
  prompts = batches.prompts(workload, np.arange(7), len(_SETTINGS))
  plan = schedules.Plan(5)
  result = batches.decode(workload, prompts, _SETTINGS, plan)
  result = jax.device_get(result)
  return [tiny.row(result, slice(7 * s, 7 * s + 7)) for s in range(4)]


@pytest.mark.parametrize('s', range(4))
def test_answers_are_those_of_the_decode(answers, decoded, s):
  got, result = answers[s], decoded[s]
  assert got.setting == _SETTINGS[s]
  assert len(set(result.length_B)) > 2
  np.testing.assert_array_equal(got.length_E, result.length_B)
  np.testing.assert_array_equal(
    got.kept_T, result.from_drafter_BxN[_held(result)]
  )
  np.testing.assert_allclose(
    np.bincount(got.example_T, got.divergence_T),
    result.counts.divergence_B,
    rtol=0,
    atol=1e-9,
  )
  rows = [
    row[:n].tolist()
    for row, n in zip(result.token_BxN, result.length_B, strict=True)
  ]
  assert got.class_T.tolist() == [
    c for row in rows for c in measure.classes(_TOKENIZER, row)
  ]
  assert got.quality == _Task().quality(
    [_TOKENIZER.decode(row) for row in rows],
    [e.reference for e in _workload().examples],
  )
  for e, n in enumerate(result.length_B):
    of_T = got.example_T == e
    np.testing.assert_array_equal(got.position_T[of_T], np.arange(n))


def test_temperature_reaches_what_is_observed(answers):
  for greedy in answers[1::2]:
    # One-hot distributions: a draft is rejected with probability 0 or 1.
    np.testing.assert_array_equal(greedy.divergence_T, ~greedy.kept_T)
    assert (greedy.confidence_T < 1).all()


def test_nan_is_reported():
  broken = jax.tree.map(lambda x: x * np.nan, tiny.params())
  with pytest.raises(ValueError, match='the drafter gave NaN'):
    measure.measure(_workload(broken), _SETTINGS, gamma=3, batch_size=8)


# --- Token classes.


def test_classes_by_hand():
  shipped = tokenizers.load(stand_ins.SHIPPED)
  token_N = [*shipped.encode('Yu has 12.\nSo $3 - 1'), tokenizers.EOS]
  pieces = [shipped.piece(t) for t in token_N]
  got = dict(zip(pieces, measure.classes(shipped, token_N), strict=True))
  assert got == {
    '▁Yu': 'word start',
    '▁has': 'word start',
    '▁1': 'digit',
    '2': 'digit',
    '.': 'punctuation',
    '\n': 'newline',
    'So': 'word start',  # It begins a line.
    '▁$': 'punctuation',
    '3': 'digit',
    '▁-': 'punctuation',
    '</s>': 'end',
  }


def test_a_word_goes_on_after_letters_apostrophes_and_hyphens():
  pieces = ['Ma', 'ß', "'", 't', '▁', 'Ö', '-', 'e', '5', 'km', '▁x']
  tokenizer = stand_ins.make(stand_ins.Pieces(pieces))
  token_N = np.arange(4, 4 + len(pieces))
  start, on = 'word start', 'word continuation'
  assert measure.classes(tokenizer, token_N) == [
    *(start, on, 'punctuation', on, start, start, 'punctuation', on),
    *('digit', start, start),
  ]
  assert measure.classes(tokenizer, [0, 2, 3]) == ['other'] * 3
