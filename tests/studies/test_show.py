"""What is shown of an answer, and the command that shows it."""

import io
import itertools
import os
import shutil

import pytest

from speccascade import config, generation, tasks
from speccascade.studies import show
from speccascade.timing import clock
from tests.runs import entry_point
from tests.timing import fake_clock

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
  answer = generation.Answer(
    'text', tuple(range(40)), (True,) * 37 + (False,) * 3, 64, 8
  )
  assert show.summary(answer, 0.5) == (
    '40 tokens, 80.0 a second; 8 verifier calls, block efficiency 5.00; '
    '37 of 64 drafts accepted (57.8%)'
  )


# --- The config.


@pytest.mark.parametrize(
  ('changes', 'label'),
  [
    ({}, 'token_v3-alpha0.5-g8-t0.5-p1-k0-s3'),  # The middle of its examples.
    ({'values': (0.3,)}, 'token_v3-alpha0.3-g8-t0.5-p1-k0-s3'),
    ({'method': 'strict', 'gamma': 2}, 'strict-g2-t0.5-p1-k0-s3'),
    (
      {'method': 'bild_rollback', 'values': (2,), 'top_k': 4},
      'bild_rollback-alpha2-g8-t0.5-p1-k4-s3',
    ),
  ],
)
def test_an_answer_has_the_name_of_a_point_of_a_sweep(changes, label):
  study = config.parse(show.Show, {'seed': 3, 'temperature': 0.5} | changes)
  options = study.options(9)
  assert options.max_new_tokens == 9
  assert show.label(options) == label


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
  for changes, name, new_tokens, prompt in expected:
    pair, got, options = show.load(show.Show(**changes))
    assert pair.name == name
    assert options.max_new_tokens == new_tokens
    assert got == prompt


def test_models_without_a_task_are_given_the_prompt_alone(folder):
  pair, prompt, options = show.load(
    show.Show(pair=str(folder), prompt=' Nine?\n')
  )
  assert (pair.name, prompt, options.max_new_tokens) == ('pair', 'Nine?', 128)
  with pytest.raises(ValueError, match="unknown task 'pair'"):
    show.load(show.Show(pair=str(folder)))


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
  arguments = (
    *(f'--config.pair={folder}', '--config.task=word_problems'),
    *('--config.prompt=The first 12.', '--config.max_new_tokens=6'),
    *('--config.gamma=2', '--config.values=0.3', '--config.trials=3'),
  )
  ended = entry_point.call('generate', *arguments)
  out, error = capsys.readouterr()
  assert ended is None
  assert error == 'Compiling...\n\n'
  prompt, answer = out.split('\n\n')[0], out.split('\n\n')[1:]
  assert prompt == 'The first 12.'
  assert '[' not in '\n\n'.join(answer[:-1])  # Every draft is kept.
  told = (
    "the drafter's tokens [the verifier's corrections]\n"
    'token_v3-alpha0.3-g2-t0-p1-k0-s0: 6 tokens, 6.0 a second; 2 verifier '
    'calls, block efficiency 3.00; 6 of 6 drafts accepted (100.0%)\n'
    'Compiled in 1.0 s.\n'
  )
  assert answer[-1] == (
    f'{told}Decoded at once, the median of 3: 166.67 ms/token, verifier alone '
    '166.67 (6 tokens): 1.00×\n'
  )
  assert entry_point.call('generate', *arguments, '--config.trials=0') is None
  assert capsys.readouterr().out.endswith(told)


@pytest.mark.parametrize(
  ('flag', 'line'),
  [
    ('method=oracle', "generate: unknown method 'oracle'"),
    ('pair=nobody', "generate: no pair 'nobody'"),
    ('task=example', "generate: task: unknown task 'example'; known: "),
    (f'prompt={"9 " * 9000}', 'generate: prompt 0 has 9002 tokens'),
    ('max_new_tokens=9000', 'generate: max_new_tokens=9000 leaves no room'),
    ('rule=strict', 'generate: unknown config field'),
  ],
)
def test_a_fault_of_the_command_is_one_line(flag, line, capsys):
  error = entry_point.call('generate', f'--config.{flag}')
  assert error.startswith(line)
  assert '\n' not in error
  assert not capsys.readouterr().out
