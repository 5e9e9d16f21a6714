"""What the watching of a TPU of a queue does with what it is told."""

import pytest

from tests.scripts.fake_cloud import ALL, ON


@pytest.mark.parametrize(
  ('words', 'more', 'ended'),
  [
    (['0\nrunning', 'running\n0', '0\n0'], [], '0'),
    (['none\nrunning', 'lost\nrunning', '0\n0'], [], '0'),
    (['lost\nrunning', '134\nlost', 'running\n0', '0'], ['start'], '0'),
    (['0\nlost', '0'], ['start'], '0'),
    (['none\n134', '0'], ['scp', 'install', 'start'], '0'),
    (['ERROR', '0\nERROR', '0\n0'], [], '0'),
    (['134\n1\nrunning', '134\n1\n134'], [], '1, 134'),
  ],
)
def test_a_tpu_is_deleted_once_no_host_runs(make, words, more, ended):
  cloud = make(states=['', 'ACTIVE'])
  cloud.say(*words)
  done = cloud.run('queued.sh', *ALL)
  assert done.returncode == (ended != '0')
  asked = [x for x in cloud.calls('gcloud') if 'worker.sh status' in x[-1]]
  assert len(asked) == len(words)
  tail = [] if ended == '0' else ['tail']
  assert cloud.steps() == [
    'create', 'scp', 'install', 'start', *more, *tail, 'rsync', 'delete'
  ]  # fmt: skip
  if tail:
    assert f'experiments/sweep.py ended with {ended}; the' in done.stderr


@pytest.mark.parametrize('words', ['ERROR', 'running\nERROR', '0\nrunning'])
def test_a_run_that_may_go_on_is_not_started_anew(make, words):
  cloud = make()
  for step in ('create', 'install'):
    cloud.run('queued.sh', step, *ON, '--type=v5litepod-8')
  cloud.say(words, 'running', '0')
  before = len(cloud.steps())
  assert cloud.run('queued.sh', *ALL).returncode == 0
  assert cloud.steps()[before:] == ['rsync', 'delete']


def test_only_the_queue_tells_that_there_is_no_tpu(make):
  offline = '!Network is unreachable'
  cloud = make(states=[offline, '', 'ACCEPTED', offline, offline, 'ACTIVE'])
  done = cloud.run('queued.sh', *ALL)
  assert done.returncode == 0, done.stderr
  assert cloud.steps().count('create') == 1
  told = f'{offline[1:]}\n# gcloud does not tell of t2; it is asked again'
  assert done.stderr.count(told) == 3


def test_waiting_outlasts_what_is_not_of_the_queue(make):
  cloud = make(states=['ACCEPTED', '!Reauthentication failed', 'ACTIVE'])
  done = cloud.run('queued.sh', 'wait', *ON, '--poll=0')
  assert done.returncode == 0
  assert 'Reauthentication failed' in done.stderr
  cloud.set_states('')
  done = cloud.run('queued.sh', 'wait', *ON, '--poll=0')
  assert done.returncode == 1
  line = done.stderr.splitlines()[-1]
  assert line == 'queued.sh: there is no t2 in us-west4-a; create it'


@pytest.mark.parametrize(
  ('state', 'told'),
  [
    ('FAILED', 't2 is FAILED; gcloud compute'),
    ('DELETING', 't2 is DELETING; gcloud compute'),
    ('', 'there is no t2 in us-west4-a'),
  ],
)
def test_watching_ends_with_the_tpu(make, state, told):
  cloud = make(states=['', 'ACTIVE', 'ACTIVE', '!Timeout', state])
  cloud.say('ERROR')
  done = cloud.run('queued.sh', *ALL)
  assert done.returncode == 1
  assert done.stderr.splitlines()[-1].startswith(f'queued.sh: {told}')
  assert done.stderr.count('# t2: unreachable') == 2
  assert cloud.steps() == ['create', 'scp', 'install', 'start']


def test_a_tree_that_changes_meanwhile_leaves_no_tpu_behind(make):
  cloud = make(states=['', 'ACTIVE'])
  # While the queue is waited for.
  cloud.program('sleep', f'echo changed >{cloud.clone}/constraints.txt')
  cloud.set_states('', 'ACCEPTED', 'ACTIVE')
  done = cloud.run('queued.sh', *ALL)
  assert done.returncode == 1
  assert 'changes that are not committed' in done.stderr
  assert 'ended with an install that failed' in done.stderr
  assert cloud.steps()[-1] == 'delete'
