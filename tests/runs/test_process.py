import os
import signal
import subprocess
import sys
import time

import pytest

from speccascade.runs import process
from speccascade.storage import lines
from tests.runs import entry_point

_ENTRY = """
from speccascade.runs import process
import multiprocessing, os, signal, sys, time
from speccascade.runs import command_line

def log_as_c_code_does():
  with open('kept.txt', 'w') as f:
    os.write(2, b'E0000 a message of XLA')
    f.write('kept')
  print('unseen')

def print_what_ascii_has_not():
  print('α → β')
  raise ValueError('γ')

def print_on_and_on():
  while True:
    print('a line')

def nap():
  while True:  # A signal just before one long sleep would be heard after it.
    time.sleep(0.1)

def work(lock):
  signal.signal(signal.SIGTERM, lambda *_: print('a trace of C code'))
  print(os.getpid(), flush=True)
  nap()

def work_beside_a_worker():
  context = multiprocessing.get_context('spawn')
  lock = context.Lock()
  context.Process(target=work, args=(lock,)).start()
  while True:
    try:
      nap()
    except KeyboardInterrupt:
      pass  # As a callback of JAX.

def work_until_terminated():
  with process.deferred_termination() as is_terminated:
    print('begun', flush=True)
    while not is_terminated():
      time.sleep(0.01)
    raise process.Terminated('step 5 is saved')


def work_on_after_sigterm():
  with process.deferred_termination(0.5) as is_terminated:
    print('begun', flush=True)
    while not is_terminated():
      time.sleep(0.01)
    print('heard', flush=True)
    nap()

def end_as_sigterm_comes():
  with process.deferred_termination(600):
    signal.raise_signal(signal.SIGTERM)
  print('not reached', flush=True)

def tell_flags():
  print(repr(os.environ['XLA_FLAGS']))

def append_on_and_on():
  import threading
  from speccascade.storage import lines
  def append():
    with lines.Log('lines.jsonl') as log:
      while True:
        log.append([{'number': len(log.lines) + i} for i in range(100)])
        print('appended', flush=True)
  threading.Thread(target=append, daemon=True).start()
  nap()

if __name__ == '__main__':
  command_line.run(globals()[sys.argv.pop(1)], 'toy')
"""


@pytest.fixture
def start(tmp_path):
  """Starts an entry point from a shell."""
  (tmp_path / 'toy.py').write_text(_ENTRY)

  def run(command, **variables):
    return subprocess.Popen(
      ['bash', '-c', f'toy="{sys.executable} toy.py"; {command}'],
      cwd=tmp_path,
      env=os.environ | {'PYTHONPATH': str(entry_point.ROOT)} | variables,
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
      start_new_session=True,
      # A job in the background of a shell ignores it, and its children do.
      preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )

  return run


def test_streams_may_be_closed_or_of_ascii_or_end(start, tmp_path):
  closed = start('$toy log_as_c_code_does >&- 2>&-')
  ascii = start(
    '$toy print_what_ascii_has_not',
    LC_ALL='C',
    PYTHONUTF8='0',
    PYTHONCOERCECLOCALE='0',
  )
  ended = start('$toy print_on_and_on | head -1; exit ${PIPESTATUS[0]}')
  assert closed.communicate() == ('', '')
  assert closed.returncode == 0
  assert (tmp_path / 'kept.txt').read_text() == 'kept'
  assert ascii.communicate() == ('? ? ?\n', 'toy: ?\n')
  assert ascii.returncode == 1
  assert ended.communicate() == ('a line\n', '')
  assert ended.returncode == 141


@pytest.mark.parametrize(
  ('number', 'line', 'code'),
  [
    (signal.SIGINT, 'toy: interrupted\n', 130),
    (signal.SIGTERM, 'toy: terminated; the same command goes on\n', 143),
  ],
)
def test_a_signal_ends_a_process_and_its_workers_in_one_line(
  start, number, line, code
):
  toy = start('exec $toy work_beside_a_worker')
  worker = int(toy.stdout.readline())
  if number == signal.SIGTERM:
    os.kill(toy.pid, number)  # As of a launcher: its worker gets none.
  else:
    os.killpg(toy.pid, number)
  assert toy.communicate(timeout=600) == ('', line)
  assert toy.returncode == code
  for _ in range(600):
    if not os.path.exists(f'/proc/{worker}'):
      break
    time.sleep(0.1)
  else:
    raise AssertionError('the worker goes on')


def test_xla_has_the_flags_that_it_is_given_and_no_others(start):
  """Graphs of loops of an NVIDIA GPU, for one, gave wrong answers."""
  for flags in ('', '--xla_gpu_enable_command_buffer='):
    toy = start('exec $toy tell_flags', XLA_FLAGS=flags)
    assert toy.communicate(timeout=600) == (f'{flags!r}\n', '')


def test_a_termination_waits_for_what_saves_where_it_is(start):
  toy = start('exec $toy work_until_terminated')
  assert toy.stdout.readline() == 'begun\n'
  toy.terminate()
  told = 'toy: terminated; step 5 is saved\n'
  assert toy.communicate(timeout=600) == ('', told)
  assert toy.returncode == 143


def test_what_is_at_hand_has_so_many_seconds_after_a_termination(start):
  toy = start('exec $toy work_on_after_sigterm')
  assert toy.stdout.readline() == 'begun\n'
  toy.terminate()
  told = 'toy: terminated; the same command goes on\n'
  assert toy.communicate(timeout=600) == ('heard\n', told)
  assert toy.returncode == 143


def test_a_termination_is_heard_that_comes_after_the_last_look(start):
  toy = start('exec $toy end_as_sigterm_comes')
  told = 'toy: terminated; the same command goes on\n'
  assert toy.communicate(timeout=600) == ('', told)
  assert toy.returncode == 143


def test_a_termination_amid_appends_tears_no_line(start, tmp_path):
  for _ in range(3):  # The same command goes on, each time.
    toy = start('exec $toy append_on_and_on')
    for _ in range(20):
      assert toy.stdout.readline() == 'appended\n'
    toy.terminate()
    assert toy.wait(600) == process.TERMINATED
    toy.communicate()
  log = lines.Log(tmp_path / 'lines.jsonl')
  assert len(log.lines) >= 60 * 100
  assert [x['number'] for x in log.lines] == list(range(len(log.lines)))
