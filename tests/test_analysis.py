"""What the models say at emitted tokens, against the decode and by hand."""

import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest

from speccascade import analysis, distributions, pairs, rules
from speccascade.decoding import cascade, results
from speccascade.models import t5
from speccascade.sweeps import workload as workload_lib
from speccascade.tasks import example, tokenizer
from tests.decoding import tiny

pytestmark = pytest.mark.usefixtures('float64')

_ROOT = pathlib.Path(__file__).parents[1]
NAMES = tuple(rules.RULES)


def _held(result):
  """Which of a Result's tokens belong to an answer, BxN."""
  N = result.token_BxN.shape[1]
  return np.arange(N) < np.asarray(result.length_B)[:, None]


def _judge(name, result):
  return jax.device_get(
    analysis.judge(
      (tiny.DRAFTER, tiny.VERIFIER),
      tiny.params(),
      tiny.prompts(),
      result.token_BxN,
      tiny.sampling(),
      rules.RULES[name],
      tiny.alphas(name),
    )
  )


# --- Teacher-forced, against what the decode counted.


@pytest.mark.parametrize('name', NAMES)
def test_divergence_is_what_the_decode_counted(name):
  result = tiny.decode(name, 3)
  told = _judge(name, result)
  divergence_BxN = np.where(_held(result), told['divergence'], 0)
  np.testing.assert_allclose(
    divergence_BxN.sum(1), result.counts.divergence_B, rtol=0, atol=1e-9
  )
  if name == 'strict':
    np.testing.assert_array_equal(told['divergence'], told['gap'])
    assert divergence_BxN.max() > 0.1
  else:  # The target is another, the gap that of strict all the same.
    assert (told['divergence'] != told['gap']).any()


def test_entropy_and_confidence_are_the_drafter_s_at_temperature_1():
  result, prompts = tiny.decode('token_v3', 3), tiny.prompts()
  told = _judge('token_v3', result)
  read_BxT = np.zeros((tiny.ROWS, tiny.S + tiny.N), int)
  for b, n in enumerate(prompts.length_P):
    read_BxT[b, :n] = prompts.token_PxS[b, :n]
    read_BxT[b, n : n + tiny.N] = result.token_BxN[b]
  logits = jax.jit(tiny.DRAFTER.forward)(tiny.params()[0], read_BxT)
  q_BxTxV = np.asarray(jax.nn.softmax(logits))
  for b, n in enumerate(prompts.length_P):
    q = q_BxTxV[b, n - 1 :][: result.length_B[b]]
    confidence, entropy = q.max(-1), -(q * np.log(q)).sum(-1)
    np.testing.assert_allclose(told['confidence'][b, : len(q)], confidence)
    np.testing.assert_allclose(told['entropy'][b, : len(q)], entropy)


def _t5_pair():
  """Encoder-decoders of one and two layers, and parameters."""
  shared = dict(
    vocab_size=24, embed_dim=12, num_heads=2, head_dim=6, hidden_dim=16,
    input_length=9, dtype='float64',
  )  # fmt: skip
  models = tuple(t5.T5(t5.T5Config(num_layers=n, **shared)) for n in (1, 2))
  rng = np.random.default_rng(0)
  params = tuple(
    jax.tree.map(
      lambda x: 0.4 * rng.normal(size=x.shape),
      jax.eval_shape(m.init, jax.random.key(0)),
    )
    for m in models
  )
  return models, params


def test_encoder_decoders_are_read_alike():
  models, params = _t5_pair()
  prompts = results.Prompts(
    np.random.default_rng(1).integers(2, 24, (4, 9)),
    np.array([9, 1, 4, 6]),
    np.arange(4),
  )
  sampling = distributions.Sampling(np.array([1, 0, 0.7, 1]), np.ones(4))
  alpha_B = np.linspace(0.1, 0.9, 4)
  program = cascade.Cascade(*models, 3, 20, 5)
  for name in ('strict', 'opt', 'token_v3', 'drafter'):
    rest = (prompts, sampling, rules.RULES[name], alpha_B)
    result = cascade.decode(program, params, *rest, jax.random.key(0))
    told = analysis.judge(models, params, prompts, result.token_BxN, *rest[1:])
    np.testing.assert_allclose(
      np.where(_held(result), told['divergence'], 0).sum(1),
      result.counts.divergence_B,
      rtol=0,
      atol=1e-9,
    )


# --- A whole workload, batch by batch.

_PIECES = (
  *('<pad>', '</s>', '<s>', '<unk>', '\n', '▁5', '7', '▁the', 're', '.'),
  *(f'▁w{i}' for i in range(22)),
)


class _Tokenizer:
  def id_to_piece(self, token):
    return _PIECES[token]

  def decode(self, tokens):
    return ''.join(_PIECES[t] for t in tokens)


class _Task:
  """Scores the share of answers that hold what the reference says."""

  name, metric, max_new_tokens = 'words', 'held', 24

  def quality(self, outputs, references):
    held = [r in o for o, r in zip(outputs, references, strict=True)]
    return sum(held) / len(held)


def _workload(params=None):
  params = tiny.params() if params is None else params
  pair = pairs.Pair('tiny', tiny.DRAFTER, tiny.VERIFIER, *params, _Tokenizer())
  prompts, references = tiny.prompts(), ('.', '5', '▁w3') * 3
  examples = [
    example.Example(i, '', '', r) for i, r in enumerate(references[:7])
  ]
  return workload_lib.Workload(
    pair, _Task(), examples, prompts.token_PxS[:7], prompts.length_P[:7]
  )


def _measure(rule, temperature=1):
  """Batches of 4 rows: the second is short of one."""
  setting = analysis.setting(rule, temperature, seed=0)
  return analysis.measure(_workload(), setting, gamma=3, batch_size=4)


@pytest.mark.parametrize('rule', ['strict', 'token_v3:0.7', 'opt:0.4'])
def test_answers_are_those_of_the_decode(rule):
  """Of another draft length, in one batch."""
  workload, got = _workload(), _measure(rule)
  prompts = workload_lib.prompts(workload, np.arange(7))
  result = jax.device_get(
    cascade.decode(
      cascade.Cascade(tiny.DRAFTER, tiny.VERIFIER, 5, 24, tokenizer.EOS),
      tiny.params(),
      prompts,
      distributions.Sampling(np.ones(7), np.ones(7)),
      rules.RULES[got.setting.rule],
      np.full(7, got.setting.alpha or 0.0),
      jax.random.key(0),
    )
  )
  assert len(set(result.length_B)) > 2
  np.testing.assert_array_equal(got.length_E, result.length_B)
  np.testing.assert_array_equal(
    got.kept_T, result.from_drafter_BxN[_held(result)]
  )
  np.testing.assert_allclose(
    got.divergence_T.mean(),
    result.counts.divergence_B.sum() / result.length_B.sum(),
    atol=1e-9,
  )
  rows = [
    row[:n].tolist()
    for row, n in zip(result.token_BxN, result.length_B, strict=True)
  ]
  assert got.class_T.tolist() == [
    c for row in rows for c in analysis.classes(_Tokenizer(), row)
  ]
  assert got.quality == _Task().quality(
    [_Tokenizer().decode(row) for row in rows],
    [e.reference for e in workload.examples],
  )
  for e, n in enumerate(result.length_B):
    of_T = got.example_T == e
    np.testing.assert_array_equal(got.position_T[of_T], np.arange(n))


def test_temperature_reaches_both_decode_and_reading():
  greedy = _measure('strict', temperature=0)
  # One-hot distributions: a draft is rejected or not, for sure.
  np.testing.assert_array_equal(greedy.divergence_T, ~greedy.kept_T)
  assert (greedy.confidence_T < 1).all()


def test_nan_is_told():
  broken = jax.tree.map(lambda x: x * np.nan, tiny.params())
  setting = analysis.setting('strict', 1, seed=0)
  with pytest.raises(ValueError, match='strict: a model gave NaN'):
    analysis.measure(_workload(broken), setting, 3, 4)


# --- Token classes.


def test_classes_by_hand():
  folder = pathlib.Path(pairs.__file__).parent / 'word_problems'
  shipped = tokenizer.load(folder / 'tokenizer.model')
  token_N = [*shipped.encode('Yu has 12.\nSo $3 - 1'), tokenizer.EOS]
  pieces = [shipped.id_to_piece(t) for t in token_N]
  got = dict(zip(pieces, analysis.classes(shipped, token_N), strict=True))
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


class _Pieces(list):
  """A tokenizer of given pieces, after the four special ones."""

  def id_to_piece(self, token):
    return self[token - 4]


def test_a_word_goes_on_after_letters_apostrophes_and_hyphens():
  pieces = _Pieces(['Ma', 'ß', "'", 't', '▁', 'Ö', '-', 'e', '5', 'km', '▁x'])
  token_N = np.arange(4, 4 + len(pieces))
  start, on = 'word start', 'word continuation'
  assert analysis.classes(pieces, token_N) == [
    *(start, on, 'punctuation', on, start, start, 'punctuation', on),
    *('digit', start, start),
  ]
  assert analysis.classes(pieces, [0, 2, 3]) == ['other'] * 3


# --- The command line.


def test_settings_by_hand():
  strict = analysis.setting('strict', 0.5, seed=3)
  assert (strict.rule, strict.alpha, strict.temperature) == (
    'strict',
    None,
    0.5,
  )
  assert (strict.top_p, strict.top_k, strict.seed) == (1, 0, 3)
  assert analysis.setting('diff:-0.2', 1, seed=0).alpha == -0.2


@pytest.mark.parametrize(
  ('rule', 'temperature', 'message'),
  [
    ('oracle:1', 1, "unknown rule 'oracle'"),
    ('token_v3', 1, 'token_v3 takes an alpha, a number after a colon'),
    ('token_v3:high', 1, 'token_v3:high: token_v3 takes an alpha'),
    ('token_v3:1.5', 1, 'alpha=1.5 is out of range for token_v3'),
    ('strict:0.5', 1, 'strict takes no alpha'),
    ('strict', -1, 'temperature=-1 must be 0 or more'),
  ],
)
def test_bad_settings_are_one_line(rule, temperature, message):
  with pytest.raises(ValueError, match=message) as error:
    analysis.setting(rule, temperature, seed=0)
  assert '\n' not in str(error.value)


@pytest.mark.parametrize('flag', ['--rule=token_v3', '--pair={}/nothing'])
def test_the_command_ends_with_one_line(tmp_path, flag):
  shipped = pathlib.Path(pairs.__file__).parent / 'word_problems'
  (tmp_path / 'nothing').symlink_to(shipped)
  message = {
    '--rule=token_v3': 'analyze: token_v3: token_v3 takes an alpha',
    '--pair={}/nothing': "analyze: unknown task 'nothing'; known: gsm8k",
  }[flag]
  environ = os.environ | {'JAX_PLATFORMS': 'cpu', 'PYTHONPATH': str(_ROOT)}
  run = subprocess.run(
    [
      sys.executable,
      _ROOT / 'experiments' / 'analyze.py',
      flag.format(tmp_path),
      f'--out={tmp_path / "out"}',
    ],
    env=environ,
    capture_output=True,
    text=True,
    timeout=120,
  )
  assert (run.returncode, run.stdout) == (1, '')
  assert run.stderr.startswith(message)
  assert run.stderr.count('\n') == 1
  assert not (tmp_path / 'out').exists()
