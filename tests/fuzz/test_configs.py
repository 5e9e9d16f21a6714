"""Random faults in the configs of every entry point.

A shipped config is given one to three wrong values, fields or relations. It
must be refused in one line that names a field, or be accepted as what it says.
FUZZ_CONFIGS is how many are tried.
"""

import functools
import importlib.util
import itertools
import json
import math
import os
import pathlib
import random
import re
import time

import ml_collections
import numpy as np
import pytest
from ml_collections import config_dict

from speccascade import config
from speccascade.studies import (
  acceptance,
  batching,
  benchmark,
  flips,
  samples,
  show,
)
from speccascade.studies.compare import config as compare
from speccascade.studies.tokens import config as tokens
from speccascade.sweeps import config as sweeps
from speccascade.sweeps import points
from speccascade.training import config as training

_NUMBER = int(os.environ.get('FUZZ_CONFIGS', '600'))
_PARTS = 4
_SECONDS = 1.0  # The most that a config may take.
_CONFIGS = pathlib.Path(__file__).parents[2] / 'configs'

# The schema of a config file, and an argument of it.
_FILES = (
  ('quickstart', None, sweeps.Sweep),
  ('table2', None, sweeps.Sweep),
  ('schedules', None, sweeps.Sweep),
  ('tradeoff', 'translation,top_p', sweeps.Sweep),
  ('acceptance', None, acceptance.Acceptance),
  ('analyze', None, tokens.Tokens),
  ('batching', None, batching.Batching),
  ('benchmark', None, benchmark.Benchmark),
  ('compare', None, compare.Compare),
  ('flips', None, flips.Flips),
  ('generate', None, show.Show),
  ('samples', None, samples.Samples),
  ('train', 'word_problems,drafter', training.Train),
  ('train', 'translation,verifier', training.Train),
  ('distill', 'translation,jsd,drafter', training.Train),
)


@functools.cache
def _file(name):
  spec = importlib.util.spec_from_file_location(name, _CONFIGS / f'{name}.py')
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def _shipped(name, argument):
  arguments = () if argument is None else (argument,)
  return _file(name).get_config(*arguments).to_dict()


def _parse(kind, values):
  """As the entry point does: {name of the cell: settings}."""
  if kind is sweeps.Sweep:
    return sweeps.parse(values)
  return {'': config.parse(kind, values)}


_PLAIN = int, float, str, bool


class _Unprintable:
  def __repr__(self):
    raise RuntimeError


def _failing():
  reference = config_dict.FieldReference(1)
  value = 1 / reference
  reference.set(0)
  return value


def _nested(make):
  value = ()
  for _ in range(2_000):
    value = make(value)
  return value


_INTEGERS = (
  *(0, 1, -1, 2, 7, 100_000, 10**8, 2**31 - 1, 2**31, 2**32, 2**63, 10**30),
  *(10**400, 10**5_000, True, False, np.int64(8), np.int64(-1), np.bool_(True)),
)
_FLOATS = (
  *(0.0, -0.0, 0.5, 1.0, 1.5, 1e-9, 1e-38, 1e-40, 1e-46, 1e-320, -1e-50, 3e38),
  *(0.9999999999, 1.0000000001, 3.5e38, -1e300, math.nan, math.inf, -math.inf),
  *(np.float32(0.1), np.float64('nan'), np.float16(0.5), np.longdouble(1), 1j),
)
_TEXTS = (
  *(
    '',
    'x',
    '1',
    'nan',
    '../../evil',
    '/',
    '.',
    '~',
    'a\nb',
    'ä',
    'x' * 10_000,
  ),
  *('\0', '\ud800', '\x1b[31m', 'strict', 'float16', np.str_('x'), b'x'),
)
_OBJECTS = (
  *(None, object(), len, int, math, ..., _Unprintable(), pathlib.Path('x')),
  *(frozenset({1}), range(3), np.arange(3), np.array(1.0)),
)
_MADE = (  # As they cannot be shared.
  lambda: [1],
  lambda: {1, 2},
  lambda: {1: 2},
  lambda: {'': ()},
  lambda: {'chow': (None,), 'strict': 3},
  lambda: {'token_v3': {'a': 1}, 'chow': (0.1,)},
  lambda: {'confidence': (math.nan,), 'adaptive': ()},
  lambda: {'seed': 2**32, '\ud800': 1},
  lambda: _nested(lambda x: (x,)),
  lambda: _nested(lambda x: {'a': x}),
  lambda: config_dict.placeholder(int),
  lambda: config_dict.FieldReference(3) + 1,
  _failing,
  lambda: ml_collections.ConfigDict({'a': {'b': 1}}),
  lambda: ml_collections.FrozenConfigDict({'chow': (0.1,)}),
)


def _value(rng):
  """A value of some type, or a tuple or dict of such values."""
  kind = rng.randrange(10)
  if kind < 6:
    return rng.choice(rng.choice((_INTEGERS, _FLOATS, _TEXTS)))
  if kind < 8:
    parts = rng.choice((_INTEGERS, _FLOATS, _INTEGERS + _FLOATS))
    return tuple(rng.choice(parts) for _ in range(rng.choice((0, 1, 2, 2_000))))
  return rng.choice(_OBJECTS) if kind < 9 else rng.choice(_MADE)()


def _places(values, depth=3):
  """Every (dict, key) of a config, at a depth that configs have."""
  for key, value in values.items():
    yield values, key
    if isinstance(value, dict) and depth:
      yield from _places(value, depth - 1)


def _spoil(values, rng):
  """Puts one to three faults into a config; returns what they are."""
  told = []
  for _ in range(rng.choice((1, 1, 2, 3))):
    holder, key = rng.choice(list(_places(values)) or [(values, 'seed')])
    kind = rng.randrange(10)
    if kind < 2:
      holder.pop(key, None)
      told.append((key, 'left out'))
      continue
    if kind == 2:
      key = rng.choice(('x', 'Seed', '', 'cells', '../x', 3))
    new, old = _value(rng), holder.get(key)
    if isinstance(old, tuple) and old and kind < 6:
      at = rng.randrange(len(old))
      new = (*old[:at], new, *old[at + 1 :])
    holder[key] = new
    told.append((key, type(new)))
  return told


def _returned(values, rng):
  """What a file returns: a ConfigDict, if it can hold the values."""
  try:
    return ml_collections.ConfigDict(values) if rng.random() < 0.7 else values
  except Exception:
    return values


def _leaves(value):
  if isinstance(value, dict):
    value = (*value, *value.values())
  if not isinstance(value, tuple | list):
    return [value]
  return list(itertools.chain(*map(_leaves, value)))


def _check_accepted(cell, settings):
  """What is let through can be computed with, written and told apart."""
  assert re.fullmatch(r'[\w-][\w.-]*|', cell, re.ASCII)
  values = settings.model_dump()
  assert config.parse(type(settings), values) == settings
  json.dumps(settings.to_dict(), allow_nan=False, ensure_ascii=False).encode()
  assert {type(x) for x in _leaves(values)} <= {*_PLAIN, type(None)}
  for name in {'task_args', 'model'} & values.keys():
    del values[name]  # They are checked by what takes them.
  numbers = [x for x in _leaves(values) if type(x) is float]
  single = np.array(numbers, np.float32)
  assert np.isfinite(single).all()
  tiny = np.abs(single) < np.finfo(np.float32).tiny
  assert (tiny == (np.array(numbers) == 0)).all()
  assert not np.signbit(single[tiny]).any()
  assert all(abs(x) < 2**31 for x in _leaves(values) if type(x) is int)
  if isinstance(settings, sweeps.Sweep):
    every = points.points(points.settings(settings), points.plans(settings))
    assert len({setting.id(plan) for setting, plan in every}) == len(every)
  elif isinstance(settings, training.Train):
    assert np.float32([settings.optimizer.b1, settings.optimizer.b2]).max() < 1
    assert settings.model is None or settings.architecture()
  else:
    assert getattr(settings, 'plans', True)
    assert getattr(settings, 'settings', True)


def _check_refused(kind, faults, error):
  assert type(error) is ValueError
  line = str(error)
  assert line.isprintable()  # A line end is not.
  assert len(line) <= 600
  fields = {'config', 'cells', *kind.model_fields}
  fields |= {str(key) for key, _ in faults if key}
  assert any(field in line for field in fields)


def _tried(kind, values, what):
  """(what it parses to, what refuses it, seconds that this thread took)."""
  parsed, refused, start = None, None, time.thread_time()
  try:
    parsed = _parse(kind, values)
  except ValueError as error:
    refused = error
  except Exception as error:
    raise AssertionError(what) from error
  return parsed, refused, time.thread_time() - start


@pytest.mark.parametrize('part', range(_PARTS))
def test_a_config_is_refused_in_one_line_or_is_right(part):
  number_refused = 0
  for seed in range(part, _NUMBER, _PARTS):
    rng = random.Random(seed)
    name, argument, kind = _FILES[seed // _PARTS % len(_FILES)]
    values = _shipped(name, argument)
    faults = _spoil(values, rng)
    what = seed, name, faults
    values = _returned(values, rng)
    parsed, refused, seconds = _tried(kind, values, what)
    if seconds >= _SECONDS:  # Others' garbage may have been collected then.
      *_, seconds = _tried(kind, values, what)
    assert seconds < _SECONDS, what
    if refused is None:
      for cell, settings in parsed.items():
        _check_accepted(cell, settings)
    else:
      _check_refused(kind, faults, refused)
      number_refused += 1
  assert number_refused > _NUMBER / _PARTS / 2


@pytest.mark.parametrize('seed', [-1, 2**31, 2**32, 2**63, 1.0, True, None])
def test_every_entry_point_refuses_the_same_seeds(seed):
  for name, argument, kind in _FILES:
    values = _shipped(name, argument)
    for own in values.get('cells', {'': values}).values():
      own['seed'] = seed
    with pytest.raises(ValueError, match=rf'seed={seed}: it must be'):
      _parse(kind, values)
