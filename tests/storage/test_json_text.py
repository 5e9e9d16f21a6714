import json

import pytest

from speccascade.storage import json_text


@pytest.mark.parametrize(
  ('data', 'value'),
  [
    (
      b'{"a": [1, -0.5, null, true, "\xc3\xa9"]}',
      {'a': [1, -0.5, None, True, 'é']},
    ),
    (b'"\\ud83d\\ude00"', '😀'),
    (b'\xef\xbb\xbf{}', {}),  # As Windows begins a file.
    (b'{"a": 1}\r\n', {'a': 1}),
    ('["a"]', ['a']),
    (b'10000000000000000000000', 10**22),
  ],
)
def test_json_is_read(data, value):
  assert json_text.loads(data) == value


@pytest.mark.parametrize(
  ('data', 'complaint'),
  [
    (b'', 'Expecting value'),
    (b'{"a": 1} x', 'Extra data'),
    (b'\xff{}', 'byte 1 is not UTF-8'),
    ('{"a": 1}'.encode('utf-16'), 'byte 1 is not UTF-8'),
    ('{"a": 1}'.encode('utf-16-le'), 'Expecting property name'),
    (b'\x00\x00', 'Expecting value'),
    (b'[' * 100_000, 'brackets are nested too deeply'),
    (b'{"a":' * 100_000, 'brackets are nested too deeply'),
    (b'{"a": 1, "b": {"c": 1, "c": 1}}', "the key 'c' is there twice"),
    (b'NaN', 'NaN is not a finite number'),
    (b'[-Infinity]', '-Infinity is not a finite number'),
    (b'1e999', '1e999 is not a finite number'),
    (b'1' * 5000, 'integer string conversion'),
    (b'["\\ud800"]', r"'\\ud800' is half a character"),
    (b'{"\\uDC00a": 1}', r"'\\udc00' is half a character"),
  ],
)
def test_what_is_no_json_is_one_line(data, complaint):
  with pytest.raises(ValueError, match=complaint) as error:
    json_text.loads(data)
  assert '\n' not in str(error.value)


def test_a_file_is_named(tmp_path):
  path = tmp_path / 'config.json'
  path.write_bytes(b'[')
  with pytest.raises(ValueError, match=f'{path}: Expecting value'):
    json_text.load(path)
  path.write_bytes(b'[1]')
  assert json_text.load(path) == [1]


@pytest.mark.parametrize('value', [float('nan'), {'a': float('inf')}, b'', {1}])
def test_only_json_is_written(value):
  with pytest.raises(ValueError, match='JSON'):
    json_text.dumps(value)


@pytest.mark.parametrize('value', [{'a': [1, 0.1, 'ä"}']}, {'b': {'crc32': 1}}])
def test_a_sealed_object_is_what_was_sealed_or_refused(value):
  sealed = json_text.seal(json_text.dumps(value))
  assert json.loads(sealed).keys() == value.keys() | {'crc32'}
  for written in (sealed, f'{sealed}\n', sealed.encode()):
    assert json_text.loads(written) == value
  data = sealed.encode()
  for i in range(8 * len(data)):
    changed = bytearray(data)
    changed[i // 8] ^= 1 << i % 8
    try:
      found = json_text.loads(bytes(changed))
    except ValueError:
      continue
    # The name of the field alone was changed, and it is one nobody knows.
    assert {k: x for k, x in found.items() if k in value} == value
