import pathlib
import subprocess
import sys

import pytest

_ROOT = pathlib.Path(__file__).parents[1]


def _run(experiment, config, *args):
  run = subprocess.run(
    [
      sys.executable,
      _ROOT / 'experiments' / f'{experiment}.py',
      f'--config={config}',
      *args,
    ],
    capture_output=True,
    text=True,
    check=False,
  )
  assert run.returncode == 1
  assert 'Traceback' not in run.stderr
  return run.stderr


@pytest.mark.parametrize(
  ('experiment', 'config'),
  [('sweep', 'quickstart'), ('train', 'train_drafter')],
)
def test_a_mistyped_field_is_one_line(tmp_path, experiment, config):
  config = f'{_ROOT}/configs/{config}.py'
  workdir = f'--workdir={tmp_path}/run'
  error = _run(experiment, config, workdir, '--config.seeds=3')
  assert 'no config field' in error
  assert 'Did you mean "seed"' in error
  assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize(
  ('config', 'text', 'complaint'),
  [
    ('none.py', None, 'none.py'),
    ('torn.py', 'def get_config(', 'torn.py'),
    (f'{_ROOT}/configs/train_drafter.py:smok', None, 'smoke'),
  ],
)
def test_a_broken_config_is_named(tmp_path, config, text, complaint):
  if text:
    (tmp_path / config).write_text(text)
  error = _run('train', tmp_path / config, f'--workdir={tmp_path}/run')
  assert complaint in error
