"""Shapes with random weights, timed on meshes of the host's devices."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from speccascade import config
from speccascade.decoding import prefill, results
from speccascade.models import base, registry
from speccascade.reports.render import scaling
from speccascade.studies import meshes
from speccascade.timing import loop
from tests.runs import entry_point


@pytest.fixture(autouse=True)
def tiny(tiny_preset, monkeypatch):
  """A preset and a copy that are fast."""
  monkeypatch.setattr(meshes, '_COPIED', 2**12)


def _study(**fields):
  fields = {
    'drafter': 'tiny', 'verifier': 'tiny', 'meshes': ((1, 2),), 'rounds': 1,
    'batch_sizes': (3,), 'prompts': (5,), 'new_tokens': 8, 'gamma': 2,
    'dtype': 'float32',
  } | fields  # fmt: skip
  return config.parse(meshes.Meshes, fields)


def test_what_is_done_is_not_measured_again(tmp_path, monkeypatch):
  text = meshes.run(_study(), tmp_path)
  assert (tmp_path / 'table.md').read_text() == f'{text}\n'
  (row,) = _rows(tmp_path)
  assert row['mesh'] == [1, 2]
  assert row['iteration'] == pytest.approx(
    row['overhead'] * (3 * row['drafter_step'] + row['block'])
  )
  assert row['predicted'] > 0
  assert (tmp_path / 'scaling.png').exists()
  # A host tells no peak.
  assert row['peak'] is None
  meshes.run(_study(meshes=((1, 2), (2, 1)), rounds=0), tmp_path)
  first, second = _rows(tmp_path)
  assert first == row
  assert second['mesh'] == [2, 1]
  assert 'iteration' not in second
  monkeypatch.setattr(meshes, '_measure', None)
  text = meshes.run(_study(meshes=((2, 1),)), tmp_path)
  assert [line.split(' | ')[0] for line in text.splitlines()[2:4]] == [
    '| 1×2', '| 2×1',
  ]  # fmt: skip


def _rows(folder):
  text = (folder / 'cells.jsonl').read_text()
  return [json.loads(line) for line in text.splitlines()]


def test_the_floor_is_what_a_device_reads(tmp_path):
  """Of the weights: tables and norms; two devices read half of what they split.

  Per layer 8 x 4 x (4 + 2 + 2) for queries, keys and values, 16 x 8 out, and
  3 x 8 x 16; the table 64 x 8; norms are whole.
  """
  for own in ((1, 1), (1, 2)):
    meshes.run(_study(meshes=(own,), rounds=0, decode=False), tmp_path)
  one, two = _rows(tmp_path)
  split = 2 * (8 * 4 * 8 + 16 * 8 + 3 * 8 * 16) + 64 * 8
  norms = 5 * 8
  for row, numbers in ((one, split + norms), (two, split / 2 + norms)):
    ms = 4 * numbers / row['bandwidth'] * 1e3
    assert row['floor']['verifier_step'] == pytest.approx(ms)
    assert row['floor']['iteration'] == pytest.approx(4 * ms)


def test_the_floor_of_int8_weights(tmp_path, monkeypatch):
  """A byte each, norms and a scale for each channel in float32.

  Per layer channels 4 x (4 + 2 + 2), 8 out, 16 + 16 + 8; and rows of the table.
  """
  monkeypatch.setattr(meshes, '_bandwidth', lambda: 1e9)
  fields = dict(rounds=1, decode=False, meshes=((1, 1),))
  meshes.run(_study(verifier_weights='int8', **fields), tmp_path)
  (row,) = _rows(tmp_path)
  narrow = 2 * (8 * 4 * 8 + 16 * 8 + 3 * 8 * 16) + 64 * 8
  wide = 5 * 8 + 2 * (4 * 8 + 8 + 40) + 64
  ms = (narrow + 4 * wide) / row['bandwidth'] * 1e3
  assert row['floor']['verifier_step'] == pytest.approx(ms)
  assert row['floor']['drafter_step'] > 2 * ms
  assert row['iteration'] > 0


@pytest.mark.parametrize(
  ('fields', 'line'),
  [
    ({'drafter': 'gemma9'}, "unknown model 'gemma9'; known: "),
    ({'meshes': ((4, 4),)}, 'needs 16 devices, and there are 8'),
    ({'prompts': (8, 8185)}, 'tiny takes at most 8184 tokens'),
  ],
)
def test_a_fault_is_one_line(tmp_path, fields, line):
  with pytest.raises(ValueError, match=line) as error:
    meshes.run(_study(**fields), tmp_path)
  assert '\n' not in str(error.value)
  assert not list(tmp_path.iterdir())


def test_the_command(tmp_path, capsys):
  fields = _study(rounds=0, decode=False).model_dump()
  flags = [f'--config.{k}={x}' for k, x in fields.items() if x is not None]
  ended = entry_point.call('meshes', f'--workdir={tmp_path}', *flags)
  assert ended is None
  assert '| 1×2 | 5 | 3 |' in capsys.readouterr().out


def test_a_folder_of_other_settings_is_refused(tmp_path):
  meshes.run(_study(rounds=0, decode=False), tmp_path)
  kept = (tmp_path / 'cells.jsonl').read_text()
  with pytest.raises(ValueError, match='changed: gamma'):
    meshes.run(_study(rounds=0, decode=False, gamma=3), tmp_path)
  assert (tmp_path / 'cells.jsonl').read_text() == kept


def test_prompts_are_not_read_before_each_timing(tmp_path, monkeypatch):
  """At 64 rows of 1,024 tokens that took minutes, of noise."""
  monkeypatch.setattr(base.Reader, 'prefill', None)
  fields = dict(rounds=1, decode=False, meshes=((1, 1),))
  meshes.run(_study(**fields), tmp_path)
  (row,) = _rows(tmp_path)
  assert row['iteration'] > 0


def test_each_cell_has_a_profile_of_its_own(tmp_path, monkeypatch):
  def measure(*_, profile, read):
    profile('batch3-g2', None)
    return [loop.Row('fixed', 3, 2, 1, 1, 3, 3, 1, 1, 1, 1, 1)]

  monkeypatch.setattr(loop, 'measure', measure)
  names = []
  study = _study(meshes=((1, 4), (2, 2)), prompts=(5, 6), decode=False)
  meshes.run(study, tmp_path, lambda name, run: names.append(name))
  assert names == [
    f'mesh{mesh}-prompt{prompt}-batch3-g2'
    for mesh in ('1x4', '2x2')
    for prompt in (5, 6)
  ]


@pytest.mark.parametrize('family', ['gemma2', 't5'])
def test_what_is_not_read_has_the_shapes_of_what_is(family):
  own = registry.family(family)
  model = registry.make_model(own.examples[0])
  params = model.init(jax.random.key(0))
  prompts = results.Prompts(
    jnp.ones((3, 5), jnp.int32), jnp.array([5, 2, 4]), jnp.arange(3), 2
  )
  read, last_B = prefill.prefill(model, params, prompts, new_tokens=6, block=3)
  unread, own_B = prefill.unread(model, params, prompts, new_tokens=6, block=3)
  np.testing.assert_array_equal(own_B, last_B)
  np.testing.assert_array_equal(unread.length_B, read.length_B)
  alike = lambda x, y: (x.shape, x.dtype) == (y.shape, y.dtype)  # noqa: E731
  assert all(jax.tree.leaves(jax.tree.map(alike, unread, read)))


def test_scaling_is_drawn_by_rows_and_by_rows_a_device():
  row = lambda mesh, batch, ms: {  # noqa: E731
    'mesh': mesh, 'prompt': 8, 'batch': batch, 'tokens': 2.0, 'iteration': ms,
  }  # fmt: skip
  rows = [
    row([1, 1], 8, 10.0), row([1, 2], 8, 8.0), row([2, 1], 16, 12.0),
    row([2, 2], 8, 5.0),
  ]  # fmt: skip
  by_model, by_data = scaling.draw(rows).axes
  for ax, speeds in (
    (by_model, (1600, 2000)),
    (by_data, (1600, 16 * 2 / 0.012)),
  ):
    line, ideal = ax.lines
    np.testing.assert_allclose(
      line.get_xydata(), [[1, speeds[0]], [2, speeds[1]]]
    )
    np.testing.assert_allclose(ideal.get_ydata(), [1600, 3200])
  assert [x.get_text() for x in by_data.texts] == ['8 rows a device, S 8']
