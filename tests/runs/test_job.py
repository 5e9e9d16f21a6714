"""Processes of one job: flags, signals, and the end of all by that of one."""

import signal
import socket
import time

import pytest

from tests.runs import entry_point
from tests.sweeps import two_processes

_NAMED = {
  '--coordinator_address': '127.0.0.1:1',
  '--num_processes': '2',
  '--process_id': '1',
}
_ABANDONED = 134, -signal.SIGABRT
_ENTRY = """
from speccascade.runs import process
import sys, time
from absl import flags
from speccascade import hosts
from speccascade.runs import command_line, job

process.SILENT = 10  # A process that has ended is missed no sooner.
_JOIN = job.define_flags()
_TEXT = flags.DEFINE_string('text', None, '')
_THEN = flags.DEFINE_string('then', 'nap()', '')

def nap():
  while True:  # A signal just before one long sleep would be heard after it.
    time.sleep(0.1)

def main():
  _JOIN()
  own = _TEXT.value * 700_000  # More bytes than are sent at a time.
  text = hosts.bytes_of_first(own.encode()).decode()
  assert hosts.number_of_first(len(own) / 7) == len(text) / 7
  print('begun', text == 'α' * 700_000, file=sys.stderr, flush=True)
  exec(_THEN.value)

if __name__ == '__main__':
  command_line.run(main, 'toy')
"""


@pytest.fixture
def toy(tmp_path):
  path = tmp_path / 'toy.py'
  path.write_text(_ENTRY)
  return path


@pytest.mark.parametrize(
  ('changes', 'told'),
  [
    ({'--num_processes': None}, '--num_processes is missing: a job needs'),
    ({'--coordinator_address': None}, '--coordinator_address is missing'),
    ({'--process_id': None}, '--process_id is missing: a job needs'),
    ({'--process_id': '2'}, '--process_id must be in 0..1, as --num_processes'),
    ({'--coordinator_address': 'here'}, 'must be HOST:PORT of process 0, got'),
    ({'--coordinator_address': 'here:x'}, 'must be HOST:PORT of process 0'),
    ({'--coordinator_address': 'here:65536'}, 'must be HOST:PORT of process 0'),
    ({'--distributed': 'true'}, '--distributed finds what --coordinator_addre'),
  ],
)
def test_wrong_flags_are_told_in_a_line(changes, told):
  given = {k: x for k, x in (_NAMED | changes).items() if x is not None}
  line = entry_point.call('benchmark', *(f'{k}={x}' for k, x in given.items()))
  assert line.startswith('benchmark: ')
  assert told in line
  assert '\n' not in line


def test_a_machine_that_tells_of_no_job(toy):
  (told,) = two_processes.ended(
    two_processes.start(toy, number=1, distributed='true')
  )
  assert told[0] == 1
  assert (
    told[2]
    .splitlines()[-1]
    .startswith(
      'toy: --distributed: neither a TPU nor SLURM tells of processes'
    )
  )


def test_processes_that_slurm_starts_find_each_other(toy, monkeypatch):
  # The port of process 0 follows from the number of the job.
  number = two_processes.free_port(61440) - 61440
  for name, value in {
    'SLURM_JOB_ID': number,
    'SLURM_STEP_NODELIST': '127.0.0.1',
    'SLURM_NTASKS': 2,
  }.items():
    monkeypatch.setenv(name, str(value))
  job = []
  for i, then in enumerate(
    ('hosts.number_of_first(0.0)', 'raise SystemExit(3)')
  ):
    monkeypatch.setenv('SLURM_PROCID', str(i))
    monkeypatch.setenv('SLURM_LOCALID', str(i))
    job += two_processes.start(
      toy, number=1, distributed='true', text='α', then=then
    )
  (other, _, err), (code, *_) = two_processes.ended(job)
  assert (other, code) == (134, 3)
  assert 'toy[0]: another process of the job has ended (' in err


@pytest.mark.slow
def test_sigterm_ends_a_process_as_ever_and_so_the_others(toy):
  job = two_processes.start(toy, text=('α', 'other'))
  for process in job:
    line = ''
    while not line.startswith('begun'):
      line = process.stderr.readline()
      assert line
    assert line == 'begun True\n'
  job[1].send_signal(signal.SIGTERM)
  (other, *_), (code, _, err) = two_processes.ended(job)
  assert code == 143
  assert err.endswith('toy[1]: terminated; the same command goes on\n')
  assert other in _ABANDONED


@pytest.mark.parametrize(
  ('error', 'told'),
  [
    ('ValueError("wrong")', 'toy[1]: wrong\n'),
    ('AssertionError("a bug")', 'AssertionError: a bug\n'),
  ],
)
def test_an_error_names_its_process_and_ends_the_others(toy, error, told):
  then = 'hosts.number_of_first(0.0)', f'raise {error}'
  job = two_processes.start(toy, text='x', then=then)
  (other, _, other_err), (code, _, err) = two_processes.ended(job)
  assert code == 1
  assert err.endswith(told)
  assert other in _ABANDONED
  line = other_err.splitlines()[-1]
  assert line.startswith('toy[0]: another process of the job has ended (')


@pytest.mark.parametrize('cause', ['', 'ValueError("not saved") from '])
def test_any_error_of_a_job_that_one_has_left_is_no_fault_of_this_one(
  toy, cause
):
  """Other networks than that of CPUs tell otherwise that one has ended."""
  error = 'jax.errors.JaxRuntimeError("UNAVAILABLE: connection closed")'
  then = f'import jax; raise {cause}{error}', 'raise ValueError("wrong")'
  (other, _, err), (code, *_) = two_processes.ended(
    two_processes.start(toy, text='x', then=then)
  )
  assert (other, code) == (-signal.SIGABRT, 1)
  assert ('not saved' if cause else 'UNAVAILABLE: connection closed') in err


@pytest.mark.parametrize('family', [socket.AF_INET, socket.AF_INET6])
def test_a_port_that_is_taken_is_told_before_anything_waits(toy, family):
  if family == socket.AF_INET6 and not socket.has_dualstack_ipv6():
    pytest.skip('no IPv6')
  with socket.create_server(('', 0), family=family) as server:
    port = server.getsockname()[1]
    line = entry_point.call(
      'benchmark', f'--coordinator_address=127.0.0.1:{port}',
      '--num_processes=2', '--process_id=0',
    )  # fmt: skip
  assert f'process 0 cannot listen at port {port} (Address already' in line


def test_a_signal_ends_a_process_that_waits_for_others(toy):
  (alone,) = two_processes.start(
    toy, number=1, text='x', process_id=0, num_processes=2,
    coordinator_address=f'127.0.0.1:{two_processes.free_port()}',
  )  # fmt: skip
  assert 'waits for 127.0.0.1' in alone.stderr.readline()
  time.sleep(0.5)
  alone.terminate()
  _, err = alone.communicate(timeout=60)
  assert alone.returncode == 143
  assert err.endswith('toy[0]: terminated; the same command goes on\n')


def test_processes_have_the_same_options_of_jax(toy, monkeypatch):
  address = f'127.0.0.1:{two_processes.free_port()}'
  job = []
  for i in range(2):
    monkeypatch.setenv('JAX_ENABLE_X64', str(i))
    job += two_processes.start(
      toy, number=1, text='x', process_id=i, num_processes=2,
      coordinator_address=address,
    )  # fmt: skip
  for i, (code, _, err) in enumerate(two_processes.ended(job)):
    assert code == 1
    assert f'toy[{i}]: process 1 has another JAX_ENABLE_X64 than process' in err
