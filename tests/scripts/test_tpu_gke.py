"""Jobs of a cluster, as Cluster Toolkit and XPK are asked for them."""

import argparse
import shlex

import pytest

from speccascade.runs import process
from tests.scripts import fake_cloud

_AT = ('--project=p', '--zone=z', '--cluster=c', '--name=t2')
_OF = ('--type=v6e-4', '--image=us-docker.pkg.dev/p/r/s')
_SWEEP = (
  'experiments/sweep.py', '--config.mesh=(1, 4)', '--workdir=gs://b/t2'
)  # fmt: skip
_COMMAND = (
  'exec .venv/bin/python experiments/sweep.py '
  "--config.mesh='(1, 4)' --workdir=gs://b/t2"
)


@pytest.fixture
def cloud(tmp_path):
  return fake_cloud.Cloud(tmp_path)


def _submit(cloud, *flags):
  return cloud.run('gke.sh', 'submit', *_AT, *_OF, *flags, '--', *_SWEEP)


def test_gcluster_is_asked_for_a_job(cloud):
  assert _submit(cloud, '--account=sa', '--spot').returncode == 0
  assert cloud.calls() == [
    [
      'gcluster', 'job', 'submit', '--location=z', '--project=p', '--cluster=c',
      '--name=t2', f'--image=us-docker.pkg.dev/p/r/s:{cloud.commit}',
      '--compute-type=v6e-4', '--restarts=20',
      '--restart-on-exit-codes=137,143', '--grace-period=60s',
      '--service-account=sa', '--gke-nap-provisioning=spot',
      f'--command={_COMMAND}',
    ]
  ]  # fmt: skip


def test_xpk_is_asked_for_a_workload(cloud):
  flags = '--with=xpk', '--reservation=r', '--restarts=3', '--grace=30'
  assert _submit(cloud, *flags).returncode == 0
  assert cloud.calls() == [
    [
      'xpk', 'workload', 'create', '--zone=z', '--project=p', '--cluster=c',
      '--workload=t2', f'--docker-image=us-docker.pkg.dev/p/r/s:{cloud.commit}',
      '--tpu-type=v6e-4', '--num-slices=1', '--max-restarts=3',
      '--restart-on-exit-codes=137,143',
      '--termination-grace-period-seconds=30', '--reservation=r',
      f'--command={_COMMAND}',
    ]
  ]  # fmt: skip


def test_the_queue_restarts_what_a_termination_ended(cloud):
  for flags in (), ('--with=xpk',):
    _submit(cloud, *flags)
    (codes,) = [x for x in cloud.calls()[-1] if 'exit-codes' in x]
    assert str(process.TERMINATED) in codes.partition('=')[2].split(',')


def test_a_job_of_several_hosts_is_restarted_where_one_was_lost(cloud):
  flags = '--type=v6e-16', '--', *_SWEEP, '--distributed'
  assert cloud.run('gke.sh', 'submit', *_AT, *_OF, *flags).returncode == 0
  (call,) = cloud.calls()
  assert '--restart-on-exit-codes=134,137,143' in call
  assert call[-1] == f'--command={_COMMAND} --distributed'


@pytest.mark.parametrize('tool', ['gcluster', 'xpk'])
def test_a_dry_run_is_the_run(cloud, tool):
  done = _submit(cloud, f'--with={tool}', '--dry_run')
  assert not cloud.calls()
  _submit(cloud, f'--with={tool}')
  assert [shlex.split(done.stdout)] == cloud.calls()


def test_what_is_asked_of_a_job(cloud):
  for todo in ('status', 'logs', 'cancel'):
    for tool in ('gcluster', 'xpk'):
      assert not cloud.run('gke.sh', todo, *_AT, f'--with={tool}').returncode
  place = ' --project=p --cluster=c'
  assert [' '.join(x) for x in cloud.calls()] == [
    f'gcluster job list --location=z{place} --name-contains=t2',
    f'xpk workload list --zone=z{place} --filter-by-job=t2',
    f'gcluster job logs t2 --follow --location=z{place}',
    'gcloud container clusters get-credentials c --location=z --project=p',
    'kubectl logs --follow --prefix --max-log-requests=2304 '
    '--selector=xpk.google.com/workload=t2',
    f'gcluster job cancel t2 --location=z{place}',
    f'xpk workload delete --zone=z{place} --workload=t2',
  ]


@pytest.mark.parametrize('zone', ['us-east5-a', 'us-east5'])
def test_a_cluster_of_xpk_is_of_the_region(cloud, zone):
  flags = *_AT, f'--zone={zone}', '--with=xpk'
  assert cloud.run('gke.sh', 'logs', *flags).returncode == 0
  (call,) = cloud.calls('gcloud')
  assert '--location=us-east5' in call


def test_an_image_is_of_the_commit(cloud):
  done = cloud.run('gke.sh', 'image', _OF[1])
  assert done.returncode == 0, done.stderr
  assert cloud.calls() == [
    [
      'gcloud', 'builds', 'submit', 'build/tpu',
      f'--tag=us-docker.pkg.dev/p/r/s:{cloud.commit}',
    ]
  ]  # fmt: skip
  context = {x.name for x in (cloud.clone / 'build' / 'tpu').iterdir()}
  assert context == {'Dockerfile', 'tree.tar.gz'}
  assert (
    'ADD tree.tar.gz /'
    in (cloud.clone / 'build' / 'tpu' / 'Dockerfile').read_text()
  )


@pytest.mark.parametrize(
  ('args', 'told'),
  [
    (('status', *_AT, '--with=slurm'), '--with=slurm must be gcluster or xpk'),
    (('status', *_AT[:2]), '--cluster=… (or TPU_CLUSTER) is missing'),
    (('image',), '--image=… (or TPU_IMAGE) is missing'),
    (
      ('submit', *_AT, '--name=' + 'x' * 29, *_OF, '--', *_SWEEP),
      'has over 28 characters',
    ),
    (
      ('submit', *_AT, *_OF, '--type=v6e-16', '--', *_SWEEP),
      'v6e-16 has several hosts: give experiments/sweep.py --distributed',
    ),
    (
      ('submit', *_AT, *_OF, '--type=v6e', '--', *_SWEEP, '--distributed'),
      '--type=v6e must be a version and its number, such as v6e-8',
    ),
    (
      ('submit', *_AT, *_OF, '--type=v6e-16x', '--', *_SWEEP),
      '--type=v6e-16x must be a version and its number, such as v6e-8',
    ),
    (
      ('submit', *_AT, *_OF, '--with=xpk', '--account=sa', '--', *_SWEEP),
      '--account goes with --with=gcluster: xpk workload create takes none',
    ),
    (
      ('submit', *_AT, *_OF, '--spot=on', '--', *_SWEEP),
      '--spot=on must be yes or no',
    ),
    (
      (*('submit', *_AT, *_OF, '--', *_SWEEP), '--config=configs/mine.py:x'),
      'configs/mine.py is not in the commit; commit it, and name it from',
    ),
    (
      ('submit', *_AT, *_OF, '--type=v6e-16', '--', *_SWEEP)
      + ('--distributed=false',),
      'v6e-16 has several hosts: give experiments/sweep.py --distributed',
    ),
    (
      ('submit', *_AT, *_OF, '--type=v5litepod-8', '--with=xpk', '--', *_SWEEP),
      'v5litepod-8 has several hosts: give experiments/sweep.py --distributed',
    ),
    (
      ('submit', *_AT, *_OF, '--type=tpu7x-8', '--', *_SWEEP),
      '--type=tpu7x-8 goes with --with=xpk: gcluster asks for a topology',
    ),
  ],
)
def test_what_is_wrong_is_told_before_anything_is_submitted(cloud, args, told):
  done = cloud.run('gke.sh', *args)
  assert done.returncode == 1
  assert told in done.stderr.splitlines()[-1]
  assert not cloud.calls()


@pytest.mark.parametrize(
  ('tool', 'type', 'several'),
  [
    ('gcluster', 'v5p-4', False),
    ('gcluster', 'v5p-8', True),
    ('gcluster', 'v4-8', False),
    ('xpk', 'v5p-8', False),
    ('xpk', 'tpu7x-8', False),
    ('xpk', 'tpu7x-2x2x1', False),
    ('xpk', 'v6e-2x2', False),
    ('xpk', 'v6e-2x4', True),
    ('xpk', 'v5p-2x2x2', True),
  ],
)
def test_a_type_tells_of_several_hosts(cloud, tool, type, several):
  done = _submit(cloud, f'--with={tool}', f'--type={type}')
  assert done.returncode == several
  assert (f'{type} has several hosts' in done.stderr) == several


@pytest.mark.parametrize(
  ('program', 'todo', 'tool'),
  [
    ('gcluster', 'submit', 'gcluster'),
    ('gcluster', 'logs', 'gcluster'),
    ('xpk', 'status', 'xpk'),
    ('kubectl', 'logs', 'xpk'),
    ('gcloud', 'logs', 'xpk'),
    ('gcloud', 'image', 'gcluster'),
    ('gcloud', 'fetch', 'xpk'),
  ],
)
def test_a_program_that_is_not_there_is_told(cloud, program, todo, tool):
  cloud.remove(program)
  args = todo, *_AT, *_OF, f'--with={tool}', '--to=x', '--workdir=gs://b/t2'
  done = cloud.run('gke.sh', *args, '--', *_SWEEP)
  assert done.returncode == 1
  line = done.stderr.splitlines()[-1]
  assert line.startswith(f'gke.sh: {program} is not installed: ')
  assert not cloud.calls()
  done = cloud.run('gke.sh', *args, '--dry_run', '--', *_SWEEP)
  assert done.returncode == 0, done.stderr


def test_xpk_itself_takes_the_commands(cloud):
  core = pytest.importorskip('xpk.parser.core')
  parser = argparse.ArgumentParser()
  core.set_parser(parser=parser)
  _submit(cloud, '--with=xpk', '--spot')
  for todo in ('status', 'cancel'):
    cloud.run('gke.sh', todo, *_AT, '--with=xpk')
  parsed = [parser.parse_args(call[1:]) for call in cloud.calls('xpk')]
  assert len(parsed) == 3
  assert parsed[0].command == _COMMAND
