import json

import numpy as np
import pytest

from speccascade import pairs, tasks
from speccascade.decoding import results, schedules
from speccascade.sweeps import batches, points, quality
from tests.sweeps import tiny_pair


def _output(score, from_drafter, deferred):
  return {
    'score': score,
    'statistics': [score, 1],
    'tokens': len(from_drafter),
    'from_drafter': from_drafter,
    'deferred': deferred,
    'divergence': deferred / 2,
  }


def _setting(method, *values):
  return points.Setting(method, values, 1.0, 1.0, 0, 0)


def _counts(outputs, method, plan=None, counted=None):
  return quality.summarise(
    outputs, 'exact_match', _setting(method, 0.5), plan, counted
  )['counts']


def test_summary_of_three_ragged_outputs_by_hand():
  outputs = [
    _output(1.0, '1101', 1),  # Blocks of gamma 1: 11, 0, 1.
    _output(0.0, '00', 2),  # 0, 0.
    _output(1.0, '11111', 0),  # 11, 11, 1.
  ]
  record = quality.summarise(
    outputs, 'exact_match', _setting('token_v3', 0.5), schedules.Plan(1)
  )
  assert record['counts'] == {
    'tokens': 11,
    'verifier_calls': 8,
    'drafter_steps': 16,
    'drafted': 16,
    'accepted': 8,
    'rejected': 3,
    'deferred': 3,
    'divergence': 1.5,
    'accepted_lengths': [3, 2, 3],
  }
  assert record['quality'] == pytest.approx(2 / 3)
  assert record['example_statistics'] == [[1.0, 1], [0.0, 1], [1.0, 1]]
  assert record['example_tokens'] == [4, 2, 5]
  assert record['example_rejected'] == [1, 2, 0]
  # The bootstrap's variance is p (1 - p) / 3, off by sqrt(1 / 800) = 3.5 % as
  # it has 400 resamples.
  assert record['quality_stderr'] == pytest.approx((2 / 27) ** 0.5, rel=0.14)
  assert record['output_length'] == pytest.approx(11 / 3)
  assert record['block_efficiency'] == pytest.approx(11 / 8)
  assert record['rejection_rate'] == pytest.approx(3 / 11)


def test_summary_of_a_model_alone_counts_its_own_calls():
  outputs = [
    {'statistics': [1.0, 1], 'tokens': 5},
    {'statistics': [0.0, 1], 'tokens': 7},
  ]
  counts = _counts(outputs, 'drafter_alone')
  assert (counts['drafter_steps'], counts['verifier_calls']) == (12, 0)
  counts = _counts(outputs, 'verifier_alone')
  assert (counts['drafter_steps'], counts['verifier_calls']) == (0, 12)


def test_summary_of_a_schedule_and_of_a_sequential_cascade():
  outputs = [_output(1.0, '1101', 1), _output(0.0, '00', 2)]
  counted = [
    {'verifier_calls': 3, 'drafter_steps': 5, 'accepted_lengths': [1, 1, 1]},
    {'verifier_calls': 2, 'drafter_steps': 4, 'accepted_lengths': [2, 0, 0]},
  ]
  plan = schedules.Plan(1, 'cost')
  scheduled = _counts(outputs, 'chow', plan, counted)
  assert _counts(outputs, 'token_cascade', None, counted) == scheduled
  assert scheduled == {
    'tokens': 6,
    'verifier_calls': 5,
    'drafter_steps': 9,
    'drafted': 9,
    'accepted': 3,
    'rejected': 3,
    'deferred': 3,
    'divergence': 1.5,
    'accepted_lengths': [3, 1, 1],
  }


def test_a_text_is_decoded_once_for_all_plans_unless_it_depends_on_them(
  monkeypatch,
):
  settings = [
    _setting('verifier_alone'),
    _setting('strict'),
    _setting('chow', 0.3),
    _setting('bild_rollback', 1.0),
  ]
  plans = [schedules.Plan(g) for g in (3, 1, 8)]
  plans.append(schedules.Plan(9, 'cost'))
  found = quality.jobs(settings, plans)
  told = [([s.method for s in j.settings], j.plan, j.keeps) for j in found]
  any_plan = ['strict', 'chow', 'bild_rollback']
  assert told == [
    (['verifier_alone'], None, 'both'),
    (any_plan, plans[0], 'text'),  # The middle gamma.
    (any_plan, plans[3], 'counts'),
  ]
  assert found[1].id(settings[2]) == settings[2].id()
  assert found[2].id(settings[2]) == settings[2].id(plans[3])

  monkeypatch.setattr(type(settings[3].of), 'plan_changes_text', True)
  found = quality.jobs(settings, plans)
  own = [j for j in found if settings[3] in j.settings]
  assert [(j.plan, j.keeps) for j in own] == [(p, 'both') for p in plans]
  assert own[1].id(settings[3]) == settings[3].id(plans[1])


@pytest.mark.parametrize(
  ('settings', 'rows', 'sizes'),
  [(9, 4, [3, 3, 3]), (4, 4, [4]), (5, 4, [3, 2])],
)
def test_settings_beyond_a_batch_are_decoded_in_equal_parts(
  settings, rows, sizes
):
  parts = quality._parts(list(range(settings)), rows)
  assert [len(part) for part in parts] == sizes
  assert sum(parts, []) == list(range(settings))


def test_batches_have_one_size_and_count_each_example_once():
  batches_ = list(batches.split([5, 3, 4, 0, 1], 2))
  assert [index.tolist() for index, _ in batches_] == [[5, 3], [4, 0], [1, 5]]
  assert [count for _, count in batches_] == [2, 2, 1]
  ((index_P, count),) = batches.split([2, 1], 8)
  assert (index_P.tolist(), count) == ([2, 1], 2)


@pytest.fixture(scope='module')
def workload(tmp_path_factory):
  pair = pairs.load(tiny_pair.save(tmp_path_factory.mktemp('tiny') / 'pair'))
  return batches.load(pair, tasks.load('word_problems', {}), 'test', 5)


def _fake_decode(decoded, limit):
  """Rows that tell which example and setting they are of."""

  def decode(workload, prompts, settings, plan):
    assert prompts.rows <= limit
    decoded.append((tuple(settings), plan, np.asarray(prompts.example_P)))
    P = len(prompts.length_P)
    length_B = np.array([1 + s % 2 for s in range(len(settings))]).repeat(P)
    token_BxN = 4 + np.tile(prompts.example_P, prompts.copies)[:, None] % 8
    zero_B = np.zeros(prompts.rows)
    return results.Result(
      np.tile(token_BxN, 2),
      length_B,
      np.ones((prompts.rows, 2), bool),
      results.Counts(*(zero_B.astype(int),) * 6, zero_B, zero_B[:, None]),
    )

  return decode


def test_what_is_missing_is_decoded_and_each_line_is_kept_once(
  workload, monkeypatch, tmp_path
):
  settings = [
    _setting('strict'), _setting('chow', 0.1), _setting('chow', 0.2),
  ]  # fmt: skip
  job = quality.Job(tuple(settings), schedules.Plan(2), 'text')
  decoded, units = [], []
  monkeypatch.setattr(batches, 'decode', _fake_decode(decoded, limit=6))
  collect = lambda: quality.collect(workload, job, 6, tmp_path, units.append)  # noqa: E731
  found = collect()
  assert len(decoded) == 3  # Two prompts a batch of three settings.
  assert sum(units) == 15
  assert list(found) == [s.id() for s in settings]
  for s, setting in enumerate(settings):
    lines = found[setting.id()]
    assert [x['example'] for x in lines] == list(range(5))
    assert {x['tokens'] for x in lines} == {1 + s % 2}
    texts = [workload.pair.tokenizer.decode([4 + i % 8]) for i in range(5)]
    if s != 1:
      assert [x['text'] for x in lines] == texts
  kept = {p.name: p.read_text() for p in tmp_path.iterdir()}
  assert {n: len(t.splitlines()) for n, t in kept.items()} == {
    'strict.jsonl': 5,
    'chow.jsonl': 10,
  }

  decoded.clear()
  assert collect() == found  # Nothing is decoded again.
  assert not decoded
  # A lost file and a torn line are made again, other lines are not repeated.
  (tmp_path / 'strict.jsonl').unlink()
  whole = kept['chow.jsonl'].splitlines(keepends=True)
  (tmp_path / 'chow.jsonl').write_text(''.join(whole[:-1]) + whole[-1][:9])
  assert collect() == found
  for name, text in kept.items():
    again = (tmp_path / name).read_text()
    assert sorted(again.splitlines()) == sorted(text.splitlines())


def test_nan_is_told(workload, monkeypatch, tmp_path):
  job = quality.Job((_setting('strict'),), schedules.Plan(2), 'text')
  decode = _fake_decode([], limit=6)

  def broken(*args):
    result = decode(*args)
    counts = result.counts.replace(divergence_B=np.array([0, np.nan, 0, 0, 0]))
    return result.replace(counts=counts)

  monkeypatch.setattr(batches, 'decode', broken)
  with pytest.raises(ValueError, match='a model of pair pair gave NaN'):
    quality.collect(workload, job, 6, tmp_path, lambda n: None)


def test_a_torn_last_output_is_not_read(tmp_path):
  path = tmp_path / 'strict.jsonl'
  whole = json.dumps({'id': 'a', 'example': 0, 'score': 1.0})
  path.write_text(whole + '\n' + whole[:-5])
  assert list(quality._read(path)) == [('a', 0)]
