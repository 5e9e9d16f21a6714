"""The notebook prints what it says that it prints."""

import contextlib
import io
import json
import pathlib

import pytest

PATH = pathlib.Path(__file__).parents[1] / 'docs' / 'generate.ipynb'


@pytest.mark.thorough
def test_the_notebook_runs_and_prints_its_outputs():
  cells = json.loads(PATH.read_text())['cells']
  names = {}
  for cell in cells:
    if cell['cell_type'] != 'code':
      continue
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
      exec(''.join(cell['source']), names)  # noqa: S102
    told = ''.join(line for x in cell['outputs'] for line in x['text'])
    assert printed.getvalue() == told
  assert any(cell.get('outputs') for cell in cells)
