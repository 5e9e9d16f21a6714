import ast
import io
import os
import re
import subprocess
import sys

import pytest
from absl import logging

from tests.runs import entry_point

_ENTRY = """
from speccascade.runs import process
from concurrent import futures

from absl import flags
from etils import epath
from ml_collections import config_flags

from speccascade import config as config_lib
from speccascade.runs import command_line

_CONFIG = config_flags.DEFINE_config_file('config', lock_config=True)
_RAISE = flags.DEFINE_string('raise', None, 'An exception.')
flags.mark_flags_as_required(['config'])


class Toy(config_lib.Schema):
  seed: config_lib.Seed


def main():
  config = config_lib.parse(Toy, _CONFIG.value)
  if _RAISE.value:
    raise eval(_RAISE.value)
  print('seed', config.seed)


if __name__ == '__main__':
  command_line.run(main, 'toy')
"""

_CONFIG = """
import ml_collections

def get_config(name='full'):
  if name != 'full':
    raise ValueError(f'unknown config {name!r}; known: full')
  return ml_collections.ConfigDict({'seed': 3})
"""


@pytest.fixture
def toy(tmp_path):
  """Runs an entry point with a config."""
  (tmp_path / 'toy.py').write_text(_ENTRY)
  (tmp_path / 'config.py').write_text(_CONFIG)

  def run(*args, config='config.py'):
    config = f'--config={tmp_path / config}'
    return entry_point.run_file(tmp_path / 'toy.py', config, *args)

  return run


def test_a_config_and_its_overrides_reach_main(toy, capsys):
  assert toy() is None
  assert toy('--config.seed=5') is None
  assert capsys.readouterr().out == 'seed 3\nseed 5\n'


@pytest.mark.parametrize(
  ('args', 'line'),
  [
    (['--raize=x'], "toy: Unknown command line flag 'raize'.*Did you mean"),
    (['--config.sed=3'], "toy: unknown config field 'sed'; Did you mean "),
    (['--config.seed=x'], "toy: flag --config.seed=x: .*'x'"),
    (['--config.seed=-1'], 'toy: seed=-1: it must be greater'),
    (['extra'], "toy: unexpected argument 'extra'"),
    (['--raise=ValueError("no such pair")'], 'toy: no such pair$'),
    ([r'--raise=ValueError("two\n  lines")'], 'toy: two lines$'),
    (['--raise=OSError(13, "denied", "/a")'], r"toy: denied: '/a'; choose a"),
    (['--raise=OSError(28, "No space", "/a")'], r"toy: No space: '/a'; free"),
    (['--raise=OSError(5, "I/O error")'], 'toy: I/O error$'),
    (['--raise=OSError("odd")'], 'toy: odd$'),
    (['--raise=BrokenPipeError(32, "Broken pipe")'], 'toy: Broken pipe$'),
    ([r'--raise=ValueError("a \x1b[31m\x07 b")'], r'toy: a \\x1b\[31m\\x07 b'),
    (['--raise=ValueError'], 'toy: ValueError$'),
    (
      ['--raise=MemoryError("4 GiB")'],
      r'toy: not enough memory \(4 GiB\); low',
    ),
    (
      ['--raise=RuntimeError("RESOURCE_EXHAUSTED: 4 GiB")'],
      r'toy: not enough memory \(RESOURCE_EXHAUSTED: 4 GiB\); lower batch_size',
    ),
    (['--raise=RecursionError("too deep")'], 'toy: too deep$'),
    (['--raise=ImportError("Install gcsfs")'], 'toy: Install gcsfs$'),
    (['--raise=futures.BrokenExecutor("gone")'], 'toy: gone; perhaps memory'),
    (
      ['--raise=epath.Path("foo://a").exists()'],
      'toy: no path can begin with foo://; use a folder or file of this mach',
    ),
  ],
)
def test_a_fault_is_one_line(toy, capsys, args, line):
  error = toy(*args)
  assert '\n' not in error
  assert re.match(line, error), error
  assert not capsys.readouterr().out


@pytest.mark.parametrize(
  ('config', 'text', 'line'),
  [
    ('none.py', None, 'there is no such file'),
    ('torn.py', 'def get_config(', "'(' was never closed (torn.py, line 1)"),
    ('odd.py', 'def get_config():\n  1 / 0', 'by zero (ZeroDivisionError)'),
    ('own.py', 'import os\nos.no_such', "'no_such' (AttributeError)"),
    ('exit.py', 'raise SystemExit(0)', '0 (SystemExit)'),
    ('nothing.py', 'def get_config():\n  pass', 'get_config returned NoneType'),
    ('config.py:smok', _CONFIG, "unknown config 'smok'; known: full"),
  ],
)
def test_a_broken_config_is_named(toy, tmp_path, capfd, config, text, line):
  if text:
    (tmp_path / config.split(':')[0]).write_text(text)
  error = toy(config=config)
  assert '\n' not in error
  assert error.startswith(f'toy: flag --config={tmp_path / config}: ')
  assert line in error
  assert capfd.readouterr() == ('', '')


def test_a_second_config_is_refused(toy, tmp_path):
  """Its overrides may go to the first one."""
  path = tmp_path / 'config.py'
  error = toy(f'--config={path}:full', '--config.seed=5')
  assert error == (
    f'toy: flag --config={path}:full: --config={path} is given too; give one'
  )


def test_what_is_printed_is_flushed_within_reach(toy, monkeypatch):
  """Or Python complains at the end, with a status of its own."""

  class Full(io.StringIO):
    def flush(self):
      raise OSError(28, 'No space left on device')

  discarded = []
  monkeypatch.setattr(sys, 'stdout', Full())
  monkeypatch.setattr('speccascade.runs.process.discard', discarded.append)
  assert toy() == (
    'toy: No space left on device; free some space and start again; what is '
    'done is kept'
  )
  assert discarded == [1]


def test_an_interrupt_is_one_line(toy, capsys):
  assert toy('--raise=KeyboardInterrupt') == 130
  assert capsys.readouterr().err == 'toy: interrupted\n'


def test_a_bug_keeps_its_traceback(toy):
  with pytest.raises(ZeroDivisionError):
    toy('--raise=ZeroDivisionError')


def test_absl_logs_warnings_only(toy, monkeypatch):
  levels = []
  monkeypatch.setattr(logging, 'set_verbosity', levels.append)
  toy()
  assert levels == [logging.WARNING]


def test_a_process_prints_the_line_and_exits_with_1(toy, tmp_path):
  run = subprocess.run(
    [sys.executable, tmp_path / 'toy.py', f'--config={tmp_path}/none.py'],
    env=os.environ | {'PYTHONPATH': str(entry_point.ROOT)},
    capture_output=True,
    text=True,
    check=False,
  )
  assert run.returncode == 1
  assert re.fullmatch(r'toy: .*none\.py.*\n', run.stderr)


@pytest.mark.parametrize(
  'name', sorted(f.stem for f in entry_point.ROOT.glob('experiments/*.py'))
)
def test_every_entry_point_names_a_mistyped_flag(name):
  error = entry_point.call(name, '--no_such_flag=1')
  assert error.startswith(f"{name}: Unknown command line flag 'no_such_flag'")
  assert '\n' not in error


@pytest.mark.parametrize('file', entry_point.ROOT.glob('experiments/*.py'))
def test_every_entry_point_prepares_its_process_first(file):
  body = ast.parse(file.read_text()).body
  first = next(x for x in body if isinstance(x, ast.Import | ast.ImportFrom))
  assert (first.module, first.names[0].name) == ('speccascade.runs', 'process')
