import importlib.util
import json

import jax
import pytest

from speccascade import config as config_lib
from speccascade.aot import fit
from speccascade.runs import workers
from speccascade.studies import compile_tpu

pytestmark = pytest.mark.skipif(
  importlib.util.find_spec('libtpu') is None, reason='needs libtpu'
)
_GIB = 2**30
_EACH = workers.each


@pytest.fixture(autouse=True)
def compiled(monkeypatch):
  """Stands for the compiler; gives the cells that it was asked for."""
  jax.devices()  # Those of the host read the flags first.
  monkeypatch.delenv('XLA_FLAGS')
  asked = []

  def of(cell, kept):
    asked.append(cell)
    if cell.topology == 'v5e:2x2':
      return {'fits': False, 'error': 'INTERNAL: no', 'devices': 4}
    if cell.prompt > 8192:
      return {'fits': False, 'peak': 20.5 * _GIB, 'devices': 8}
    return {
      'fits': True, 'devices': 8, 'arguments': 7 * _GIB, 'peak': 8 * _GIB,
      'temporaries': _GIB // 4, 'iteration': 10e9, 'drafter_step': 1e9,
      'collectives': {'all-reduce': [10, 2e6]}, 'drafter_collectives': {},
      'host_transfers': [],
      'caches': _GIB // 8, 'copies': [], 'floor': 9.9e9, 'flops': dict.fromkeys(
        ('drafter_step', 'verifier_step', 'block'), 1e9
      ),
    }  # fmt: skip

  def slots(cell, answers, kept):
    asked.append((cell.topology, answers))
    if cell.topology == 'v5e:2x4':
      return {'fits': False, 'peak': 17 * _GIB}
    sizes = {'arguments': 9 * _GIB, 'temporaries': _GIB // 16}
    return {'fits': True, 'donated': 2 * _GIB, 'peak': 9.5 * _GIB} | sizes

  monkeypatch.setattr(fit, 'of', of)
  monkeypatch.setattr(fit, 'slots', slots)
  here = lambda row, cells, number: map(row, cells)  # noqa: E731
  monkeypatch.setattr(workers, 'each', here)  # As what stands for it is.
  return asked


def _study(pair=('gemma3_270m', 'gemma3_1b'), **fields):
  fields = {'pairs': (pair,), 'topologies': ('v5e',)} | fields
  return config_lib.parse(compile_tpu.CompileTpu, fields)


def test_the_smallest_slice_that_fits_is_told(compiled, tmp_path):
  study = _study(('gemma3_1b', 'gemma3_27b'), batch_sizes=(1, 8))
  text = compile_tpu.run(study, tmp_path)
  # By its shapes the pair does not fit one chip; four do not compile.
  assert [cell.topology for cell in compiled if cell.batch == 1] == [
    'v5e:2x2', 'v5e:2x4',
  ]  # fmt: skip
  # The verifier has rows for images, which no drafter draws.
  assert {
    model.vocab_size
    for cell in compiled
    for model in (cell.drafter, cell.verifier)
  } == {262144}
  one, eight = json.loads((tmp_path / 'table.json').read_text())
  assert (one['slice'], one['batch'], eight['batch']) == ('v5e:2x4', 1, 8)
  assert one['tried']['v5e:1x1'] > 16 * _GIB
  assert one['tried']['v5e:2x2'] == 'INTERNAL: no'
  head, _, row, _ = (tmp_path / 'table.md').read_text().splitlines()
  cells = dict(zip(head.split(' | '), row.split(' | '), strict=True))
  assert cells['| drafter → verifier'] == '| gemma3_1b → gemma3_27b'
  assert (cells['slice'], cells['of HBM']) == ('2x4', '50%')
  assert cells['bytes / floor'] == '1.01'
  assert (cells['temporaries'], cells['caches']) == ('0.25', '0.12')
  assert text == (tmp_path / 'table.md').read_text().rstrip()


def test_slots_must_fit_too_where_they_are_asked_for(compiled, tmp_path):
  pair = 'gemma3_1b', 'gemma3_27b'
  text = compile_tpu.run(_study(pair, answers=200), tmp_path)
  slots = [asked for asked in compiled if isinstance(asked, tuple)]
  assert slots == [('v5e:2x4', 200), ('v5e:4x4', 200)]
  (row,) = json.loads((tmp_path / 'table.json').read_text())
  assert (row['slice'], row['tried']['v5e:2x4']) == ('v5e:4x4', 17 * _GIB)
  head, _, line = text.splitlines()
  assert head.split(' | ')[-3:] == [
    'slots: arguments', 'slots: temporaries', 'slots: peak |',
  ]  # fmt: skip
  assert line.endswith('| 9.00 | 0.06 | 9.50 |')


def test_cells_are_shared_out_to_processes(tmp_path, monkeypatch):
  """Of those that fit no slice by their shapes nothing is compiled."""
  pair = 'gemma2_2b', 'gemma2_27b'
  study = _study(pair, topologies=('v5e:1x1',), batch_sizes=(1, 8))
  want = compile_tpu.run(study, tmp_path / 'here')
  assert want.count('none: ') == 2
  monkeypatch.setattr(workers, 'each', _EACH)
  assert compile_tpu.run(study, tmp_path / 'there') == want


def test_weights_are_a_choice(compiled, tmp_path):
  study = _study(topologies=('v5e:2x4',), verifier_weights='int8')
  text = compile_tpu.run(study, tmp_path)
  (cell,) = compiled
  assert (cell.drafter_weights, cell.verifier_weights) == (None, 'int8')
  (row,) = json.loads((tmp_path / 'table.json').read_text())
  assert row['weights'] == [None, 'int8']
  assert '| gemma3_270m → gemma3_1b (int8) |' in text


@pytest.mark.parametrize(
  'fields', [{'data': 8}, {'data': 2, 'drafter_devices': 4}]
)
def test_a_version_stands_for_slices_that_can_be_split_so(
  fields, compiled, tmp_path
):
  compile_tpu.run(_study(**fields), tmp_path)
  (cell,) = compiled
  assert cell.topology == 'v5e:2x4'


def test_what_fits_no_slice_is_told_with_how_near_it_came(tmp_path):
  study = _study(topologies=('v5e:2x2', 'v5e:2x4'), prompts=(9000,))
  text = compile_tpu.run(study, tmp_path)
  *_, small, large = text.splitlines()
  assert 'none: the compiler failed (INTERNAL: no)' in small
  assert 'none: 20.50 GiB of 16.00' in large


@pytest.mark.parametrize(
  ('fields', 'line'),
  [
    (
      {'topologies': ('v5e:2x4', 'v5e:9x9')},
      'topology v5e:9x9: .* name a slice of v5e, such as 1x1, 2x2, 2x4, 4x4',
    ),
    (
      {'topologies': ('v5e:1x1',), 'data': 2},
      'data=2 must divide the 1 devices of v5e:1x1',
    ),
    ({'data': 3}, 'data=3 must divide the 16 devices of v5e:4x4'),
    ({'data': 16, 'drafter_devices': 2}, 'must divide the 1 devices that'),
  ],
)
def test_bad_slices_are_told_before_anything_is_compiled(
  fields, line, compiled, tmp_path
):
  with pytest.raises(ValueError, match=line):
    compile_tpu.run(_study(**fields), tmp_path)
  assert compiled == []


@pytest.mark.parametrize(
  ('fields', 'line'),
  [
    ({'pairs': (('gemma2_2b', 'gemma2_28b'),)}, 'gemma2_28b'),
    ({'topologies': ('v9',)}, "'v9:' must be a version"),
    ({'gamma': 0}, 'gamma'),
  ],
)
def test_unknown_names_are_told(fields, line):
  with pytest.raises(ValueError, match=line):
    _study(**fields)


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_compiled(
  compiled, tmp_path
):
  file = tmp_path / 'file'
  file.write_text('')
  with pytest.raises(OSError, match='file'):
    compile_tpu.run(_study(), file)
  assert compiled == []
