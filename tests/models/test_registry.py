import dataclasses
import json

import pytest

from speccascade.models import base, registry

for_each_family = pytest.mark.parametrize(
  'family', registry.FAMILIES.values(), ids=lambda f: f.name
)


def _settings(family):
  """Settings as JSON has them: lists for tuples."""
  return json.loads(json.dumps(dataclasses.asdict(family.examples[0])))


def _refused(family, message=None, **changes):
  settings = _settings(family) | changes
  with pytest.raises(ValueError, match=message) as e:
    registry.make_config(family.name, **settings)
  text = str(e.value)
  assert text.startswith(f'wrong settings of a {family.name} model: ')
  assert text.isprintable()
  assert len(text) < 500


@for_each_family
def test_settings_come_as_json_has_them(family):
  made = registry.make_config(family.name, **_settings(family))
  assert made == family.examples[0]
  assert hash(made) == hash(family.examples[0])


@for_each_family
@pytest.mark.parametrize(
  'value',
  [2.5, 0, -1, -768, True, 'x', '1', [], [1], {}, float('nan'), 2**31, 10**400],
  ids=repr,
)
def test_integers_are_positive_integers(family, value):
  fields = {
    f.name
    for f in dataclasses.fields(family.config)
    if type(getattr(family.examples[0], f.name)) is int
  }
  assert 'vocab_size' in fields
  for field in fields - {'start_token' if value == 0 else ''}:  # It may be 0.
    _refused(family, f'{field}=', **{field: value})


@for_each_family
@pytest.mark.parametrize(
  'value',
  [0, -1, 0.0, -2.5, True, 'x', [], {}, 1e-30, 1e30, 10**400]
  + [float(x) for x in ('nan', 'inf', '-inf')],
  ids=repr,
)
def test_numbers_are_positive_and_finite(family, value):
  for f in dataclasses.fields(family.config):
    if type(getattr(family.examples[0], f.name)) is float:
      _refused(family, f'{f.name}=', **{f.name: value})


@for_each_family
def test_texts_and_truth_values(family):
  wrong = {bool: (1, 'true', None), tuple: (3, 'local', ['x'], [3], None)}
  for f in dataclasses.fields(family.config):
    kind = type(getattr(family.examples[0], f.name))
    for value in wrong.get(kind, ()):
      _refused(family, f.name, **{f.name: value})
  for dtype in ('float16', 'int8', '', 'F32', 3, None, [], '\x1b[31m'):
    _refused(family, 'dtype=', dtype=dtype)


@for_each_family
def test_fields_that_are_not_there_or_too_many(family):
  _refused(family, 'unknown config field wings', wings=2)
  for name in ('name', 'self', 'kind', '\n', ''):
    _refused(family, 'unknown config field', **{name: 2})
  with pytest.raises(ValueError, match='the config has no vocab_size'):
    registry.make_config(family.name)


@pytest.mark.parametrize(
  ('field', 'value', 'message'),
  [
    ('window', 0, 'window=0: '),
    ('rope_base', 0.5, 'rope_base=0.5 must be at least 1'),
    ('num_kv_heads', 3, 'num_heads=4 must be a multiple of 3'),
    ('head_dim', 5, 'head_dim=5 must be a multiple of 2'),
    ('attention_pattern', [], r'attention_pattern=\(\) must be made of'),
    ('query_scalar', -1.0, 'query_scalar='),
  ],
)
def test_relations_of_gemma(field, value, message):
  _refused(registry.FAMILIES['gemma2'], message, **{field: value})


@for_each_family
def test_layers_that_would_take_an_hour_to_trace(family):
  for field in ('num_layers', 'num_decoder_layers'):
    if field in _settings(family):
      _refused(family, f'{field}=', **{field: 10**9})


@dataclasses.dataclass(frozen=True)
class _Plain:
  """As a family has it that says no more than types."""

  vocab_size: int
  scale: float | None = None
  dtype: str = 'float32'


def test_a_new_family_is_checked_by_its_types(monkeypatch):
  family = base.Family('plain', _Plain, None, {}, (_Plain(5, 2.0),))
  monkeypatch.setitem(registry.FAMILIES, 'plain', family)
  assert registry.make_config('plain', vocab_size=3) == _Plain(3)
  assert registry.make_config('plain', vocab_size=3, scale=2) == _Plain(3, 2.0)
  for field, value in (
    ('vocab_size', 0), ('vocab_size', 2.5), ('scale', 0.0), ('scale', 'x'),
    ('dtype', 'float16'),
  ):  # fmt: skip
    _refused(family, f'{field}=', **{field: value})


@for_each_family
@pytest.mark.parametrize(
  'length', [0, -1, 2.5, 'x', True, [], {}, 10**9, float('nan')], ids=repr
)
def test_trained_lengths_are_lengths(family, length):
  for source in family.lengths.values():
    with pytest.raises(ValueError, match=f'^{source}=.* must be a whole') as e:
      registry.limited(family.examples[0], {source: length})
    assert len(str(e.value)) < 200


@for_each_family
def test_the_longest_length_is_taken(family):
  config = family.examples[0]
  trained = {
    source: getattr(config, field) for field, source in family.lengths.items()
  }
  assert registry.limited(config, trained) == config
