"""What every schema refuses, in one line, and what it reads in its way."""

import ml_collections
import numpy as np
import pytest
from ml_collections import config_dict

from speccascade import config
from tests.runs import entry_point


class _Toy(config.Schema):
  share: config.float32(ge=0, lt=1) = 0.5
  rate: config.float32(gt=0) = 1.0
  bounded: config.float32(gt=0, le=1) = 1.0
  any: config.Float = 0.0
  number: config.Count = 1
  width: config.Tokens | None = None
  text: str = 'a'
  kind: config.Dtype | None = None
  args: config.TaskArgs = {}
  name: config.Name = 'toy'
  rates: tuple[config.Float, ...] = ()


@pytest.mark.parametrize(
  ('field', 'value', 'told'),
  [
    ('share', 0.9999999999, 'can tell from 1'),
    ('share', 1e-50, 'can tell from 0'),
    ('share', 1e-40, 'can tell from 0'),  # Devices flush it.
    ('share', 1.0, 'must be less than 1'),
    ('share', True, 'must be a valid number'),
    ('share', '0.5', 'must be a valid number'),
    ('rate', 1e-46, 'can tell from 0'),
    ('rate', 1e300, 'can tell from inf'),
    ('rate', float('inf'), 'must be a finite number'),
    ('bounded', 0.0, 'must be greater than 0'),
    ('any', -1e39, 'can tell from -inf'),
    ('any', float('nan'), 'must be a finite number'),
    ('any', 10**400, 'must be a valid number'),
    pytest.param('number', 10**5000, '<int>: it must be less', id='digits'),
    ('number', 1.0, 'must be a valid integer'),
    ('number', np.int64(-1), 'greater than or equal to 0'),
    ('number', np.array(1), 'must be a valid integer'),
    ('width', 2**40, 'less than or equal to 131072'),
    ('text', 'a\ud800', r"text='a\\ud800': it must be text"),
    ('text', 'a\0', 'must be without'),
    ('text', len, 'must be a valid string'),
    ('args', {'a': None}, 'args.a=None: it must be a text, a truth value or'),
    ('args', {'a': float('nan')}, 'args.a=nan: it must be a text'),
    ('args', {'a': 2**64}, 'args.a=18446744073709551616: it must be a'),
    ('args', {'a': {}}, 'args.a={}: it must be'),
    ('args', {'a': '\udfff'}, r"args.a='\\udfff': it must be text"),
    ('args', {'\udfff': 1}, r'args=.* it must be text'),
    ('args', {1: 1}, 'args.1'),
    ('args', {1, 2}, 'must be a valid dictionary'),
    ('name', '../evil', 'must be a name for a file'),
    ('name', '', 'must be a name for a file'),
    ('name', '.hidden', 'must be a name for a file'),
    ('name', 'a/b', 'must be a name for a file'),
    ('name', 'a\n', 'must be a name for a file'),
    ('name', 'ä', 'must be a name for a file'),
    ('name', 'a' * 101, 'must be a name for a file'),
    ('rates', [1.0], 'must be a valid tuple'),
    ('rates', (1.0, None), 'rates.1=None'),
    ('rates', ((),), 'rates.0='),
    ('\x1b[31m', 1, r'unknown config field \\x1b\[31m; known: share'),
    ('x' * 10_000, 1, 'unknown config field x'),
  ],
)
def test_a_wrong_value_is_one_line_that_names_its_field(field, value, told):
  with pytest.raises(ValueError, match=told) as error:
    config.parse(_Toy, {field: value})
  line = str(error.value)
  assert '\n' not in line
  assert len(line) <= 600
  assert field[:20] in line or not field.isprintable()


@pytest.mark.parametrize(
  ('field', 'value'),
  [
    ('share', 0.0),
    ('share', 0.99999994),  # The last float32 below 1.
    ('rate', 1.2e-38),
    ('rate', 3.4e38),
    ('bounded', 1.0),
    ('any', -3.4e38),
    ('args', {'a': -(2**63) + 1, 'b': True, 'c': 1e300, 'd': 'x'}),
    ('name', '-A_z.9'),
  ],
)
def test_a_value_at_its_bound_is_kept(field, value):
  assert getattr(config.parse(_Toy, {field: value}), field) == value


def test_numbers_become_python_s_own():
  values = {
    'share': np.float64(0.25),
    'any': -0.0,
    'rate': np.float32(0.1),
    'number': np.int16(3),
    'rates': (np.int64(2), 1),
    'args': {'a': np.bool_(True)},
  }
  toy = config.parse(_Toy, values)
  assert toy.rate == float(np.float32(0.1))
  assert str(toy.any) == '0.0'  # Its id is that of 0.
  assert toy.args['a'] is True
  for x in (toy.share, toy.rate, *toy.rates):
    assert type(x) is float
  assert type(toy.number) is int


def _cyclic():
  values = ml_collections.ConfigDict({'args': {'a': 1}})
  values.args.b = values
  return values


def _deep():
  value = ()
  for _ in range(5_000):
    value = (value,)
  return {'rates': value}


def _lazy(function):
  reference = config_dict.FieldReference(1)
  values = ml_collections.ConfigDict({'any': function(reference)})
  reference.set(0)
  return values


@pytest.mark.parametrize(
  ('make', 'told'),
  [
    (_cyclic, 'cannot read the config: RecursionError'),
    (_deep, 'cannot read the config: RecursionError'),
    (lambda: _lazy(lambda x: 1 / x), 'ZeroDivisionError: division by zero'),
    (lambda: None, 'config=None: it must be a valid dictionary'),
    (lambda: 3, 'config=3: it must be a valid dictionary'),
    (lambda: {1: 2}, 'unknown config field 1; known: share'),
  ],
)
def test_a_config_that_cannot_be_read_is_one_line(make, told):
  with pytest.raises(ValueError, match=told) as error:
    config.parse(_Toy, make())
  assert '\n' not in str(error.value)


def test_a_lazy_field_has_its_value():
  values = _lazy(lambda x: x + 2)
  assert config.parse(_Toy, values).any == 2


def test_flags_of_fields_without_a_value_are_parsed_as_their_types():
  values = config.template(_Toy)
  types = {name: values.get_type(name) for name in ('width', 'kind')}
  assert types == {'width': int, 'kind': str}
  assert config.parse(_Toy, values) == _Toy()


def test_every_bound_has_room_for_what_ships_and_none_for_a_slip():
  class Bounds(config.Schema):
    examples: config.Examples = 1_000_000
    corpus: config.Corpus = 1_000_000
    rows: config.Rows = 512
    gamma: config.Gamma = 512
    trials: config.Trials = 15
    seed: config.Seed = 0

  Bounds()
  for field, value in (
    ('examples', 100_000_000),
    ('corpus', 2**31),
    ('rows', 2**63),
    ('gamma', 100_000),
    ('trials', 2**63 - 1),
    ('seed', 2**32),
    ('seed', -1),
  ):
    with pytest.raises(ValueError, match=f'{field}={value}: it must be'):
      config.parse(Bounds, {field: value})


@pytest.mark.parametrize('value', [0, -1, 100_000_000, 2**63])
@pytest.mark.parametrize('flag', ['num_examples', 'vocab_size'])
def test_the_flags_of_train_tokenizer_are_bounded(flag, value):
  line = entry_point.call('train_tokenizer', '--out=x', f'--{flag}={value}')
  assert f'--{flag}={value}: {value} is not an integer in the range' in line
