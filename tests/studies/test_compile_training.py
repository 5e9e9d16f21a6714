import importlib.util
import json

import jax
import pytest

from speccascade import config as config_lib
from speccascade.aot import training
from speccascade.runs import workdir
from speccascade.studies import compile_training

pytestmark = pytest.mark.skipif(
  importlib.util.find_spec('libtpu') is None, reason='needs libtpu'
)
_GIB = 2**30


@pytest.fixture(autouse=True)
def compiled(monkeypatch):
  """Stands for the compiler; gives the cells that it was asked for."""
  jax.devices()  # Those of the host read the flags first.
  monkeypatch.delenv('XLA_FLAGS')
  asked = []

  def of(cell):
    asked.append(cell)
    if cell.teacher is not None and cell.mesh == (4, 1):
      return {'error': 'RESOURCE_EXHAUSTED: too much'}
    return {'arguments': 3 * _GIB, 'temporaries': _GIB, 'peak': 4 * _GIB}

  monkeypatch.setattr(training, 'of', of)
  return asked


def _study(**fields):
  fields = {
    'models': ('gemma3_270m',), 'topologies': ('v5e:2x2',),
    'meshes': ((4, 1), (1, 4)), 'batch_size': 8, 'length': 64,
  } | fields  # fmt: skip
  return config_lib.parse(compile_training.CompileTraining, fields)


@pytest.mark.parametrize(
  ('teacher', 'pieces', 'told'),
  [
    (None, 262144, '3.00 | 1.00 | 4.00 | 25%'),
    # Their pieces are those that both have, as where pairs are loaded.
    ('gemma2_2b', 256000, '– | – | – | RESOURCE_EXHAUSTED: too much'),
  ],
)
def test_every_step_is_told(teacher, pieces, told, compiled, tmp_path):
  text = compile_training.run(_study(teacher=teacher), tmp_path)
  assert [cell.mesh for cell in compiled] == [(4, 1), (1, 4)]
  models = {x for cell in compiled for x in (cell.model, cell.teacher) if x}
  assert {x.vocab_size for x in models} == {pieces}
  assert len(models) == (1 if teacher is None else 2)
  *_, first, second = text.splitlines()
  head = f'| gemma3_270m | {teacher or "–"} | v5e:2x2 |'
  assert first == f'{head} 4×1 | 8 | 64 | {told} |'
  assert second == f'{head} 1×4 | 8 | 64 | 3.00 | 1.00 | 4.00 | 25% |'
  assert (tmp_path / 'table.md').read_text() == f'{text}\n'
  rows = json.loads((tmp_path / 'table.json').read_text())
  assert [row['mesh'] for row in rows] == [[4, 1], [1, 4]]


@pytest.mark.parametrize(
  ('fields', 'line'),
  [
    (
      {'topologies': ('v5e:2x2', 'v5e:2x4')},
      r'mesh=\(4, 1\) must have the 8 devices of v5e:2x4',
    ),
    ({'topologies': ('v5e:9x9',)}, 'topology v5e:9x9: .* name a slice of v5e'),
  ],
)
def test_bad_slices_are_told_before_anything_is_compiled(
  fields, line, compiled, tmp_path
):
  with pytest.raises(ValueError, match=line):
    compile_training.run(_study(**fields), tmp_path)
  assert compiled == []


def test_a_folder_is_of_one_process_and_can_be_written(compiled, tmp_path):
  file = tmp_path / 'file'
  file.write_text('')
  with pytest.raises(OSError, match='file'):
    compile_training.run(_study(), file)
  with workdir.lock(tmp_path), pytest.raises(ValueError, match='another'):
    compile_training.run(_study(), tmp_path)
  assert compiled == []
