"""Tests of the grouping and naming of points, and of their CSV."""

import csv
import io
import math

import pytest

from speccascade.reports.render import tables
from speccascade.reports.stats import points
from tests.reports import synthetic


def test_sampling_groups_and_names(make_record):
  records = [
    make_record('strict', gamma=1, temperature=1.0),
    make_record('strict', gamma=1, temperature=0.0),
    make_record('strict', gamma=1, temperature=1.0, top_p=0.9, top_k=40),
    make_record('strict', gamma=3, temperature=1.0),
  ]
  groups = points.by_sampling(records)
  assert {str(s): len(group) for s, group in groups.items()} == {
    'temperature 0': 1,
    'temperature 1, top-p 0.9, top-k 40': 1,
    'temperature 1': 2,
  }
  assert next(iter(groups)).temperature == 0


def test_numbers_that_differ_are_told_apart(make_record):
  numbers = [0.0, 1, 1.0, 0.5, 1e-9, 0.1 + 0.2, 0.3, 123456789]
  texts = '0 1 1 0.5 1e-09 0.30000000000000004 0.3 123456789'.split()
  assert list(map(points.number, numbers)) == texts
  record = make_record(
    'a', 0.5, 5, schedule='cost', schedule_parameter=0.30000001
  )
  assert points.plan(record) == 'cost 0.30000001 ≤ 5'
  sampling = points.sampling(record | {'temperature': 0.30000001, 'top_p': 0.9})
  assert str(sampling) == 'temperature 0.30000001, top-p 0.9'


def test_methods_keep_their_order_after_the_models(sweep):
  order = ['verifier_alone', 'drafter_alone']
  order += ['strict', 'token_v3', 'drafter', 'opt']
  assert list(points.by_method(sweep[2:] + sweep[:2])) == order


@pytest.mark.parametrize(
  ('parameters', 'expected'),
  [
    ({}, ''),
    ({'alpha': 0.5}, 'α 0.5'),
    ({'alpha': 0.5, 'beta': 2}, 'α 0.5, β 2'),
    ({'tau': 0.125, 'window': 3}, 'τ 0.125, window 3'),
    ({'alpha': 0.30000001}, 'α 0.30000001'),  # Another point than 0.3.
  ],
)
def test_parameters(make_record, parameters, expected):
  record = make_record('any', parameters, 5)
  assert points.parameters(record) == expected
  assert points.values(record) == tuple(parameters.values())


@pytest.mark.parametrize('plan_changes_text', [False, True])
def test_the_key_of_a_text(make_record, plan_changes_text):
  trait = dict(plan_changes_text=plan_changes_text)
  make = lambda **kw: make_record(  # noqa: E731
    'a', {'alpha': 0.5, 'beta': kw.pop('beta', 2)}, kw.pop('gamma', 5), **kw
  )
  key = points.text(make(**trait))
  assert points.text(make(**trait, quality=0.1)) == key
  for plan in (
    dict(gamma=3), dict(schedule='cost'), dict(schedule_parameter=0.5)
  ):  # fmt: skip
    assert (points.text(make(**trait, **plan)) == key) != plan_changes_text
  for other in (dict(beta=1), dict(temperature=1.0), dict(top_p=0.5)):
    assert points.text(make(**trait, **other)) != key


def test_latency(make_record):
  record = make_record('strict', gamma=1, latency=[0.2, 0.4, 0.6])
  assert points.relative_latency(record) == pytest.approx(0.4)
  assert points.speedup(record) == pytest.approx(2.5)
  assert points.latency_error(record) == pytest.approx(0.2 / math.sqrt(3))
  one = make_record('strict', gamma=1, latency=[0.2])
  assert math.isnan(points.latency_error(one))


def test_the_verifier_beside_a_point_is_that_of_its_turns():
  alone = synthetic.record('verifier_alone')
  old = synthetic.record('opt', 0.1, 5)
  assert points.verifier_beside(old, alone) is alone
  own = old | {
    'verifier_seconds': [5.0, 6.0, 7.0],
    'verifier_example_seconds': [2.0, 4.0],
  }
  beside = points.verifier_beside(own, alone)
  assert beside == alone | {
    'seconds': [5.0, 6.0, 7.0],
    'example_seconds': [2.0, 4.0],
  }


def test_csv_has_every_record_and_number(make_record):
  records = [
    make_record('verifier_alone', quality=0.9),
    make_record('opt', 0.25, 5, quality=0.8, latency=[0.25, 0.75]),
  ]
  text = tables.csv(*points.columns_and_rows(records))
  rows = list(csv.DictReader(io.StringIO(text)))
  assert [row['method'] for row in rows] == ['verifier_alone', 'opt']
  turned = [dict(reversed(record.items())) for record in records]
  assert points.columns_and_rows(turned)[0] == list(rows[0])
  assert (
    rows[0]['parameters.alpha']
    == rows[0]['gamma']
    == rows[0]['strict_seconds']
    == ''
  )
  assert rows[1]['parameters.alpha'] == '0.25'
  assert rows[1]['traits.lossless'] == 'False'
  assert not [column for column in rows[0] if 'example_' in column]
  assert rows[1]['relative_latency'] == '0.25 0.75'
  assert rows[1]['speedup'] == '2.0'
  assert rows[1]['counts.rejected'] == '125'
  assert rows[1]['counts.accepted_lengths'] == '0 1 2'
  assert rows[1]['versions.jax'] == '0.10.2'
  assert rows[1]['device'] == 'cpu (AMD EPYC), 2 cores'
