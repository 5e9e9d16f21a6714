"""docs/theory.md names tests that exist, all of them, and today's numbers."""

import pathlib
import re

import pytest

from tests.theory import oracle

pytestmark = pytest.mark.usefixtures('float64')

ROOT = pathlib.Path(__file__).parents[2]
PAGE = (ROOT / 'docs' / 'theory.md').read_text()
FILES = dict(re.findall(r'^\[([\w-]+)\]: \.\./(\S+)$', PAGE, re.M))
NAMED = re.findall(r'\[`(test_\w+)`\]\[([\w-]+)\]', PAGE)


def _tests(path):
  return re.findall(r'^def (test_\w+)', (ROOT / path).read_text(), re.M)


def test_every_named_test_exists():
  assert NAMED
  for test, label in NAMED:
    assert test in _tests(FILES[label]), f'{test} is not in {FILES[label]}'


def test_every_test_of_theory_is_named():
  here = pathlib.Path(__file__)
  ours = {
    (test, path.name)
    for path in here.parent.glob('test_*.py')
    if path != here
    for test in _tests(path)
  }
  named = {(test, pathlib.Path(FILES[label]).name) for test, label in NAMED}
  assert ours <= named, sorted(ours - named)


def test_numbers_are_those_of_the_command():
  for table in oracle.report().split('\n\n'):
    assert table in PAGE, f'docs/theory.md should have\n\n{table}'
