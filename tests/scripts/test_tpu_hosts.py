"""TPUs of several hosts, whose processes must join."""

import pytest

from tests.scripts.fake_cloud import ON, SWEEP


def test_processes_of_several_hosts_join(make):
  cloud = make()
  flags = (
    *ON,
    '--type=v5litepod-16',
    '--',
    *SWEEP,
    '--distributed',
  )
  done = cloud.run('queued.sh', 'run', '--dry_run', *flags)
  assert done.returncode == 0, done.stderr
  assert '--worker=all' in done.stdout
  assert '--workdir=gs://b/t2 --distributed' in done.stdout


def _start(cloud, *flags, type=None):
  given = [f'--type={type}'] if type else []
  return cloud.run('queued.sh', 'run', *ON, *given, '--', *SWEEP, *flags)


def test_the_type_that_was_created_tells_of_several_hosts(make):
  cloud = make()
  cloud.run('queued.sh', 'create', *ON, '--type=v5litepod-16')
  for type in (None, 'v5litepod-8', 'v5litepod-16'):
    done = _start(cloud, type=type)
    assert done.returncode == 1
    assert 'v5litepod-16 has several hosts' in done.stderr.splitlines()[-1]
  assert cloud.steps() == ['create']
  _start(cloud, '--distributed', type='v5litepod-8')
  assert cloud.steps() == ['create', 'start']


def test_a_type_that_was_not_created_tells_nothing(make):
  cloud = make()
  cloud.run('queued.sh', 'create', *ON, '--type=v5litepod-8')
  done = _start(cloud, type='v5litepod-16')
  assert '# t2 was created as v5litepod-8' in done.stderr
  assert cloud.steps() == ['create', 'start']


@pytest.mark.parametrize(
  ('flags', 'joins'),
  [
    (['--distributed=true'], True),
    (['--distributed=True'], True),
    (['--distributed=t'], True),
    (['--distributed=1'], True),
    (['--distributed=false'], False),
    (['--distributed=0'], False),
    (['--distributed', '--nodistributed'], False),
    (['--distributed=false', '--distributed'], True),
  ],
)
def test_distributed_is_what_absl_takes(make, flags, joins):
  cloud = make()
  done = cloud.run(
    'queued.sh', 'run', *ON, '--type=v6e-16', '--dry_run', '--', *SWEEP,
    *flags,
  )  # fmt: skip
  assert (done.returncode == 0) == joins
  assert ('v6e-16 has several hosts' in done.stderr) != joins
