"""What is shown of an answer, and the errors of experiments/generate.py."""

import io
import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest

from speccascade import generation, pairs, rules, tasks
from speccascade.decoding import results
from speccascade.models import gemma
from speccascade.tasks import tokenizer as tokenizer_lib

_ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope='module')
def tokenizer():
  folder = pathlib.Path(pairs.__file__).parent / 'word_problems'
  return tokenizer_lib.load(folder / 'tokenizer.model')


def _tokens(tokenizer, text):
  return [*tokenizer.encode(text), tokenizer_lib.EOS]


def test_segments_keep_spaces_and_newlines(tokenizer):
  token_N = _tokens(tokenizer, 'The first 12.\nSo 3')
  pieces = [tokenizer.id_to_piece(t) for t in token_N[:-1]]
  assert pieces == ['▁The', '▁first', '▁1', '2', '.', '\n', 'So', '▁3']
  drafted_N = [True, False, True, False, False, True, False, True, False]
  assert generation.segments(tokenizer, np.array(token_N), drafted_N) == [
    ('The', True),
    (' first', False),
    (' 1', True),
    ('2', False),
    ('.', False),
    ('\n', True),
    ('So', False),
    (' 3', True),
  ]


def test_a_run_of_drafts_is_one_segment(tokenizer):
  token_N = _tokens(tokenizer, 'The first 12.\nSo 3')
  drafted_N = [True] * len(token_N)
  expected = [('The first 12.\nSo 3', True)]
  assert generation.segments(tokenizer, token_N, drafted_N) == expected


class _Bytes:
  """A tokenizer of one byte a token."""

  def decode(self, tokens):
    return bytes(tokens).decode(errors='replace')


def test_a_character_of_several_tokens_appears_whole():
  token_N = list('aé!'.encode())
  drafted_N = [True, True, False, True]
  expected = [('a', True), ('é', False), ('!', True)]
  assert generation.segments(_Bytes(), token_N, drafted_N) == expected


_RUNS = [
  ('So 1', True),
  ('2', False),
  (' +', False),
  (' 3.\n', True),
  ('\n', False),
  (' ', False),
]


def test_corrections_stand_in_brackets():
  assert generation.render(_RUNS, False) == 'So 1[2] [+] 3.\n[↵]\n[␣]'


def test_corrections_have_their_own_colour():
  green, magenta, reset = '\x1b[32m', '\x1b[1;35m', '\x1b[0m'
  assert generation.render(_RUNS, True) == (
    f'{green}So 1{reset}{magenta}2{reset} {magenta}+{reset}'
    f'{green} 3.\n{reset}{magenta}↵{reset}\n{magenta}␣{reset}'
  )


def test_the_legend_is_marked_as_the_text_is():
  assert generation.legend(False).count('[') == 1
  assert generation.legend(True).count('\x1b[0m') == 2


@pytest.mark.parametrize(
  ('choice', 'terminal', 'environ', 'expected'),
  [
    ('auto', True, {}, True),
    ('auto', False, {}, False),
    ('auto', True, {'NO_COLOR': '1'}, False),
    ('auto', True, {'TERM': 'dumb'}, False),
    ('always', False, {'NO_COLOR': '1'}, True),
    ('never', True, {}, False),
  ],
)
def test_colour_is_for_terminals(
  choice, terminal, environ, expected, monkeypatch
):
  monkeypatch.setattr(os, 'environ', environ)
  stream = io.StringIO()
  stream.isatty = lambda: terminal
  assert generation.wants_color(choice, stream) == expected


def test_measure_takes_turns_and_keeps_the_first_call_apart(monkeypatch):
  clock, order = [0.0], []
  seconds = {'a': [9.0, 1.0, 5.0, 2.0], 'b': [7.0, 4.0, 4.0, 3.0]}

  def call(name):
    clock[0] += seconds[name].pop(0)
    order.append(name)
    return name

  monkeypatch.setattr(generation.time, 'perf_counter', lambda: clock[0])
  monkeypatch.setattr(generation.jax, 'block_until_ready', lambda x: x)
  got, timings = generation.measure(
    [lambda: call('a'), lambda: call('b')], trials=3
  )
  assert got == ['a', 'b']
  assert ''.join(order) == 'ab' * 4
  assert timings == [generation.Timing(9.0, 2.0), generation.Timing(7.0, 4.0)]


def test_summary_is_exact():
  counts = dict.fromkeys(results.Counts.__dataclass_fields__)
  counts |= {'verifier_calls_B': np.array([8]), 'rejected_B': np.array([3])}
  both = results.Result(None, np.array([40]), None, results.Counts(**counts))
  alone = results.Result(None, np.array([50]))
  assert generation.summary(both, alone, 0.02, 0.1) == (
    '40 tokens, 8 verifier calls, block efficiency 5.00, 7.5% rejected; '
    '0.50 ms/token, verifier alone 2.00: 4.00×'
  )


def _tiny(tokenizer, init):
  """A pair of one layer each, the same model twice."""
  model = gemma.Gemma(
    gemma.GemmaConfig(
      tokenizer.vocab_size(), 1, 8, 1, 1, 8, 16, attention_pattern=('global',)
    )
  )
  params = model.init(jax.random.key(0)) if init else None
  return pairs.Pair('tiny', model, model, params, params, tokenizer)


_SETTINGS = {
  'prompt': 'The first 12.\n',
  'rule': rules.token_v3,
  'alpha': 0.3,
  'gamma': 2,
  'temperature': 0,
  'max_new_tokens': 6,
  'seed': 0,
}


@pytest.mark.slow
def test_the_calls_decode_the_prompt(tokenizer):
  calls = generation.calls(_tiny(tokenizer, init=True), **_SETTINGS)
  (both, alone), _ = generation.measure(calls, trials=1)
  # A drafter that is the verifier: every draft is kept.
  assert np.array_equal(both.token_BxN, alone.token_BxN)
  runs = generation.segments(
    tokenizer, both.token_BxN[0], both.from_drafter_BxN[0]
  )
  assert runs == [(tokenizer.decode(both.token_BxN[0].tolist()), True)]
  assert generation.summary(both, alone, 0.006, 0.012) == (
    '6 tokens, 2 verifier calls, block efficiency 3.00, 0.0% rejected; '
    '1.00 ms/token, verifier alone 2.00: 2.00×'
  )


@pytest.mark.parametrize(
  ('setting', 'message'),
  [
    ({'alpha': 1.5}, 'alpha=1.5 is out of range for token_v3'),
    ({'gamma': -1}, 'gamma=-1 must be 0 or more'),
    ({'temperature': -1}, 'temperature=-1 must be 0 or more'),
    ({'max_new_tokens': 9000}, 'too long'),
  ],
)
def test_bad_settings_are_told_before_a_call(setting, message, tokenizer):
  with pytest.raises(ValueError, match=message) as error:
    generation.calls(_tiny(tokenizer, init=False), **_SETTINGS | setting)
  assert '\n' not in str(error.value)


_COMMAND = _ROOT / 'experiments' / 'generate.py'


def _start(*command):
  return subprocess.Popen(
    [sys.executable, *command],
    env=os.environ | {'JAX_PLATFORMS': 'cpu', 'PYTHONPATH': str(_ROOT)},
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def test_the_command_ends_with_one_line():
  expected = {
    '--rule=oracle': "generate: unknown rule 'oracle'",
    '--pair=nobody': "generate: no pair 'nobody'",
    '--task=example': "generate: unknown task 'example'; known: gsm8k",
    f'--prompt={"9 " * 9000}': 'generate: prompt 0 is too long',
  }
  runs = [_start(_COMMAND, flag) for flag in expected]
  for run, message in zip(runs, expected.values(), strict=True):
    out, error = run.communicate(timeout=120)
    assert (run.returncode, out) == (1, '')
    assert error.count('\n') == 1
    assert error.startswith(message)


_TELL = """
import runpy, sys
from speccascade import generation
def tell(pair, prompt, *_, max_new_tokens, **__):
  raise ValueError(f'{pair.name} {max_new_tokens} {prompt!r}')
generation.calls = tell
runpy.run_path(sys.argv[0], run_name='__main__')
"""


def test_a_pair_is_given_what_its_task_asks():
  run_it = f'import sys; sys.argv = sys.argv[1:]{_TELL}'
  question = tasks.load('word_problems', {}).example('test', 12).prompt
  sentence = tasks.load('translation', {}).example('test', 12).prompt
  both = '--pair=translation', '--task=word_problems'
  expected = {
    (): f'word_problems 128 {question!r}',
    ('--pair=translation',): f'translation 80 {sentence!r}',
    ('--prompt=Nine? ',): "word_problems 128 'Nine?\\n'",
    ('--pair=translation', '--prompt=Nine.'): "translation 80 'Nine.'",
    (*both, '--max_new_tokens=7'): f'translation 7 {question!r}',
  }
  runs = [_start('-c', run_it, _COMMAND, *flags) for flags in expected]
  for run, told in zip(runs, expected.values(), strict=True):
    out, error = run.communicate(timeout=120)
    assert (out, error) == ('', f'generate: {told}\n')
