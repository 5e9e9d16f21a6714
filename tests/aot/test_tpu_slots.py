"""Continuous batching, compiled for four chips that are not there."""

import dataclasses
import importlib.util

import pytest

from speccascade.aot import fit, program, traffic
from tests.aot import test_tpu_program as small

pytestmark = [
  pytest.mark.skipif(
    importlib.util.find_spec('libtpu') is None, reason='needs libtpu'
  ),
  pytest.mark.usefixtures('libtpu'),
]
S = 4096  # So that slots do not fit the chips' fast memory.


def _narrow(layers):
  """Reads prompts into a cache whose heads are narrower than tiles."""
  return dataclasses.replace(small._gemma(layers), head_dim=64)


@pytest.fixture(
  scope='module',
  params=[
    (small._gemma, 'fixed', 'token_v3', 4),  # Branches.
    *(  # Of narrow heads, too.
      pytest.param((x, 'fixed', 'token_v3', 1), marks=pytest.mark.thorough)
      for x in (small._t5, small._gemma, _narrow)
    ),
    # Where it does not draft, a drafter's cache lags and catches up.
    pytest.param((small._gemma, 'load', 'strict', 1), marks=pytest.mark.large),
  ],
  ids=lambda x: '-'.join([x[0].__name__, *map(str, x[1:])]),
)
def compiled(libtpu, request):
  """(cell, the program of a call, what it is, by what it moves)."""
  del libtpu
  make, *asked = request.param
  cell = dataclasses.replace(small._cell(make, 1), prompt=S)
  made, text = fit.compiled(program.served(cell, 32, *asked))
  return cell, made, traffic.Program(text)


def test_no_transfer_to_the_host(compiled):
  assert compiled[2].host_transfers() == []


def test_slots_are_written_in_place(compiled):
  """No layer of one is copied, in a loop or where a call begins or ends."""
  cell, _, own = compiled
  layer = 2 * S * _numbers(cell.drafter) // 4
  assert own.copies(layer, own.module.entry) == []


def test_a_call_takes_the_memory_of_the_one_before(compiled):
  """Slots are donated, and little is held beside them."""
  cell, made, _ = compiled
  needs = made.memory_analysis()
  assert needs.alias_size_in_bytes > _slots(cell) / 4
  assert needs.temp_size_in_bytes < 0.05 * needs.argument_size_in_bytes


def test_slots_stay_where_they_are(compiled):
  """What is gathered is of prompts that are read, not of the slots."""
  cell, _, own = compiled
  moved = own.of(own.body(fit.main_loop(own))).collectives
  assert 0 < moved['all-gather'] < _slots(cell) / 4
  assert moved['all-to-all'] < _slots(cell) / 4
  # Rows are divided, too, where heads are too few.
  assert (moved['all-to-all'] > 0) == (_heads(cell.drafter) < 4)


def _slots(cell):
  """Bytes of their keys and values, of all devices."""
  return 2 * sum(
    2 * x.num_layers * cell.batch * S * _numbers(x)
    for x in (cell.drafter, cell.verifier)
  )


def _numbers(model):
  """Of a layer's keys of a token."""
  return _heads(model) * model.head_dim


def _heads(model):
  return getattr(model, 'num_kv_heads', model.num_heads)
