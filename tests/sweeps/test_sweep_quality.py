import dataclasses
import threading

import jax
import numpy as np
import pytest

from speccascade import pairs, sharding, tasks
from speccascade.decoding import schedules
from speccascade.sweeps import batches, outputs, points, quality, served
from speccascade.sweeps import jobs as jobs_lib
from tests.sweeps import fake_decode, tiny_pair


def _setting(method, *values):
  return points.Setting(method, values, 1.0, 1.0, 0, 0)


def test_a_text_is_decoded_once_for_all_plans_unless_it_depends_on_them(
  monkeypatch,
):
  settings = [
    _setting('verifier_alone'),
    _setting('strict'),
    _setting('chow', 0.3),
    _setting('bild_rollback', 1.0),
    _setting('sequence_mean', 0.3),
    _setting('sequence_q10', 0.3),
  ]
  plans = [schedules.Plan(g) for g in (3, 1, 8)]
  plans.append(schedules.Plan(9, 'cost'))
  found = jobs_lib.jobs(settings, plans)
  told = [([s.method for s in j.settings], j.plan, j.keeps) for j in found]
  any_plan = ['strict', 'chow', 'bild_rollback']
  assert told == [
    (['verifier_alone'], None, 'both'),
    (['sequence_mean', 'sequence_q10'], None, 'both'),
    (any_plan, plans[0], 'text'),  # The middle gamma.
    (any_plan, plans[3], 'counts'),
  ]
  assert found[2].id(settings[2]) == settings[2].id()
  assert found[3].id(settings[2]) == settings[2].id(plans[3])

  monkeypatch.setattr(type(settings[3].of), 'plan_changes_text', True)
  found = jobs_lib.jobs(settings, plans)
  own = [j for j in found if settings[3] in j.settings]
  assert [(j.plan, j.keeps) for j in own] == [(p, 'both') for p in plans]
  assert own[1].id(settings[3]) == settings[3].id(plans[1])


@pytest.fixture(scope='module')
def workload(tmp_path_factory):
  pair = pairs.load(tiny_pair.save(tmp_path_factory.mktemp('tiny') / 'pair'))
  return batches.load(pair, tasks.load('word_problems', {}), 'test', 12)


def _job(number, keeps='text'):
  settings = [_setting('strict')]
  settings += [_setting('chow', i / 10) for i in range(1, number)]
  return jobs_lib.Job(tuple(settings), schedules.Plan(2), keeps)


def _done(made):
  """The keys of what is to be decoded."""
  return {unit.job.key(*item) for unit in made for item in unit.items}


def test_new_settings_and_examples_do_not_decode_the_old(workload):
  old, job = _job(3), _job(6)
  few = dataclasses.replace(workload, examples=workload.examples[:9])
  done = _done(quality.missing(few, [old], 12, ()))
  keys = _done(quality.missing(workload, [job], 12, done))
  assert not keys & done
  assert len(keys | done) == 6 * 12


def test_a_run_holds_all_that_is_missing_long_answers_first(workload):
  job = _job(5)
  (run,) = quality.missing(workload, [job], 7, ())
  assert len(run.items) == len(_done([run])) == 5 * 12
  encode = workload.pair.tokenizer.encode
  lengths = [len(encode(workload.examples[e].target)) for _, e in run.items]
  assert lengths == sorted(lengths, reverse=True)
  done = set(sorted(_done([run]))[:31])
  (rest,) = quality.missing(workload, [job], 7, done)
  assert _done([rest]) == _done([run]) - done
  assert not quality.missing(workload, [job], 7, _done([run]))


def test_runs_that_share_programs_follow_each_other(workload):
  settings = [
    _setting(name, *values)
    for name, *values in (
      ('verifier_alone',),
      ('drafter_alone',),
      ('sequence_mean', 0.1),
      ('sequence_mean', 0.9),
      ('sequence_min', 0.5),
      ('token_cascade', 0.5),
      ('strict',),
    )
  ]
  jobs = jobs_lib.jobs(settings, [schedules.Plan(2)])
  made = quality.missing(workload, jobs, 16, ())
  told = [
    [run.job.settings[0].method for run in chain]
    for chain in quality._chains(made)
  ]
  assert sorted(map(sorted, told)) == [
    ['drafter_alone', 'sequence_mean', 'verifier_alone'],
    ['strict'],
    ['token_cascade'],
  ]
  (shared,) = (own for own in told if 'sequence_mean' in own)
  assert shared[-1] == 'sequence_mean'
  programs = [run.programs for run in made]
  assert len(set().union(*programs)) == 4


@pytest.mark.parametrize('batch_size', [1, 2, 3, 5, 7, 100])
def test_slots_are_no_more_than_the_rows_of_a_batch(workload, batch_size):
  settings = [_setting('strict'), _setting('drafter'), _setting('chow', 0.3)]
  settings += [_setting('opt', i / 10) for i in range(1, 9)]
  job = jobs_lib.Job(tuple(settings), schedules.Plan(2), 'text')
  made = quality.missing(workload, [job], batch_size, ())
  assert len(_done(made)) == sum(len(run.items) for run in made) == 11 * 12
  number = 0
  for run in made:
    slots, _, _, bundles = served.ask(
      workload, run.items, job.plan, run.rows, run.width
    )
    assert slots.rows == sum(slots.groups) <= batch_size
    assert min(slots.groups) >= 1
    ordered = sum(bundles, [])
    assert sorted(map(repr, ordered)) == sorted(map(repr, run.items))
    for own in bundles:
      assert len({(s.method, e) for s, e in own}) == 1
    number += len(bundles)
  assert number == 4 * 12  # A prompt's answers of a method are one.


@pytest.mark.parametrize(('rows', 'slots'), [(640, 51), (64, 5), (3, 2)])
def test_the_caches_of_wide_prompts_take_no_more_memory(workload, rows, slots):
  """But two methods have two slots, and so one program."""
  lengths = np.array([20] * 6 + [3000] * 6)
  wide = dataclasses.replace(workload, length_E=lengths)
  narrow, long = made = quality.missing(wide, [_job(5)], rows, ())
  assert len(_done(made)) == sum(len(run.items) for run in made) == 5 * 12
  assert (narrow.width, narrow.rows) == (128, rows)
  assert (long.width, long.rows) == (3072, slots)
  held = workload.task.max_new_tokens
  if slots > 2:
    assert slots * (3072 + held) <= rows * (128 + held)


@pytest.mark.parametrize(
  ('rows', 'ways', 'slots'),
  [(640, 8, 48), (64, 2, 4), (64, 4, 4), (64, 8, 8), (3, 2, 2), (3, 8, 3)],
)
def test_devices_divide_the_slots(workload, monkeypatch, rows, ways, slots):
  """Where there are as many, which would be 51, 5 and 2 else."""
  monkeypatch.setattr(sharding, 'rows_over', lambda _: ways)
  lengths = np.array([20] * 6 + [3000] * 6)
  wide = dataclasses.replace(workload, length_E=lengths)
  _, long = made = quality.missing(wide, [_job(5)], rows, ())
  assert len(_done(made)) == sum(len(run.items) for run in made) == 5 * 12
  assert long.rows == slots


@pytest.fixture
def decoder(monkeypatch):
  return fake_decode.Decoder(monkeypatch)


def _collect(workload, job, folder):
  logs, done = outputs.read(folder, jobs_lib.forms(workload, [job]))
  missing = quality.missing(workload, [job], 6, done)
  kept = list(quality.decode(workload, missing, logs, done))
  keys = [key for own in kept for key in own.keys]
  assert len(keys) == len(set(keys))
  assert set(keys) == _done(missing)
  return jobs_lib.collect([job], done, 12)


def test_what_is_missing_is_decoded_and_each_line_is_kept_once(
  workload, decoder, tmp_path
):
  job = _job(3)
  texts, counted = found = _collect(workload, job, tmp_path)
  assert not counted
  assert list(texts) == [s.id() for s in job.settings]
  for lines in texts.values():
    assert [x['example'] for x in lines] == list(range(12))
    for line in lines:
      assert line['tokens'] == len(line['from_drafter'])
  kept = {p.name: p.read_text() for p in tmp_path.iterdir()}
  assert {n: len(t.splitlines()) for n, t in kept.items()} == {
    'strict.jsonl': 12,
    'chow.jsonl': 24,
  }

  decoder.calls.clear()
  assert _collect(workload, job, tmp_path) == found
  assert not decoder.calls
  # A lost file and a torn line are made again, other lines are not repeated.
  (tmp_path / 'strict.jsonl').unlink()
  whole = kept['chow.jsonl'].splitlines(keepends=True)
  (tmp_path / 'chow.jsonl').write_text(''.join(whole[:-1]) + whole[-1][:9])
  assert _collect(workload, job, tmp_path) == found
  for name, text in kept.items():
    again = (tmp_path / name).read_text()
    assert sorted(again.splitlines()) == sorted(text.splitlines())


def test_texts_and_counts_are_found_by_point(workload, decoder, tmp_path):
  job = jobs_lib.Job(_job(2).settings, schedules.Plan(1, 'adaptive'), 'counts')
  texts, counted = _collect(workload, job, tmp_path)
  assert not texts
  assert list(counted) == [s.id(job.plan) for s in job.settings]
  assert 'text' not in counted['strict-g1-adaptive-t1-p1-k0-s0'][0]
  job = jobs_lib.Job((_setting('verifier_alone'),), None, 'both')
  texts, counted = _collect(workload, job, tmp_path)
  (lines,) = texts.values()
  assert 'from_drafter' not in lines[0]


def _chains(number):
  """Runs of programs of their own."""
  jobs = [
    jobs_lib.Job((_setting('chow', n / 9),), schedules.Plan(n + 1), 'text')
    for n in range(number)
  ]
  return [
    quality.Run(job, tuple((job.settings[0], e) for e in range(3)), 3, 128)
    for job in jobs
  ]


@pytest.mark.parametrize(
  ('backend', 'processes', 'most'),
  [('cpu', 1, 3), ('cpu', 2, 1), ('gpu', 1, 1), ('tpu', 1, 1)],
)
def test_programs_run_side_by_side_on_the_cpu_of_one_process_alone(
  workload, monkeypatch, backend, processes, most
):
  """Chips hold the slots of one; processes of a job decode in one order."""
  monkeypatch.setattr(jax, 'default_backend', lambda: backend)
  monkeypatch.setattr(jax, 'process_count', lambda: processes)
  monkeypatch.setattr(quality, '_SIDE_BY_SIDE', 3)
  at_once = threading.Barrier(most)
  running, peaks = [], []

  def results(workload, run):
    running.append(run)
    at_once.wait(60)  # As many as may run do,
    threading.Event().wait(0.05)  # and no more begin.
    peaks.append(len(running))
    at_once.wait(60)
    running.remove(run)
    return iter(())

  monkeypatch.setattr(quality, '_results', results)
  list(quality.decode(workload, _chains(6), {}, {}))
  assert set(peaks) == {most}


@pytest.mark.parametrize('keeping', [False, True])
@pytest.mark.parametrize('processes', [1, 2])
def test_an_error_is_told_at_once_and_nothing_else_begins(
  workload, decoder, tmp_path, monkeypatch, processes, keeping
):
  """Another process of the job may never end what it is at."""
  monkeypatch.setattr(jax, 'process_count', lambda: processes)
  monkeypatch.setattr(quality, '_SIDE_BY_SIDE', 2)
  runs = _chains(6)
  begun, left, goes_on = [], threading.Event(), threading.Event()

  def results(workload, run):
    begun.append(run)
    if len(begun) == 2:
      left.set()
      assert goes_on.wait(60)
    yield from decoded(workload, run)
    if len(begun) == 1 and processes == 2:
      left.set()
    assert left.wait(60)
    if not keeping:
      raise ValueError('failed')

  def keep(*_):
    assert left.wait(60)
    if keeping:
      raise ValueError('failed')
    return []

  decoded = quality._results
  monkeypatch.setattr(quality, '_results', results)
  monkeypatch.setattr(quality, '_keep', keep)
  logs = dict.fromkeys(['chow'])
  with pytest.raises(ValueError, match='^failed'):
    list(quality.decode(workload, runs, logs, {}))
  goes_on.set()
  assert len(begun) == 3 - processes


def test_what_was_decoded_before_a_model_fails_is_kept(
  workload, decoder, tmp_path, monkeypatch
):
  def serve(*rest):
    for n, ended in enumerate(decoder.serve(*rest)):
      if n == 2:
        raise ValueError('the verifier gave NaN')
      yield ended

  monkeypatch.setattr(served, 'decode', serve)
  with pytest.raises(ValueError, match='the verifier gave NaN'):
    _collect(workload, _job(3), tmp_path)
  texts = [x.read_text() for x in tmp_path.iterdir()]
  assert sum(len(text.splitlines()) for text in texts) == 2 * 6
