"""Decoding here beside transformers, and the command that compares them."""

import dataclasses
import sys

import jax
import numpy as np
import pytest
from etils import epath

from speccascade import checkpoints, config, methods, pairs
from speccascade.checkpoints import hugging_face
from speccascade.decoding import loop, results, schedules
from speccascade.models import gemma2, padded, registry, t5
from speccascade.sampling import keys, probabilities
from speccascade.studies.compare import answers as answers_lib
from speccascade.studies.compare import config as compare
from speccascade.studies.compare import peer, run
from speccascade.sweeps import batches
from speccascade.timing import clock
from tests.runs import entry_point

# --- The config.


def _parse(**changes):
  return config.parse(compare.Compare, changes)


def test_strict_is_added_and_nothing_is_drafted_alone():
  study = _parse(gammas=(2, 7), temperature=0.5, seed=3)
  assert [(s.id(), plan) for s, plan in study.points] == [
    ('verifier_alone-t0.5-p1-k0-s3', None),
    ('strict-t0.5-p1-k0-s3', schedules.Plan(2)),
    ('strict-t0.5-p1-k0-s3', schedules.Plan(7)),
    ('token_v3-alpha0.3-t0.5-p1-k0-s3', schedules.Plan(2)),
    ('token_v3-alpha0.3-t0.5-p1-k0-s3', schedules.Plan(7)),
  ]


@pytest.mark.parametrize(
  ('changes', 'line'),
  [
    ({'methods': {'oracle': ()}}, "methods.oracle: unknown method 'oracle'"),
    ({'methods': {'drafter_alone': ()}}, 'drafter_alone does not draft'),
    ({'gammas': ()}, r'gammas=\(\): '),
    ({'gammas': (4, 0)}, 'gammas: assisted generation drafts at least 1'),
    ({'num_examples': 12}, 'num_examples=12 must be a multiple .* none of 8'),
    ({'batch_sizes': ()}, r'batch_sizes=\(\): '),
    ({'trials': 0}, 'trials=0: it must be'),
    ({'verifier_weights': 'int8'}, 'float32, int8 verifier: transformers runs'),
  ],
)
def test_a_fault_of_a_config_is_one_line(changes, line):
  with pytest.raises(ValueError, match=line) as error:
    _parse(**changes)
  assert '\n' not in str(error.value)


# --- Answers.


def _answers(*rows, calls=1):
  return answers_lib.Answers([np.array(row) for row in rows], calls)


def test_an_answer_ends_with_its_first_eos():
  token_N = np.array([5, 6, 2, 7, 1, 0])
  assert answers_lib.ended(token_N, (1, 2)).tolist() == [5, 6, 2]
  assert answers_lib.ended(token_N, (9,)).tolist() == token_N.tolist()


def test_differences_by_hand():
  a = _answers([5, 6, 1], [5, 6, 7], [5, 6], [1])
  b = _answers([5, 6, 1], [5, 8, 7], [5, 6, 7], [2])
  assert list(answers_lib.differences(a, b)) == [(1, 1), (2, 2), (3, 0)]


def test_answers_of_batches_are_joined():
  joined = answers_lib.join(
    [_answers([5], [6, 1], calls=2), _answers([1], calls=3)]
  )
  assert [row.tolist() for row in joined.rows] == [[5], [6, 1], [1]]
  assert (joined.calls, joined.tokens) == (5, 4)


# --- A pair's own models.


@pytest.mark.parametrize('fused', [False, True])
def test_a_model_without_a_folder_is_written(tmp_path, fused):
  """By the names of each kernel, wherever the pair has them."""
  study = _parse(pair='word_problems')
  pair = pairs.load('word_problems', fused=fused)
  wanted = pairs.load('word_problems', fused=False)
  for role in peer.Models._fields:
    folder = run._folder(study, pair, role, epath.Path(tmp_path / role))
    _, params = checkpoints.load(folder)
    jax.tree.map(
      np.testing.assert_array_equal, params, getattr(wanted, f'{role}_params')
    )


def test_rows_that_nobody_draws_are_left_out(tmp_path):
  study, pair = _parse(pair='word_problems'), pairs.load('word_problems')
  pair = dataclasses.replace(pair, verifier=padded.over(pair.verifier, 700))
  folder = run._folder(study, pair, 'verifier', epath.Path(tmp_path))
  config, params = checkpoints.load(folder)
  assert config.vocab_size == 700
  np.testing.assert_array_equal(
    params['embedding'], pair.verifier_params['embedding'][:700]
  )


# --- transformers itself.

_EXAMPLES = {'gemma2': gemma2.config.EXAMPLES[0], 't5': t5.config.EXAMPLES[0]}
_N, _NO_TOKEN = 12, 99


@pytest.fixture(scope='module', params=_EXAMPLES)
def both(request, tmp_path_factory):
  """(models here, their parameters, models of transformers)."""
  pytest.importorskip('transformers')
  pytest.importorskip('torch').set_num_threads(1)  # Beside other tests.
  folder, settings = tmp_path_factory.mktemp('both'), _EXAMPLES[request.param]
  model = registry.make_model(settings)
  rng = np.random.default_rng(0)
  verifier = jax.tree.map(lambda x: 3 * np.array(x), model.init(keys.make(0)))
  drafter = jax.tree.map(
    lambda x: x + 0.1 * x.std() * rng.normal(size=x.shape), verifier
  )
  params = {'drafter': drafter, 'verifier': verifier}
  for role, own in params.items():
    hugging_face.save(folder / role, settings, own, 'float32')
  folders = {role: folder / role for role in params}
  return model, params, peer.load(folders, 'float32')


def _prompts(*lengths):
  rng = np.random.default_rng(0)
  token_PxS = rng.integers(4, 20, (len(lengths), 11)).astype(np.int32)
  return results.Prompts(token_PxS, np.array(lengths), np.arange(len(lengths)))


def _decode(model, params, prompts, method, plan=None, eos_id=_NO_TOKEN):
  B = prompts.rows
  greedy = probabilities.Sampling(np.zeros(B), np.ones(B))
  result = methods.decode(
    (model, model),
    (params['drafter'], params['verifier']),
    (loop.Group(method, B),),
    results.Request(prompts, greedy, ((),), keys.make(0)),
    plan,
    _N,
    (eos_id,),
  )
  return answers_lib.of(jax.device_get(result))


def _settings(eos_id):
  return peer.settings((eos_id,), 0, _N, 0.0)


def _lists(answers):
  return [row.tolist() for row in answers.rows]


def test_both_libraries_read_and_end_ragged_rows_alike(both):
  model, params, models = both
  prompts, alone = _prompts(9, 3, 6), methods.VERIFIER_ALONE
  endless = peer.generate(models, prompts, _settings(_NO_TOKEN))
  assert list(map(len, endless.rows)) == [_N] * 3
  eos_id = int(endless.rows[1][4])
  expected = _decode(model, params, prompts, alone, eos_id=eos_id)
  found = peer.generate(models, prompts, _settings(eos_id))
  assert _lists(found) == _lists(expected)
  assert found.calls == expected.calls == expected.tokens
  assert len(found.rows[1]) <= 5


def test_assisted_generation_drafts_as_many_tokens_as_strict(both):
  model, params, models = both
  prompts, settings = _prompts(5), _settings(_NO_TOKEN)
  alone = peer.generate(models, prompts, settings)
  found = peer.generate(models, prompts, settings, assistant=peer.assistant(3))
  strict = _decode(model, params, prompts, methods.STRICT, schedules.Plan(3))
  assert _lists(found) == _lists(strict) == _lists(alone)
  assert found.calls == strict.calls < found.tokens


def test_the_margin_is_that_of_the_next_token(both):
  model, params, models = both
  prompts = _prompts(5)
  (token_N,) = _decode(model, params, prompts, methods.VERIFIER_ALONE).rows
  prompt_S = prompts.token_PxS[0, :5]
  forward = jax.jit(model.forward)
  if models.verifier.config.is_encoder_decoder:
    inputs = prompt_S[None], np.array([5]), np.array([[0, *token_N[:4]]])
  else:
    inputs = (np.array([[*prompt_S, *token_N[:4]]]),)
  logits_V = np.sort(forward(params['verifier'], *inputs)[0, -1])
  np.testing.assert_allclose(
    peer.margin(models, prompt_S, token_N[:4]),
    logits_V[-1] - logits_V[-2],
    rtol=1e-3,
  )


def test_sampling_is_of_the_whole_distribution():
  assert peer.settings((1, 2), 0, 9, 0.5) == dict(
    eos_token_id=[1, 2],
    pad_token_id=0,
    max_new_tokens=9,
    do_sample=True,
    temperature=0.5,
    top_k=0,
    top_p=1.0,
  )


# --- The command.


class _Fakes:
  """Stand-ins for both libraries; a call takes so many seconds.

  Attributes:
    calls: (way, examples) of each call, in their order.
  """

  def __init__(self, monkeypatch):
    self.calls, self._now = [], 0.0
    monkeypatch.setattr(clock, 'now', lambda: self._now)
    monkeypatch.setattr(batches, 'decode', self._decode)
    monkeypatch.setattr(peer, 'libraries', lambda: None)
    monkeypatch.setattr(peer, 'load', self._load)
    monkeypatch.setattr(peer, 'generate', self._generate)
    monkeypatch.setattr(peer, 'margin', self._margin)
    monkeypatch.setattr(
      peer,
      'describe',
      lambda models: dict.fromkeys(
        ('device', 'threads', 'attention', 'torch', 'transformers'), 'x'
      ),
    )

  def _load(self, folders, dtype):
    self.files = {
      role: sorted(x.name for x in folder.iterdir())
      for role, folder in folders.items()
    }
    self.dtype = dtype
    return 'models'

  def _decode(self, workload, prompts, settings, plan):
    (setting,) = settings
    name = setting.id(plan)
    self.calls.append((name, prompts.example_P.tolist()))
    self._now += 1.0
    B = prompts.rows
    token_BxN = np.tile([7, 8, 9, 1, 0], (B, 1))
    if setting.method == 'strict':
      token_BxN[prompts.example_P == 2, 1] = 5
    counts = None
    if plan is not None:
      empty = dict.fromkeys(results.Counts.__dataclass_fields__)
      calls_B = {'verifier_calls_B': np.full(B, 2)}
      counts = results.Counts(**empty | calls_B)
    return results.Result(token_BxN, np.full(B, 4), counts=counts)

  def _generate(self, models, prompts, settings, seed, assistant=None):
    assert models == 'models'
    assert settings['max_new_tokens'] == 9
    self.calls.append((assistant, prompts.example_P.tolist()))
    self._now += 4.0 if assistant is None else 2.0
    rows = [np.array([7, 8, 9, 1])] * prompts.rows
    return answers_lib.Answers(
      rows, 4 * prompts.rows if assistant is None else 3
    )

  def _margin(self, models, prompt_S, token_N):
    assert prompt_S[0] == 2  # BOS.
    assert token_N.tolist() == [7]
    return 2e-5


def test_the_command_decodes_in_turns_and_prints_what_both_took(
  monkeypatch, capsys
):
  fakes = _Fakes(monkeypatch)
  ended = entry_point.call(
    'compare',
    *('--config.num_examples=4', '--config.batch_sizes=(1, 4)'),
    *('--config.gammas=(3,)', '--config.trials=1'),
    *('--config.methods={}', '--config.max_new_tokens=9'),
  )
  assert ended is None
  out, error = capsys.readouterr()
  first, *_, last = error.splitlines()
  assert first == (
    '1/40 batches  1 batches/s  39 s left  batch size 1, speccascade, '
    'verifier alone'
  )
  assert last == (
    '6/6 batches  0.5 batches/s  0 s left  batch size 4, transformers, generate'
  )
  files = ['config.json', 'model.safetensors']
  assert fakes.files == {'drafter': files, 'verifier': files}
  assert fakes.dtype == 'float32'
  ways = [
    *('verifier_alone-t0-p1-k0-s0', 'strict-g3-t0-p1-k0-s0'),
    *(None, peer.assistant(3), {}),
  ]
  turn = [(way, [example]) for way in ways for example in range(4)]
  wide = [(way, [0, 1, 2, 3]) for way in ways[:3]]
  assert fakes.calls == turn * 2 + wide * 2
  lines = out.splitlines()
  assert lines[4:14] == [
    '| 1 | speccascade | verifier alone | 4 | 4.00 | 2.00 | 1.00 | 4.0 | 4/4 '
    '| 4.0 s |',
    '| 1 | speccascade | strict, γ = 3 | 4 | 4.00 | 2.00 | 2.00 | 4.0 | 3/4 '
    '| 4.0 s |',
    '| 1 | transformers | generate | 1 | 1.00 | 0.50 | 1.00 | 4.0 | 4/4 '
    '| 16.0 s |',
    '| 1 | transformers | assisted, γ = 3 | 2 | 2.00 | 1.00 | 1.33 | 4.0 '
    '| 4/4 | 8.0 s |',
    '| 1 | transformers | assisted, its defaults | 2 | 2.00 | 1.00 | 1.33 '
    '| 4.0 | 4/4 | 8.0 s |',
    '| 4 | speccascade | verifier alone | 16 | 4.00 | – | 1.00 | 4.0 | 4/4 '
    '| 1.0 s |',
    '| 4 | speccascade | strict, γ = 3 | 16 | 4.00 | – | 2.00 | 4.0 | 3/4 '
    '| 1.0 s |',
    '| 4 | transformers | generate | 4 | 1.00 | – | 1.00 | 4.0 | 4/4 | 4.0 s |',
    '| 4 | transformers | assisted, γ = 3 | n/a: takes batches of 1 '
    '| | | | | | |',
    '| 4 | transformers | assisted, its defaults | n/a: takes batches of 1 '
    '| | | | | | |',
  ]
  assert 'at most 9 tokens, temperature 0, medians of 1 turns;' in out
  assert lines[-3:] == [
    'Batch 1, speccascade, strict, γ = 3: example 2 differs from token 1, '
    "where the verifier's two best logits are 2.0e-05 apart.",
    '',
    'Batch 4, speccascade, strict, γ = 3: example 2 differs from token 1, '
    "where the verifier's two best logits are 2.0e-05 apart.",
  ]


def test_lines_of_a_batch_size_do_not_wait_for_the_next(monkeypatch):
  _Fakes(monkeypatch)
  study = _parse(
    batch_sizes=(1, 2),
    num_examples=2,
    gammas=(3,),
    trials=1,
    methods={},
    max_new_tokens=9,
    stacked=True,
  )
  lines = run.run(study)
  assert 'layers stacked' in next(lines)
  assert next(lines).startswith('| 1 | speccascade | verifier alone |')

  def die(*_):
    raise RuntimeError

  monkeypatch.setattr(batches, 'decode', die)
  with pytest.raises(RuntimeError):
    next(lines)


def test_a_missing_library_is_one_line(monkeypatch, capsys):
  monkeypatch.setitem(sys.modules, 'torch', None)
  error = entry_point.call('compare')
  assert error.startswith('compare: import of torch halted')
  assert error.endswith("needs it: pip install 'speccascade[compare]'")
  assert not capsys.readouterr().out
