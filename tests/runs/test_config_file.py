import types

import ml_collections
import pytest

from speccascade.runs import config_file

_GOOD = """
import ml_collections

def get_config(name='full'):
  return ml_collections.ConfigDict({'name': name})
"""


_PARSER = config_file.Parser(types.SimpleNamespace(present=0))


@pytest.fixture
def parse(tmp_path):
  """Parses a file of some text, with an argument behind its name."""

  def parse(text, rest=''):
    path = tmp_path / 'config.py'
    path.write_text(text)
    return _PARSER.parse(f'{path}{rest}')

  return parse


def test_a_file_gives_a_locked_config(parse):
  config = parse(_GOOD)
  assert (config.name, config.is_locked) == ('full', True)
  assert parse(_GOOD, ':a:b').name == 'a:b'
  assert parse("def get_config():\n  return {'a': 1}") == {'a': 1}


def test_fields_of_the_file_stay_lazy(parse):
  """And its functions can be called after it."""
  config = parse(
    'import ml_collections\n'
    'one = 1\n'
    'def get_config():\n'
    '  config = ml_collections.ConfigDict({"a": one})\n'
    '  config.b = config.get_ref("a") + one\n'
    '  return config\n'
  )
  config.a = 4
  assert config.b == 5
  assert isinstance(config, ml_collections.ConfigDict)


def _body(line):
  return f'def get_config():\n  {line}\n'


@pytest.mark.parametrize(
  ('text', 'line'),
  [
    ('def get_config(', r"'\(' was never closed \(config.py, line 1\)"),
    ('x = 1', 'the file has no function get_config'),
    ('get_config = 1', 'the file has no function get_config'),
    ('import no_such', r"No module named 'no_such' \(ModuleNotFoundError\)"),
    ('import os\nos.no_such', r".*'no_such' \(AttributeError\)"),
    ('raise SystemExit(3)', r'3 \(SystemExit\)'),
    (_body('pass'), 'get_config returned NoneType, not a ConfigDict'),
    (_body('return 3'), 'get_config returned int, not a ConfigDict'),
    (_body('raise SystemExit'), 'SystemExit'),
    (_body('return {}["seed"]'), r"'seed' \(KeyError\)"),
    (_body('return [][3]'), r'list index out of range \(IndexError\)'),
    (_body('return 1 + ""'), r'unsupported operand .* \(TypeError\)'),
    (_body('return 1 / 0'), r'division by zero \(ZeroDivisionError\)'),
    (_body('assert 0'), 'AssertionError'),
    (_body('return open("/no/such")'), r".*No such file or dir.*: '/no/such'"),
    (_body('raise ValueError("a\\n b")'), 'a b'),
    (_body('return get_config()'), r'maximum .* \(RecursionError\)'),
  ],
)
def test_whatever_ends_the_file_is_one_line(parse, text, line):
  with pytest.raises(ValueError, match=f'^{line}$'):
    parse(text)


def test_the_argument_of_get_config_is_asked_for(parse):
  how = r'; an argument is given as --config=FILE:ARGUMENT$'
  with pytest.raises(ValueError, match=f"required argument: 'name'{how}"):
    parse('def get_config(name):\n  return {}')
  with pytest.raises(ValueError, match=f'too many positional arguments{how}'):
    parse(_body('return {}'), ':x')


def test_a_file_must_be_there(tmp_path):
  for path in ('', 'none.py', 'http://a/b.py', tmp_path):
    with pytest.raises(ValueError, match='^there is no such file$'):
      _PARSER.parse(str(path))
