import json

import pytest
from etils import epath

from speccascade.models import registry
from speccascade.pairs import provenance


@pytest.fixture
def write(tmp_path):
  def write(text):
    data = text if isinstance(text, bytes) else text.encode()
    (tmp_path / 'provenance.json').write_bytes(data)
    return epath.Path(tmp_path)

  return write


@pytest.mark.parametrize(
  'text',
  [
    '',
    '[]',
    '3',
    'null',
    '"x"',
    '{"drafter"',
    '[' * 10_000,
    '{"drafter":' * 10_000,
    '{"drafter": ' + '[' * 900 + ']' * 900 + '}',
    '{"drafter": {}, "drafter": {}}',
    '{"drafter": 3}',
    '{"drafter": []}',
    '{"drafter": null}',
    '{"verifier": "x"}',
    '{"verifier": {"config": 3}}',
    '{"verifier": {"config": null}}',
    '{"verifier": {"num_params": "many"}}',
    '{"verifier": {"num_params": 2.5}}',
    '{"verifier": {"num_params": -1}}',
    '{"verifier": {"num_params": true}}',
    '{"verifier": {"origin": {"tokenizer": 3}}}',
    '{"verifier": {"origin": []}}',
    '{"verifier": {"checkpoint": ["x"]}}',
    b'\xff\xfe{\x00}\x00',
  ],
  ids=lambda x: repr(x[:30]),
)
def test_what_is_not_valid_is_one_line(write, text):
  folder = write(text)
  with pytest.raises(ValueError, match='provenance.json: .*; copy the') as e:
    provenance.read(folder)
  assert str(e.value).isprintable()


def test_nothing_is_told_without_a_file(tmp_path):
  assert provenance.read(epath.Path(tmp_path)) == provenance.Provenance()


def test_what_else_is_told_is_not_read(write):
  told = {'device': 'H100 × 1', 'drafter': {'seconds': 'x', 'num_params': 3}}
  found = provenance.read(write(json.dumps(told, ensure_ascii=False)))
  assert found.drafter == provenance.Told(num_params=3)


@pytest.mark.parametrize('length', [-1, 0, 'x', 2.5, None, 10**9, [3]])
def test_lengths_are_lengths(tmp_path, length):
  """Of the role that the message names."""
  config = registry.FAMILIES['gemma2'].examples[0]
  told = provenance.Provenance(
    verifier=provenance.Told(config={'length': length})
  )
  folder = epath.Path(tmp_path)
  assert provenance.limited(folder, told, 'drafter', config) == config
  if length is None:
    assert provenance.limited(folder, told, 'verifier', config) == config
    return
  with pytest.raises(ValueError, match=r'json: verifier\.config\.length=') as e:
    provenance.limited(folder, told, 'verifier', config)
  assert str(e.value).isprintable()
