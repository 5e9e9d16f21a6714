"""Studies by two processes of two devices tell what one device tells."""

import pytest

from tests.sweeps import tiny_pair, two_processes

_EXPERIMENTS = two_processes.ROOT / 'experiments'
_STUDIES = {
  'throughput': {
    'config.num_requests': 8,
    'config.num_examples': 4,
    'config.slots': '(4,)',
    'config.schedules': "('load',)",
    'config.schedule_gamma': 3,
    'config.gammas': '(2,)',
    'config.turn_ms': 2.0,
    'config.temperature': 1.0,
  },
  'flips': {'config.num_examples': 6, 'config.batch_size': 4},
  'analyze': {'config.num_examples': 6, 'config.batch_size': 12},
}
_FOLDER = {'throughput': 'workdir', 'analyze': 'out'}


@pytest.fixture(scope='module')
def pair(tmp_path_factory):
  return tiny_pair.save(tmp_path_factory.mktemp('hosts') / 'pair')


@pytest.mark.large
@pytest.mark.parametrize('name', _STUDIES)
def test_two_processes_tell_what_one_device_does(name, pair, tmp_path):
  flags = _STUDIES[name] | {
    'config.pair': pair,
    'config.task': 'word_problems',
  }
  folders = ({}, {})
  if name in _FOLDER:
    folders = (
      {_FOLDER[name]: (tmp_path / 'two', tmp_path / 'unused')},
      {_FOLDER[name]: tmp_path / 'one'},
    )
  job = two_processes.start(
    _EXPERIMENTS / f'{name}.py',
    devices=2,
    **flags | {'config.mesh': '(2, 2)'} | folders[0],
  )
  alone = two_processes.start(
    _EXPERIMENTS / f'{name}.py', 1, 1, **flags | folders[1]
  )
  (code, out, err), (other, other_out, _) = two_processes.ended(job)
  ((_, want, _),) = two_processes.ended(alone)
  assert (code, other) == (0, 0), err
  assert _numbers(out) == _numbers(want)
  assert len(_numbers(want)) > 2
  assert not other_out
  assert not (tmp_path / 'unused').exists()


def _numbers(text):
  """Lines of the tables, but for what real times decide."""
  found = [line for line in text.splitlines() if line.startswith('|')]
  return [line.partition('load')[0] for line in found]
