"""A Google Cloud of small programs, which note what they are called with.

`gcloud` gives a TPU in given states; what ssh runs on it runs in a folder of
this machine, with a Python that ends as given.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]

ON = ('--name=t2', '--zone=us-west4-a')
SWEEP = (
  'experiments/sweep.py', '--config=configs/t5.py:small-large,wmt',
  '--config.mesh=(1, 8)', '--workdir=gs://b/t2',
)  # fmt: skip
TRAINING = 'experiments/train.py', '--workdir=gs://b/t2'
ALL = (
  'all', *ON, '--type=v5litepod-8', '--spot', '--to=results/t2', '--poll=0',
  '--', *SWEEP,
)  # fmt: skip
_PROGRAM = r"""#!{python}
import json, os, pathlib, shutil, signal, subprocess, sys, time
cloud = pathlib.Path('{cloud}')
name, args = pathlib.Path(sys.argv[0]).name, sys.argv[1:]

def take(what):
  # The next one of a list, of which the last stays.
  first, *rest = json.loads((cloud / what).read_text())
  (cloud / what).write_text(json.dumps(rest or [first]))
  return first

def note(*more):
  with open(cloud / 'calls', 'a') as f:
    f.write(json.dumps([name, *args, *more]) + '\n')

def has(*words):
  return all(word in args for word in words)

if name == 'uv':
  pins = [a for a in args if a.startswith('--constraints=')]
  note(*(pathlib.Path(a.partition('=')[2]).read_text() for a in pins))
  if 'venv' in args:
    home = pathlib.Path('.venv/bin')
    home.mkdir(parents=True, exist_ok=True)
    shutil.copy(cloud / 'bin' / 'uv', home / 'python')
  sys.exit((cloud / 'no_install').exists())
note()
machines, type = sorted(cloud.glob('vm*')), cloud / 'type'
if name == 'python':
  (cloud / 'pid').write_text(str(os.getpid()))
  code = take('codes')
  time.sleep(600 if code == 'hangs' else 0)
  sys.exit(code)
elif has('describe'):
  error = 'ERROR: (gcloud.compute.tpus.queued-resources.describe) '
  if any('acceleratorType' in a for a in args):
    told = type.read_text() if type.exists() else ''
  else:
    told = take('states')
    if told.startswith('!'):
      sys.exit(error + told[1:])
  if not told:
    sys.exit(error + "NOT_FOUND: Resource 'queuedResources/t2' was not found.")
  print(told)
elif has('queued-resources', 'create'):
  if (cloud / 'no_quota').exists():
    sys.exit('ERROR: (gcloud) RESOURCE_EXHAUSTED: Quota limit exceeded')
  (cloud / f'vm{{len(machines)}}').mkdir()
  type.write_text([a for a in args if '--accelerator-type' in a][0][19:])
elif has('queued-resources', 'delete'):
  if (cloud / 'pid').exists():
    try:
      os.kill(int((cloud / 'pid').read_text()), signal.SIGKILL)
    except ProcessLookupError:
      pass
elif has('scp'):
  shutil.copy([a for a in args if a.endswith('.tar.gz')][0], machines[-1])
elif has('ssh'):
  command = [a for a in args if a.startswith('--command=')][0]
  if 'status' in command and (cloud / 'words').exists():
    words = take('words')
    print(words)
    sys.exit(255 if 'ERROR' in words else 0)
  sys.exit(subprocess.run(
    ['bash', '-c', command.partition('=')[2]], cwd=machines[-1],
    env=os.environ | {{'HOME': str(machines[-1])}}).returncode)
"""


class Cloud:
  """A clone with the launch scripts, and the programs that they call.

  Attributes:
    clone: folder that the scripts run in, a repository of its own.
    commit: of it, twelve digits.
  """

  def __init__(self, folder, states=('ACTIVE',), codes=(0,)):
    """Makes the programs.

    Args:
      folder: an empty one.
      states: that the TPU is in, one after another; '' where there is none,
        '!ERROR' where gcloud ends with an error.
      codes: that the experiment ends with, likewise; or 'hangs'.
    """
    self._cloud, self.clone = folder / 'cloud', folder / 'clone'
    programs = self._cloud / 'bin'
    self._path = f'{programs}:{os.environ["PATH"]}'
    programs.mkdir(parents=True)
    for name in ('gcloud', 'gcluster', 'xpk', 'kubectl', 'uv'):
      program = programs / name
      program.write_text(
        _PROGRAM.format(python=sys.executable, cloud=self._cloud)
      )
      program.chmod(0o755)
    self._write('states', states)
    self._write('codes', codes)
    (self._cloud / 'calls').touch()
    shutil.copytree(ROOT / 'scripts' / 'tpu', self.clone / 'scripts' / 'tpu')
    shutil.copy(ROOT / 'constraints.txt', self.clone)
    (self.clone / 'experiments').mkdir()
    (self.clone / 'experiments' / 'sweep.py').touch()
    (self.clone / 'experiments' / 'train.py').touch()
    (self.clone / 'configs').mkdir()
    (self.clone / 'configs' / 't5.py').touch()
    self._git('init', '--quiet')
    self._git('add', '.')
    who = ('-c', 'user.name=x', '-c', 'user.email=x@x')
    self._git(*who, 'commit', '--quiet', '--message=x')
    self.commit = self._git('rev-parse', '--short=12', 'HEAD').strip()

  def _git(self, *args):
    return subprocess.run(
      ['git', '-C', self.clone, *args],
      check=True,
      capture_output=True,
      text=True,
    ).stdout

  def _write(self, name, values):
    (self._cloud / name).write_text(json.dumps(list(values)))

  def set(self, fault):
    """Sets a fault: no_quota or no_install."""
    (self._cloud / fault).touch()

  def set_states(self, *states):
    """Sets the states that the TPU is in from now on."""
    self._write('states', states)

  def program(self, name, text):
    """Has `name` be a program of the shell."""
    path = self._cloud / 'bin' / name
    path.write_text(f'#!/bin/sh\n{text}\n')
    path.chmod(0o755)

  def say(self, *words):
    """Has the workers say these when asked, one after another.

    Args:
      *words: lines of all workers; with ERROR where one is not reached.
    """
    self._write('words', words)

  def remove(self, *names):
    """Has PATH hold what scripts need of the system, without these."""
    for name in names:
      (self._cloud / 'bin' / name).unlink(missing_ok=True)
    for name in 'bash dirname env git grep mkdir rm sed sleep sort tar'.split():
      if name not in names:
        (self._cloud / 'bin' / name).symlink_to(shutil.which(name))
    self._path = f'{self._cloud}/bin'

  def run(self, script, *args, **variables):
    """Runs scripts/tpu/{script}; returns subprocess.CompletedProcess."""
    known = {k: x for k, x in os.environ.items() if not k.startswith('TPU_')}
    return subprocess.run(
      [self.clone / 'scripts' / 'tpu' / script, *args],
      env=known
      | {'PATH': self._path, 'SPECCASCADE_VENV': sys.prefix}
      | variables,
      capture_output=True,
      text=True,
      timeout=600,
    )

  def calls(self, *names):
    """The calls of programs, in order, as lists of words."""
    lines = (self._cloud / 'calls').read_text().splitlines()
    found = [json.loads(line) for line in lines]
    return [x for x in found if x[0] in names] if names else found

  def steps(self):
    """What was done with the TPU, without looks at it."""
    found = []
    for call in self.calls('gcloud'):
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
