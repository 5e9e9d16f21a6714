"""Whatever the package imports is installed with it."""

import ast
import importlib
import os
import pathlib
import re
import sys
from importlib import metadata

import speccascade

_ROOT = pathlib.Path(__file__).parents[1]
# Imported only where they are needed.
_EXTRAS = {'huggingface_hub', 'torch', 'transformers'}


def _imported():
  """Names of the libraries that the package and its entry points import."""
  for folder in ('speccascade', 'experiments', 'configs'):
    for file in (_ROOT / folder).rglob('*.py'):
      for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
          yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
          yield node.module


def _normal(name):
  return re.sub('[-_.]+', '-', name).lower()


def test_what_is_imported_is_required_and_pinned():
  owners = metadata.packages_distributions() | {'google': ['protobuf']}
  modules = {name.split('.')[0] for name in _imported()}
  modules -= {*sys.stdlib_module_names, *_EXTRAS, 'speccascade'}
  # A script that runs outside the package imports what lies beside it.
  beside = (_ROOT / 'speccascade' / 'execution').glob('*.py')
  modules -= {file.stem for file in beside}
  needed = {_normal(owners[module][0]) for module in modules}
  setup = (_ROOT / 'setup.py').read_text()
  block = setup[setup.index('install_requires') : setup.index('extras_require')]
  required = {_normal(x) for x in re.findall(r"^    '([\w-]+)", block, re.M)}
  pins = (_ROOT / 'constraints.txt').read_text()
  pinned = {_normal(x) for x in re.findall('^([^#\n]+)==', pins, re.M)}
  assert needed == required
  assert required <= pinned


def test_libtpu_gets_one_layout_of_weights_and_what_the_user_sets(monkeypatch):
  own = '--xla_tpu_impure_enable_large_2nd_minor_layout=false'
  monkeypatch.setenv('LIBTPU_INIT_ARGS', '--theirs=1')
  for _ in range(2):  # As a process and its child.
    importlib.reload(speccascade)
    assert os.environ['LIBTPU_INIT_ARGS'] == f'{own} --theirs=1'
