"""Every script of bash is what shellcheck passes."""

import pathlib
import subprocess
import sys

import pytest

_ROOT = pathlib.Path(__file__).parents[2]
_SCRIPTS = sorted((_ROOT / 'scripts').rglob('*.sh'))


def test_there_are_scripts():
  assert len(_SCRIPTS) > 5


@pytest.mark.parametrize('path', _SCRIPTS, ids=lambda x: x.name)
def test_shellcheck(path):
  check = pathlib.Path(sys.executable).with_name('shellcheck')
  # What is sourced from them has no shell of its own, and their variables.
  done = subprocess.run(
    [check, '--external-sources', '--shell=bash', path],
    cwd=_ROOT,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stdout
