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
S = 4096


@pytest.fixture(
  scope='module',
  params=[
    (small._gemma, 'fixed', 'token_v3', 4),  # Branches.
    (small._t5, 'fixed', 'token_v3', 1),  # Heads narrower than tiles.
    pytest.param(
      (small._gemma, 'fixed', 'token_v3', 1), marks=pytest.mark.thorough
    ),
    # Where it does not draft, a drafter's cache lags and catches up.
    pytest.param((small._gemma, 'load', 'strict', 1), marks=pytest.mark.large),
  ],
  ids=lambda x: '-'.join([x[0].__name__, *map(str, x[1:])]),
)
def loop(libtpu, request):
  """(cell, its program, the loop's body)."""
  del libtpu
  make, *asked = request.param
  cell = dataclasses.replace(small._cell(make, 1), prompt=S)
  lowered = program.served(cell, 32, *asked)
  own = traffic.Program(fit.compiled(lowered)[1])
  return cell, own, own.body(fit.main_loop(own))


def test_no_transfer_to_the_host(loop):
  assert loop[1].host_transfers() == []


def test_slots_are_written_in_place(loop):
  """No layer of a slot is copied, in any loop within; nor is as much else."""
  cell, own, body = loop
  assert own.copies(2 * S * _numbers(cell.verifier) // 2, body) == []


def test_slots_are_handed_to_the_next_call_as_they_lie(loop):
  """No layer is copied where a call begins or ends."""
  cell, own, _ = loop
  size = 2 * S * _numbers(cell.drafter) // 4
  assert own.copies(size, own.module.entry) == []


def _numbers(model):
  """Of a layer's keys of a token."""
  return getattr(model, 'num_kv_heads', model.num_heads) * model.head_dim


def test_slots_stay_where_they_are(loop):
  """What is gathered is of prompts that are read, not of the slots."""
  cell, own, body = loop
  layers, rows = cell.drafter.num_layers, cell.batch
  slots = 2 * 2 * layers * rows * S * _numbers(cell.drafter)
  moved = own.of(body).collectives
  assert 0 < moved['all-gather'] < 2 * slots
  assert moved['all-to-all'] < 2 * slots
  # Rows are divided, too, where heads are too few.
  few = getattr(cell.drafter, 'num_kv_heads', 4) < 4
  assert few == (moved['all-to-all'] > 0)
