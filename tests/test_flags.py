import pathlib
import subprocess
import sys

import pytest

_ROOT = pathlib.Path(__file__).parents[1]


@pytest.mark.parametrize(
  ('experiment', 'config'),
  [('sweep', 'quickstart'), ('train', 'train_drafter')],
)
def test_a_mistyped_field_is_one_line(tmp_path, experiment, config):
  run = subprocess.run(
    [
      sys.executable,
      _ROOT / 'experiments' / f'{experiment}.py',
      f'--config={_ROOT}/configs/{config}.py',
      f'--workdir={tmp_path}/run',
      '--config.seeds=3',
    ],
    capture_output=True,
    text=True,
    check=False,
  )
  assert run.returncode == 1
  assert 'no config field' in run.stderr
  assert 'Did you mean "seed"' in run.stderr
  assert 'Traceback' not in run.stderr
  assert not (tmp_path / 'run').exists()
