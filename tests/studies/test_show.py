"""What is shown of an answer, and the command that shows it."""

import importlib.resources
import io
import itertools
import os
import shutil

import numpy as np
import pytest

from speccascade import config, tasks, tokenizers
from speccascade.decoding import results, schedules
from speccascade.studies import show
from speccascade.sweeps import points
from speccascade.timing import clock
from tests.runs import entry_point
from tests.timing import fake_clock


@pytest.fixture(scope='module')
def tokenizer():
  folder = importlib.resources.files('speccascade.pairs') / 'word_problems'
  return tokenizers.load(str(folder / 'tokenizer.model'))


def _tokens(tokenizer, text):
  return [*tokenizer.encode(text), tokenizers.EOS]


def test_segments_keep_spaces_and_newlines(tokenizer):
  token_N = _tokens(tokenizer, 'The first 12.\nSo 3')
  pieces = [tokenizer.id_to_piece(t) for t in token_N[:-1]]
  assert pieces == ['▁The', '▁first', '▁1', '2', '.', '\n', 'So', '▁3']
  drafted_N = [True, False, True, False, False, True, False, True, False]
  assert show.segments(tokenizer, np.array(token_N), drafted_N) == [
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
  assert show.segments(tokenizer, token_N, drafted_N) == expected


class _Bytes:
  """A tokenizer of one byte a token."""

  def decode(self, tokens):
    return bytes(tokens).decode(errors='replace')


def test_a_character_of_several_tokens_appears_whole():
  token_N = list('aé!'.encode())
  drafted_N = [True, True, False, True]
  expected = [('a', True), ('é', False), ('!', True)]
  assert show.segments(_Bytes(), token_N, drafted_N) == expected


_RUNS = [
  ('So 1', True),
  ('2', False),
  (' +', False),
  (' 3.\n', True),
  ('\n', False),
  (' ', False),
]


def test_corrections_stand_in_brackets():
  assert show.render(_RUNS, False) == 'So 1[2] [+] 3.\n[↵]\n[␣]'


def test_corrections_have_their_own_colour():
  green, magenta, reset = '\x1b[32m', '\x1b[1;35m', '\x1b[0m'
  assert show.render(_RUNS, True) == (
    f'{green}So 1{reset}{magenta}2{reset} {magenta}+{reset}'
    f'{green} 3.\n{reset}{magenta}↵{reset}\n{magenta}␣{reset}'
  )


def test_no_token_gives_orders_to_a_terminal():
  runs = [('\x1b[2J\x07a', True), ('\x9b31m', False), ('\u202eb\r', True)]
  assert show.render(runs, False) == r'\x1b[2J\x07a[\x9b31m]\u202eb\r'
  marks = ('\x1b[32m', '\x1b[1;35m', '\x1b[0m')
  colored = show.render(runs, True)
  for mark in marks:
    colored = colored.replace(mark, '')
  assert colored == r'\x1b[2J\x07a\x9b31m\u202eb\r'


def test_the_legend_is_marked_as_the_text_is():
  assert show.legend(False).count('[') == 1
  assert show.legend(True).count('\x1b[0m') == 2


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
  assert show.wants_color(choice, stream) == expected


def test_measure_takes_turns_and_keeps_the_first_call_apart(monkeypatch):
  fake, order = fake_clock.install(monkeypatch), []
  seconds = {'a': [9.0, 1.0, 5.0, 2.0], 'b': [7.0, 4.0, 4.0, 3.0]}

  def call(name):
    fake.advance(seconds[name].pop(0))
    order.append(name)
    return name

  monkeypatch.setattr(clock.jax, 'block_until_ready', lambda x: x)
  got, timings = show.measure([lambda: call('a'), lambda: call('b')], trials=3)
  assert got == ['a', 'b']
  assert ''.join(order) == 'ab' * 4
  assert timings == [show.Timing(9.0, 2.0), show.Timing(7.0, 4.0)]


def test_summary_is_exact():
  counts = dict.fromkeys(results.Counts.__dataclass_fields__)
  counts |= {'verifier_calls_B': np.array([8]), 'rejected_B': np.array([3])}
  both = results.Result(None, np.array([40]), None, results.Counts(**counts))
  alone = results.Result(None, np.array([50]))
  assert show.summary(both, alone, 0.02, 0.1) == (
    '40 tokens, 8 verifier calls, block efficiency 5.00, 7.5% rejected; '
    '0.50 ms/token, verifier alone 2.00: 4.00×'
  )


# --- The config.


@pytest.mark.parametrize(
  ('changes', 'method', 'values'),
  [
    ({}, 'token_v3', (0.5,)),  # The middle one of its examples.
    ({'values': (0.3,)}, 'token_v3', (0.3,)),
    ({'method': 'strict'}, 'strict', ()),
    ({'method': 'bild_rollback', 'values': (2,)}, 'bild_rollback', (2.0,)),
  ],
)
def test_the_setting_of_a_config(changes, method, values):
  setting = config.parse(show.Show, {'seed': 3, 'temperature': 0.5} | changes)
  got = setting.setting
  assert (got.method, got.values) == (method, values)
  assert (got.temperature, got.top_p, got.top_k, got.seed) == (0.5, 1, 0, 3)


@pytest.mark.parametrize(
  ('changes', 'line'),
  [
    ({'values': (1.5,)}, 'alpha=1.5 is out of range for token_v3'),
    ({'values': (0.1, 0.2)}, r'values=\(0.1, 0.2\): token_v3 takes 1 \(alpha'),
    ({'method': 'strict', 'values': (1,)}, r'strict takes 0 \(none\)'),
    (
      {'method': 'token_cascade'},
      'method=token_cascade does not draft; choose',
    ),
    ({'method': 'oracle'}, "unknown method 'oracle'; known: "),
    ({'gamma': -1}, 'gamma=-1: it must be greater than or equal to 0'),
    ({'temperature': -1.0}, 'temperature=-1.0: it must be'),
    ({'temperature': float('inf')}, 'temperature=inf: it must be'),
    ({'color': 'red'}, "color='red': it must be 'auto'"),
  ],
)
def test_a_fault_of_a_config_is_one_line(changes, line):
  with pytest.raises(ValueError, match=line) as error:
    config.parse(show.Show, changes)
  assert '\n' not in str(error.value)


# --- The prompt.


def test_a_pair_is_given_what_its_task_asks():
  question = tasks.load('word_problems', {}).example('test', 12).prompt
  sentence = tasks.load('translation', {}).example('test', 7).prompt
  expected = [
    ({}, 'word_problems', 128, question),
    ({'prompt': '\ufeffOne.\r\nNine? '}, 'word_problems', 128, 'One.\nNine?\n'),
    ({'pair': 'translation', 'example': 7}, 'translation', 80, sentence),
    ({'pair': 'translation', 'prompt': 'Nine.'}, 'translation', 80, 'Nine.'),
    (
      {'pair': 'translation', 'task': 'word_problems', 'max_new_tokens': 7},
      'translation',
      7,
      question,
    ),
  ]
  for changes, pair, new_tokens, prompt in expected:
    workload = show.load(show.Show(**changes))
    (example,), tokenizer = workload.examples, workload.pair.tokenizer
    assert workload.pair.name == pair
    assert workload.task.max_new_tokens == new_tokens
    assert example.prompt == prompt
    tokens = [tokenizers.BOS, *tokenizer.encode(prompt)]
    assert workload.token_ExS.tolist() == [tokens]
    assert workload.length_E.tolist() == [len(tokens)]


def test_a_method_is_compared_with_the_verifier_alone(monkeypatch):
  decoded = []
  monkeypatch.setattr(
    show.batches, 'decode', lambda *args: decoded.append(args[2:])
  )
  study = show.Show(seed=3, temperature=0.5)
  workload, plan = show.load(study), schedules.Plan(2)
  for call in show.calls(workload, study.setting, plan):
    call()
  both, alone = decoded
  assert both == ([study.setting], plan)
  assert alone == ([points.Setting('verifier_alone', (), 0.5, 1.0, 0, 3)],)


# --- The command.


@pytest.fixture
def folder(tiny_folder, tmp_path):
  """A pair whose drafter is its verifier."""
  folder = shutil.copytree(tiny_folder, tmp_path / 'pair')
  shutil.copy(folder / 'verifier.safetensors', folder / 'drafter.safetensors')
  return folder


def test_the_command_shows_an_answer_and_what_it_cost(
  folder, monkeypatch, capsys
):
  ticks = itertools.count()  # A second between readings.
  monkeypatch.setattr(clock, 'now', lambda: next(ticks))
  ended = entry_point.call(
    'generate',
    *(f'--config.pair={folder}', '--config.task=word_problems'),
    *('--config.prompt=The first 12.', '--config.max_new_tokens=6'),
    *('--config.gamma=2', '--config.values=0.3'),
  )
  out, error = capsys.readouterr()
  assert ended is None
  assert error == 'Compiling, then timing...\n\n'
  prompt, answer = out.split('\n\n')[0], out.split('\n\n')[1:]
  assert prompt == 'The first 12.'
  assert '[' not in '\n\n'.join(answer[:-1])  # Every draft is kept.
  assert answer[-1] == (
    "the drafter's tokens [the verifier's corrections]\n"
    'token_v3-alpha0.3-g2-t0-p1-k0-s0: 6 tokens, 2 verifier calls, block '
    'efficiency 3.00, 0.0% rejected; 166.67 ms/token, verifier alone 166.67: '
    '1.00×\nFirst call, with compilation: 1.0 s, verifier alone 1.0 s\n'
  )


@pytest.mark.parametrize(
  ('flag', 'line'),
  [
    ('method=oracle', "generate: unknown method 'oracle'"),
    ('pair=nobody', "generate: no pair 'nobody'"),
    ('task=example', "generate: task: unknown task 'example'; known: "),
    (f'prompt={"9 " * 9000}', 'generate: prompt 0 is too long'),
    ('max_new_tokens=9000', 'generate: prompt 0 is too long'),
    ('rule=strict', 'generate: unknown config field'),
  ],
)
def test_a_fault_of_the_command_is_one_line(flag, line, capsys):
  error = entry_point.call('generate', f'--config.{flag}')
  assert error.startswith(line)
  assert '\n' not in error
  assert not capsys.readouterr().out
