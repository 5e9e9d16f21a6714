"""A TPU of a queue, from its creation to its end; see `fake_cloud`."""

import json
import shutil
import sys

import pytest

from speccascade.runs import process
from tests.scripts import fake_cloud
from tests.scripts.fake_cloud import ALL, ON, SWEEP, TRAINING


def test_a_dry_run_prints_each_command_and_runs_none(make):
  cloud = make()
  done = cloud.run('queued.sh', *ALL[:6], '--dry_run', *ALL[6:])
  assert done.returncode == 0, done.stderr
  at = '--zone=us-west4-a'
  ssh = f'gcloud compute tpus tpu-vm ssh t2 {at} --worker=all --quiet'
  worker = 'speccascade/scripts/tpu/worker.sh'
  describe = f'gcloud compute tpus queued-resources describe t2 {at} '
  assert done.stdout.splitlines() == [
    f"{describe}--format='value(tpu.nodeSpec[0].node.acceleratorType)'",
    f'gcloud compute tpus queued-resources create t2 --node-id=t2 {at} '
    '--accelerator-type=v5litepod-8 --runtime-version=v2-alpha-tpuv5-lite '
    '--spot',
    f"{describe}--format='value(state.state)'",
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
    f"{ssh} --command='if [ -e {worker} ]; then {worker} status; "
    "else echo none; fi'",
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
  done = cloud.run('queued.sh', *ALL)
  assert done.returncode == 0, done.stderr
  assert 't2 is WAITING_FOR_RESOURCES' in done.stderr
  assert cloud.steps() == [
    'create', 'scp', 'install', 'start', 'rsync', 'delete'
  ]  # fmt: skip
  # The machine itself starts again what was terminated.
  assert cloud.calls('python') == [['python', *SWEEP]] * 3
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
  done = cloud.run('queued.sh', *ALL)
  assert done.returncode == 0, done.stderr
  assert done.stderr.count('was preempted') == 2
  run = ['create', 'scp', 'install', 'start']
  assert cloud.steps() == [
    *run, 'delete', 'create', 'delete', *run, 'rsync', 'delete'
  ]  # fmt: skip
  assert cloud.calls('python') == [['python', *SWEEP]] * 2


def test_a_run_that_goes_on_is_taken_up(make):
  cloud = make(states=['', 'ACTIVE'], codes=['hangs'])
  for step in ('create', 'install'):
    done = cloud.run('queued.sh', step, *ON, '--type=v5litepod-8')
    assert done.returncode == 0, done.stderr
  start = 'run', *ON, '--', *SWEEP
  assert cloud.run('queued.sh', *start).returncode == 0
  assert cloud.run('queued.sh', 'status', *ON).stdout == 'running\n'
  again = cloud.run('queued.sh', *start)
  assert again.returncode == 1
  assert 'a run goes on here' in again.stderr
  cloud.set_states(*['ACTIVE'] * 4, 'SUSPENDED', 'SUSPENDED', 'ACTIVE')
  (cloud.clone.parent / 'cloud' / 'codes').write_text(json.dumps([0]))
  before = len(cloud.steps())
  assert cloud.run('queued.sh', *ALL).returncode == 0
  # Neither created nor installed anew while the first goes on.
  assert cloud.steps()[before:][:2] != ['create', 'scp']
  assert cloud.steps()[-1] == 'delete'


def test_a_run_that_fails_is_told_and_costs_no_longer(make):
  cloud = make(states=['', 'ACTIVE'], codes=[1])
  done = cloud.run('queued.sh', *ALL)
  assert done.returncode == 1
  assert 'queued.sh: experiments/sweep.py ended with 1; the same' in done.stderr
  assert 'worker.sh: ended with 1' in done.stdout  # The end of its log.
  assert cloud.steps()[-3:] == ['tail', 'rsync', 'delete']
  assert len(cloud.calls('python')) == 1


def test_a_quota_error_ends_it_before_anything_else(make):
  cloud = make(states=[''])
  cloud.set('no_quota')
  done = cloud.run('queued.sh', *ALL)
  assert done.returncode == 1
  assert 'Quota limit exceeded' in done.stderr
  assert 't2 was not asked for: gcloud tells why; docs/tpu.md' in done.stderr
  assert cloud.steps() == ['create']


def test_a_request_that_failed_is_told(make):
  cloud = make(states=['', 'WAITING_FOR_RESOURCES', 'FAILED'])
  done = cloud.run('queued.sh', *ALL)
  assert done.returncode == 1
  assert 't2 is FAILED; gcloud compute tpus queued-resources' in done.stderr
  assert cloud.steps() == ['create']


def test_an_install_that_fails_starts_nothing(make):
  cloud = make(states=['', 'ACTIVE'])
  cloud.set('no_install')
  done = cloud.run('queued.sh', *ALL)
  assert done.returncode == 1
  assert 'ended with an install that failed' in done.stderr
  assert 'start' not in cloud.steps()
  assert cloud.steps()[-1] == 'delete'


def test_a_preemption_while_waiting_is_an_exit_code(make):
  done = make(states=['SUSPENDED']).run('queued.sh', 'wait', *ON, '--poll=0')
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
  (tmp_path / 'a table.json').write_text(json.dumps([row]))
  flags = (
    f"--table='{tmp_path}/a table.json' --pair=small,large\n--slice=v5e:2x4 "
    '--batch=64 --examples=100 --settings=6 --new_tokens=150 --acceptance='
  )
  create = 'create', *ON, '--type=v5litepod-8'
  done = cloud.run('queued.sh', *create, f'--estimate={flags}0.5')
  assert 'together: 0.01 h, 0.08 chip-hours' in done.stdout
  assert cloud.steps() == ['create']
  done = cloud.run('queued.sh', *create, f'--estimate={flags}5')
  assert done.returncode == 1
  assert 'acceptance=5.0 must be from 0 to 1' in done.stderr
  assert cloud.steps() == ['create']


@pytest.mark.parametrize(
  ('args', 'told'),
  [
    (('wait', '--name=t2'), '--zone=… (or TPU_ZONE) is missing'),
    (('create', *ON), '--type=… (or TPU_TYPE) is missing'),
    (('create', *ON, '--typ=v4-8'), 'unknown flag --typ; see'),
    (('wait', *ON, '--poll=1m'), '--poll=1m must be a number of seconds'),
    (
      ('create', *ON, '--type=tpu7x-8'),
      'no runtime is known of --type=tpu7x',
    ),
    (
      ('create', *ON, '--type=v6e'),
      '--type=v6e must be a version and its',
    ),
    (
      (
        'all',
        *ON,
        '--type=v5litepod-16x',
        '--to=x',
        '--',
        *SWEEP,
      ),
      '--type=v5litepod-16x must be a version and its number, such as v6e-8',
    ),
    (
      ('run', *ON, '--type=v6e', '--', *SWEEP),
      '--type=v6e must be a version',
    ),
    (
      ('create', *ON, '--type=v4-8', '--spot', '--reservation=r'),
      'exclude',
    ),
    (
      ('create', *ON, '--spot=maybe'),
      '--spot=maybe must be yes or no',
    ),
    (
      ('status', *ON, '--dry_run=on'),
      '--dry_run=on must be yes or no',
    ),
    (('run', *ON), 'an experiment comes after --'),
    (('run', *ON, 'x.py'), 'unexpected argument x.py'),
    (('run', *ON, '--', 'x.py'), 'there is no x.py in'),
    (
      (
        'run',
        *ON,
        '--',
        *SWEEP[:1],
        '--workdir=results/x',
      ),
      'the experiment needs --workdir=gs://…',
    ),
    (
      ('run', *ON, '--type=v5litepod-16', '--', *SWEEP),
      'v5litepod-16 has several hosts: give experiments/sweep.py --distributed',
    ),
    (
      (
        'run',
        *ON,
        '--type=v5litepod-16',
        '--',
        *TRAINING,
      ),
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
  assert not cloud.steps()


def test_what_is_not_committed_does_not_run(make):
  cloud = make(states=[''])
  (cloud.clone / 'constraints.txt').write_text('changed\n')
  done = cloud.run('queued.sh', *ALL)
  assert done.returncode == 1
  assert 'changes that are not committed; commit what is to run' in done.stderr
  assert not cloud.calls()


@pytest.mark.parametrize('name', ['experiments/mine.py', 'configs/mine.py'])
def test_what_is_not_in_the_commit_does_not_run(make, name):
  cloud = make(states=[''])
  (cloud.clone / name).touch()
  command = {'experiments': SWEEP[0], 'configs': 'configs/t5.py'}
  command[name.partition('/')[0]] = name
  done = cloud.run(
    'queued.sh', *ALL[: -len(SWEEP)], command['experiments'],
    f'--config={command["configs"]}:small-large,wmt', '--workdir=gs://b/t2',
  )  # fmt: skip
  assert done.returncode == 1
  line = done.stderr.splitlines()[-1]
  assert line.startswith(f'queued.sh: {name} is not in the commit; commit it')
  assert not cloud.calls()


def test_a_tree_without_a_commit_is_told(make):
  cloud = make(states=[''])
  shutil.rmtree(cloud.clone / '.git')
  for args in ALL, ('install', *ON):
    done = cloud.run('queued.sh', *args)
    assert done.returncode == 1
    (line,) = [x for x in done.stderr.splitlines() if x[0] != '#']
    assert line.startswith(f'queued.sh: {cloud.clone} is no git clone (')
  assert not cloud.calls()


@pytest.mark.parametrize('value', ['yes', 'true', '1', 'True'])
def test_yes_is_yes(make, value):
  cloud = make()
  create = 'create', *ON, '--type=v6e-8'
  flags = f'--spot={value}', f'--dry_run={value}'
  done = cloud.run('queued.sh', *create, *flags)
  assert done.stdout.endswith(' --spot\n')
  variables = {'TPU_SPOT': value, 'TPU_DRY_RUN': value}
  assert cloud.run('queued.sh', *create, **variables).stdout == done.stdout
  assert not cloud.calls()


@pytest.mark.parametrize('value', ['no', 'false', '0', '', 'False'])
def test_no_is_no(make, value):
  cloud = make()
  create = 'create', *ON, '--type=v6e-8'
  cloud.run('queued.sh', *create, f'--spot={value}', f'--dry_run={value}')
  cloud.run('queued.sh', *create, TPU_SPOT=value, TPU_DRY_RUN=value)
  calls = cloud.calls('gcloud')
  assert len(calls) == 2
  assert '--spot' not in calls[0] + calls[1]


def test_an_estimate_needs_a_python_with_the_package(make):
  cloud = make()
  for name in ('speccascade', 'experiments/estimate_tpu.py'):
    (cloud.clone / name).symlink_to(fake_cloud.ROOT / name)
  create = (
    'create',
    *ON,
    '--type=v5litepod-8',
    '--estimate=--batch=1',
  )
  given = {'SPECCASCADE_VENV': 'nowhere'}
  cloud.program('python3', 'exit 1')
  done = cloud.run('queued.sh', *create, **given)
  assert done.returncode == 1
  assert done.stderr.splitlines()[-1] == (
    'queued.sh: --estimate needs a Python that has speccascade: make .venv by '
    'scripts/test.sh, or pip install -e .'
  )
  cloud.program('python3', f'exec {sys.executable} "$@"')
  done = cloud.run('queued.sh', *create, **given)
  assert 'estimate_tpu: ' in done.stderr.splitlines()[-1]
  assert not cloud.calls()


def test_without_gcloud_nothing_is_tried(make):
  cloud = make()
  cloud.remove('gcloud')
  for args in ALL, ('status', *ON):
    done = cloud.run('queued.sh', *args)
    assert done.returncode == 1
    assert done.stderr == (
      'queued.sh: gcloud is not installed: see '
      'https://cloud.google.com/sdk/docs/install\n'
    )
  assert cloud.run('queued.sh', 'status', *ON, '--dry_run').returncode == 0


@pytest.mark.parametrize('script', ['queued.sh', 'gke.sh', 'worker.sh'])
def test_help_is_no_error(make, script):
  done = make().run(script, 'help')
  assert done.returncode == 0
  assert script in done.stdout
  assert not done.stderr
