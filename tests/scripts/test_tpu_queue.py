"""A TPU of a queue, from its creation to its end; see `fake_cloud`."""

import json

import pytest

from speccascade.runs import process
from tests.scripts import fake_cloud

_ON = ('--name=t2', '--zone=us-west4-a')
_SWEEP = (
  'experiments/sweep.py', '--config=configs/t5.py:small-large,wmt',
  '--config.mesh=(1, 8)', '--workdir=gs://b/t2',
)  # fmt: skip
_TRAINING = 'experiments/train.py', '--workdir=gs://b/t2'
_ALL = (
  'all', *_ON, '--type=v5litepod-8', '--spot', '--to=results/t2', '--poll=0',
  '--', *_SWEEP,
)  # fmt: skip


@pytest.fixture
def make(tmp_path):
  return lambda **options: fake_cloud.Cloud(tmp_path, **options)


def _steps(cloud):
  """What was done with the TPU, without looks at it."""
  found = []
  for call in cloud.calls('gcloud'):
    step = next(
      x
      for x in ('create', 'describe', 'delete', 'scp', 'ssh', 'rsync')
      if x in call
    )
    if step == 'ssh':
      command = call[-1].removeprefix('--command=')
      step = next(
        x for x in ('install', 'start', 'status', 'tail') if x in command
      )
    if step not in ('describe', 'status'):
      found.append(step)
  return found


def test_a_dry_run_prints_each_command_and_runs_none(make):
  cloud = make()
  done = cloud.run('queued.sh', *_ALL[:6], '--dry_run', *_ALL[6:])
  assert done.returncode == 0, done.stderr
  at = '--zone=us-west4-a'
  ssh = f'gcloud compute tpus tpu-vm ssh t2 {at} --worker=all --quiet'
  worker = 'speccascade/scripts/tpu/worker.sh'
  assert done.stdout.splitlines() == [
    f'gcloud compute tpus queued-resources create t2 --node-id=t2 {at} '
    '--accelerator-type=v5litepod-8 --runtime-version=v2-alpha-tpuv5-lite '
    '--spot',
    f'gcloud compute tpus queued-resources describe t2 {at} '
    "--format='value(state.state)'",
    'rm -rf build/tpu',
    f'git clone --quiet --depth=1 file://{cloud.clone} build/tpu/speccascade',
    'tar -czf build/tpu/tree.tar.gz -C build/tpu speccascade',
    'rm -rf build/tpu/speccascade',
    f'gcloud compute tpus tpu-vm scp build/tpu/tree.tar.gz t2: {at} '
    '--worker=all --quiet',
    f"{ssh} --command='tar -xzf tree.tar.gz && "
    f"{worker} install tpu,hub,datasets'",
    f"{ssh} --command='{worker} start experiments/sweep.py "
    '--config=configs/t5.py:small-large,wmt '
    r"--config.mesh='\''(1, 8)'\'' --workdir=gs://b/t2'",
    f"{ssh} --command='{worker} status'",
    'mkdir -p results/t2',
    'gcloud storage rsync gs://b/t2 results/t2 --recursive',
    f'gcloud compute tpus queued-resources delete t2 {at} --force --quiet',
  ]
  assert '# type: v5litepod-8' in done.stderr
  assert not cloud.calls()


def test_a_reservation_an_account_and_variables(make):
  done = make().run(
    'queued.sh', 'create', '--reservation=r', '--service_account=a@b',
    '--dry_run', TPU_NAME='t2', TPU_ZONE='z', TPU_TYPE='v6e-8', TPU_PROJECT='p',
  )  # fmt: skip
  assert done.stdout == (
    'gcloud alpha compute tpus queued-resources create t2 --node-id=t2 --zone=z'
    ' --project=p --accelerator-type=v6e-8 --runtime-version=v2-alpha-tpuv6e '
    '--reservation=r --service-account=a@b --scopes=cloud-platform\n'
  )


def test_a_run_from_the_queue_to_its_end(make):
  cloud = make(
    states=['', 'WAITING_FOR_RESOURCES', 'PROVISIONING', 'ACTIVE'],
    codes=[process.TERMINATED, process.TERMINATED, 0],
  )
  done = cloud.run('queued.sh', *_ALL)
  assert done.returncode == 0, done.stderr
  assert 't2 is WAITING_FOR_RESOURCES' in done.stderr
  assert _steps(cloud) == [
    'create', 'scp', 'install', 'start', 'rsync', 'delete'
  ]  # fmt: skip
  # The machine itself starts again what was terminated.
  assert cloud.calls('python') == [['python', *_SWEEP]] * 3
  # What is installed is the commit, and the libtpu that jax[tpu] names.
  (clone,) = cloud.clone.parent.glob('cloud/vm0/speccascade')
  assert (clone / '.git').exists()
  *_, install, pins = cloud.calls('uv')[-1]
  assert 'jax==' in pins
  assert 'libtpu==' not in pins
  assert install.startswith('--constraints=')


def test_a_preempted_tpu_is_asked_for_again_and_runs_the_same(make):
  cloud = make(
    states=['', 'ACTIVE', 'ACTIVE', 'ACTIVE', 'SUSPENDED', 'SUSPENDED']
    + ['WAITING_FOR_RESOURCES', 'SUSPENDING', 'SUSPENDED', 'ACTIVE'],
    codes=['hangs', 0],
  )
  done = cloud.run('queued.sh', *_ALL)
  assert done.returncode == 0, done.stderr
  assert done.stderr.count('was preempted') == 2
  run = ['create', 'scp', 'install', 'start']
  assert _steps(cloud) == [
    *run, 'delete', 'create', 'delete', *run, 'rsync', 'delete'
  ]  # fmt: skip
  assert cloud.calls('python') == [['python', *_SWEEP]] * 2


def test_processes_of_several_hosts_join(make):
  cloud = make()
  flags = *_ON, '--type=v5litepod-16', '--', *_SWEEP, '--distributed'
  done = cloud.run('queued.sh', 'run', '--dry_run', *flags)
  assert done.returncode == 0, done.stderr
  assert '--worker=all' in done.stdout
  assert '--workdir=gs://b/t2 --distributed' in done.stdout


def test_a_run_that_goes_on_is_taken_up(make):
  cloud = make(states=['', 'ACTIVE'], codes=['hangs'])
  for step in ('create', 'install'):
    done = cloud.run('queued.sh', step, *_ON, '--type=v5litepod-8')
    assert done.returncode == 0, done.stderr
  start = 'run', *_ON, '--', *_SWEEP
  assert cloud.run('queued.sh', *start).returncode == 0
  assert cloud.run('queued.sh', 'status', *_ON).stdout == 'running\n'
  again = cloud.run('queued.sh', *start)
  assert again.returncode == 1
  assert 'a run goes on here' in again.stderr
  (cloud.clone.parent / 'cloud' / 'states').write_text(
    json.dumps(['ACTIVE'] * 4 + ['SUSPENDED'] * 2 + ['ACTIVE'])
  )
  (cloud.clone.parent / 'cloud' / 'codes').write_text(json.dumps([0]))
  before = len(_steps(cloud))
  assert cloud.run('queued.sh', *_ALL).returncode == 0
  # Neither created nor installed anew while the first goes on.
  assert _steps(cloud)[before:][:2] != ['create', 'scp']
  assert _steps(cloud)[-1] == 'delete'


def test_a_run_that_fails_is_told_and_costs_no_longer(make):
  cloud = make(states=['', 'ACTIVE'], codes=[1])
  done = cloud.run('queued.sh', *_ALL)
  assert done.returncode == 1
  assert 'queued.sh: experiments/sweep.py ended with 1; the same' in done.stderr
  assert 'worker.sh: ended with 1' in done.stdout  # The end of its log.
  assert _steps(cloud)[-3:] == ['tail', 'rsync', 'delete']
  assert len(cloud.calls('python')) == 1


def test_a_quota_error_ends_it_before_anything_else(make):
  cloud = make(states=[''])
  cloud.set('no_quota')
  done = cloud.run('queued.sh', *_ALL)
  assert done.returncode == 1
  assert 'Quota limit exceeded' in done.stderr
  assert 'the queue refused t2; docs/tpu.md tells of quota' in done.stderr
  assert _steps(cloud) == ['create']


def test_a_request_that_failed_is_told(make):
  cloud = make(states=['', 'WAITING_FOR_RESOURCES', 'FAILED'])
  done = cloud.run('queued.sh', *_ALL)
  assert done.returncode == 1
  assert 't2 is FAILED; gcloud compute tpus queued-resources' in done.stderr
  assert _steps(cloud) == ['create']


def test_an_install_that_fails_starts_nothing(make):
  cloud = make(states=['', 'ACTIVE'])
  cloud.set('no_install')
  done = cloud.run('queued.sh', *_ALL)
  assert done.returncode == 1
  assert 'ended with an install that failed' in done.stderr
  assert 'start' not in _steps(cloud)
  assert _steps(cloud)[-1] == 'delete'


def test_a_preemption_while_waiting_is_an_exit_code(make):
  done = make(states=['SUSPENDED']).run('queued.sh', 'wait', *_ON, '--poll=0')
  assert done.returncode == 1


def test_an_estimate_comes_before_the_request(make, tmp_path):
  cloud = make()
  for name in ('speccascade', 'experiments/estimate_tpu.py'):
    (cloud.clone / name).symlink_to(fake_cloud.ROOT / name)
  row = {
    'pair': ['small', 'large'], 'version': 'v5e', 'slice': 'v5e:2x4',
    'prompt': 1024, 'batch': 64, 'gamma': 1, 'needs': {'devices': 8},
    'times': {'iteration': 36.0},
  }  # fmt: skip
  (tmp_path / 'table.json').write_text(json.dumps([row]))
  flags = (
    f'--table={tmp_path}/table.json --pair=small,large\n--slice=v5e:2x4 '
    '--batch=64 --examples=100 --settings=6 --new_tokens=150 --acceptance='
  )
  create = 'create', *_ON, '--type=v5litepod-8'
  done = cloud.run('queued.sh', *create, f'--estimate={flags}0.5')
  assert 'together: 0.01 h, 0.08 chip-hours' in done.stdout
  assert _steps(cloud) == ['create']
  done = cloud.run('queued.sh', *create, f'--estimate={flags}5')
  assert done.returncode == 1
  assert 'acceptance=5.0 must be from 0 to 1' in done.stderr
  assert _steps(cloud) == ['create']


@pytest.mark.parametrize(
  ('args', 'told'),
  [
    (('wait', '--name=t2'), '--zone=… (or TPU_ZONE) is missing'),
    (('create', *_ON), '--type=… (or TPU_TYPE) is missing'),
    (('create', *_ON, '--typ=v4-8'), 'unknown flag --typ; see'),
    (('create', *_ON, '--type=tpu7x-8'), 'no runtime is known of --type=tpu7x'),
    (('create', *_ON, '--type=v4-8', '--spot', '--reservation=r'), 'exclude'),
    (('run', *_ON), 'an experiment comes after --'),
    (('run', *_ON, 'x.py'), 'unexpected argument x.py'),
    (('run', *_ON, '--', 'x.py'), 'there is no x.py in'),
    (
      ('run', *_ON, '--', *_SWEEP[:1], '--workdir=results/x'),
      'the experiment needs --workdir=gs://…',
    ),
    (
      ('run', *_ON, '--type=v5litepod-16', '--', *_SWEEP),
      'v5litepod-16 has several hosts: give experiments/sweep.py --distributed',
    ),
    (
      ('run', *_ON, '--type=v5litepod-16', '--', *_TRAINING),
      'v5litepod-16 has several hosts: give experiments/train.py --distributed',
    ),
  ],
)
def test_what_is_wrong_is_told_in_one_line_before_anything_runs(
  make, args, told
):
  cloud = make()
  done = cloud.run('queued.sh', *args)
  assert done.returncode == 1
  line = done.stderr.splitlines()[-1]
  assert line.startswith('queued.sh: ')
  assert told in line
  assert not cloud.calls()


def test_what_is_not_committed_does_not_run(make):
  cloud = make(states=[''])
  (cloud.clone / 'constraints.txt').write_text('changed\n')
  done = cloud.run('queued.sh', *_ALL)
  assert done.returncode == 1
  assert 'changes that are not committed; commit what is to run' in done.stderr
  assert not cloud.calls()
