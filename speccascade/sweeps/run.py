"""A sweep from its config to its records; killed or grown, it goes on.

Outputs and turns are only ever added; records are made of them. A config with
other points, or other numbers of examples, timed examples and trials, takes
what is there, decodes and times what is missing, and makes those records anew
that do not compare with the rest.
"""

import contextlib
import dataclasses
import functools
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import jax
from etils import epath

from speccascade import hosts, tasks
from speccascade.decoding import blocks, schedules
from speccascade.runs import (
  environment,
  memory,
  process,
  profiling,
  progress,
  records,
)
from speccascade.runs import workdir as workdir_lib
from speccascade.storage import files
from speccascade.sweeps import (
  batches,
  identity,
  latency,
  outputs,
  points,
  quality,
  record,
  scalars,
)
from speccascade.sweeps import config as config_lib
from speccascade.sweeps import jobs as jobs_lib
from speccascade.timing import costs as costs_lib

_RECORDS = 'records.jsonl'
# A timed decoding counts as much as so many outputs in the progress bar.
_TIMED = 4
# Seconds that what is at hand may take after SIGTERM; launchers wait for 30.
_GRACE = 20.0


def run_all(
  sweeps: Mapping[str, config_lib.Sweep],
  workdir: epath.PathLike,
  profile: profiling.Profile | None = None,
) -> list[dict[str, Any]]:
  """Runs a sweep, or several, each in a folder of its own.

  Args:
    sweeps: {name of a folder in `workdir`: Sweep}, '' for `workdir` itself.
    workdir: folder; the same one resumes.
    profile: of the first batch of each that drafts.

  Returns:
    All records, in order.

  Raises:
    ValueError: as `run`, for any of them before one is decoded.
  """
  asked = hashlib.sha256(str(profile is not None).encode()).digest()
  hosts.check_alike({'--profile_dir': asked})
  with contextlib.ExitStack() as stack:
    begun, owners = {}, {}
    for name, sweep in sweeps.items():
      own = _begin(sweep, epath.Path(workdir) / name)
      begun[name] = stack.enter_context(own)
      key = begun[name].load.pair.name, sweep.task
      if (other := owners.setdefault(key, name)) != name:
        raise ValueError(
          f'cells {other} and {name} have pair {key[0]} and task {key[1]}, '
          'which one report cannot tell apart; sweep one on its own'
        )
    found = []
    for name, own in begun.items():
      named = profile and functools.partial(profile, name or 'sweep')
      found += _measure(own, named)
      # Each program maps memory, and the system grants a process only so many
      # maps: those of many plans and prompt widths come near to it.
      jax.clear_caches()
    return found


def run(
  sweep: config_lib.Sweep, workdir: epath.PathLike
) -> list[dict[str, Any]]:
  """Measures what `workdir` lacks of a sweep's points.

  Writes to `workdir`: config.json, environment.json and examples.jsonl (what
  results depend on), costs.json, outputs/ (every generated text with its
  score), timings.jsonl (the turns), records.jsonl (a point a line) and events
  for TensorBoard. Each line is appended as soon as it is known.

  Args:
    sweep: Sweep.
    workdir: folder of this sweep; the same one resumes.

  Returns:
    All records: those of the sweep's points, in order, and those of points of
    earlier configs that compare with them.

  Raises:
    ValueError: the pair or task is not there or does not fit, `workdir` was
      created with other examples, settings, code or weights or on another
      machine, or another process writes to it.
  """
  with _begin(sweep, workdir) as begun:
    return _measure(begun)


@dataclasses.dataclass(frozen=True)
class _Begun:
  """A sweep whose workdir is claimed and locked."""

  sweep: config_lib.Sweep
  workdir: epath.Path
  load: batches.Workload
  environment: dict


@contextlib.contextmanager
def _begin(sweep, workdir) -> Iterator[_Begun]:
  """Loads what a sweep names and holds its workdir; see `run`."""
  task = tasks.load(sweep.task, sweep.task_args)
  config_lib.check_gammas(sweep, task)
  load = batches.load(
    sweep.load_pair(),
    task,
    sweep.split,
    sweep.num_examples,
    sweep.max_prompt_tokens,
  )
  load = dataclasses.replace(load, asked=sweep.asked)
  workdir = epath.Path(workdir)
  described = environment.describe()
  with workdir_lib.sole(workdir) as workdir:
    identity.claim(sweep, load.pair, task, load.examples, described, workdir)
    hosts.check_alike(identity.digests(workdir))
    yield _Begun(sweep, workdir, load, described)


def _measure(begun, profile=None):
  """Measures what is missing and returns all records."""
  sweep, workdir, load = begun.sweep, begun.workdir, begun.load
  memory.tell('with the models loaded')
  settings, plans = points.settings(sweep), points.plans(sweep)
  samplings = [
    points.points([s for s in settings if s.sampling == sampling], plans)
    for sampling in dict.fromkeys(s.sampling for s in settings)
  ]
  # All that the workdir holds is read, and so checked, before work begins.
  old = records.read(workdir / _RECORDS)
  costs = costs_lib.read(workdir / 'costs.json')
  jobs = jobs_lib.jobs(settings, plans, costs)
  logs, done = outputs.read(
    files.folder(workdir / 'outputs'), jobs_lib.forms(load, jobs)
  )
  timings, taken = latency.read(workdir / 'timings.jsonl')
  turns = [
    latency.missing(own, sweep.latency_examples, sweep.trials, taken)
    for own in samplings
  ]
  missing = quality.missing(load, jobs, sweep.batch_size, done)
  widths = _widths(load, sweep)
  _announce(load, missing, turns, _cost_programs(costs, plans, widths))
  load = _with_costs(load, costs, plans, widths, workdir / 'costs.json')
  jobs = jobs_lib.jobs(settings, plans, load.costs)
  missing = quality.missing(load, jobs, sweep.batch_size, done)
  if profile is not None:
    first = _first_that_drafts(load, jobs, sweep.batch_size)
    profile(functools.partial(quality.start, load, first))
  total = sum(len(unit.items) for unit in missing)
  total += sum(len(turn.points) * _TIMED for own in turns for turn in own)
  with contextlib.ExitStack() as stack:
    is_terminated = stack.enter_context(_deferred_termination())

    def advance(units):
      bar.advance(units)
      if is_terminated():
        raise process.Terminated('the same command goes on')

    for log in (*logs.values(), timings):
      stack.enter_context(log)
    board = stack.enter_context(
      scalars.Scalars(workdir, load.task.metric, jobs, sweep.num_examples)
    )
    board.add_outputs(done, list(done))
    bar = stack.enter_context(progress.Progress(total, 'units'))
    for n, kept in enumerate(quality.decode(load, missing, logs, done)):
      bar.describe(kept.job.label)
      board.add_outputs(done, kept.keys)
      board.flush()
      if not n:
        memory.tell('after the first answers')
      advance(len(kept.keys))
    texts, counted = jobs_lib.collect(jobs, done, sweep.num_examples)
    kept = _keep(begun, load.costs, old, samplings, turns)
    table = stack.enter_context(records.log(workdir / _RECORDS))
    board.add_records(table.lines)
    for own, own_turns in zip(samplings, turns, strict=True):
      temperature, top_p = own[0][0].sampling
      bar.describe(f'latency at temperature {temperature:g}, top-p {top_p:g}')
      latency.measure(load, own_turns, timings, lambda n: advance(n * _TIMED))
      new = [point for point in own if point[0].id(point[1]) not in kept]
      made = [
        record.make(sweep, load, point, texts, counted, taken)
        | begun.environment
        for point in new
      ]
      if made:  # Scalars first: where all records are, they are, too.
        board.add_records(made)
        board.flush()
        table.append(made)
      advance(0)
  return _in_order(workdir / _RECORDS, samplings)


def _deferred_termination():
  """As `process.deferred_termination`; several processes all end at once.

  What one of them finished alone the others would wait for.
  """
  if hosts.is_several():
    return contextlib.nullcontext(lambda: False)
  return process.deferred_termination(_GRACE)


def _first_that_drafts(load, jobs, batch_size):
  """A run as a new sweep has it, whatever is done."""
  found = quality.missing(load, jobs, batch_size, ())
  return next(run for run in found if run.job.plan is not None)


def _announce(load, missing, turns, others):
  """Prints how many programs there are to compile."""
  found = set().union(*(unit.programs for unit in missing))
  found.update(*(latency.programs(load, own) for own in turns))
  if number := len(found) + others:
    print(f'{number} program{"s" * (number > 1)} to compile', flush=True)


def _keep(begun, costs, old, samplings, turns):
  """Leaves the records that compare with those to come; returns their ids.

  A kill before this leaves the records of the sweep as it was, all of them.
  """
  sweep, path = begun.sweep, begun.workdir / _RECORDS
  frame = record.frame(sweep, begun.load)
  named = {s.id(plan): plan for own in samplings for s, plan in own}
  timed = {
    s.id(plan) for own in turns for turn in own for s, plan in turn.points
  }
  kept = [
    r
    for r in old
    if record.compares(r, frame, sweep.trials)
    and r['id'] not in timed
    and (
      r['id'] not in named
      or r['costs'] == record.of_costs(costs, named[r['id']])['costs']
    )
  ]
  ids = {r['id'] for r in kept}
  if aside := [r for r in old if r['id'] not in ids | named.keys()]:
    print(
      f'{len(aside)} records of points that this config does not name have '
      'other examples, timed examples or trials and are left out; what they '
      'were made of stays',
      flush=True,
    )
  if len(kept) < len(old):
    records.write(path, kept)
  return ids


def _in_order(path, samplings):
  """The records in the order of the points, others last."""
  found = records.read(path)
  order = [s.id(plan) for own in samplings for s, plan in own]
  place = {name: i for i, name in enumerate(order)}
  ordered = sorted(found, key=lambda r: place.get(r['id'], len(place)))
  if ordered != found:
    records.write(path, ordered)
  return ordered


def _widths(load, sweep):
  """Widths of the prompts that are timed."""
  return [
    batches.padded(length) for length in load.length_E[: sweep.latency_examples]
  ]


def _block_widths(plans):
  """Widths of all blocks that the verifier may be given, 1 among them."""
  found = {1}
  for plan in plans:
    found |= set(blocks.widths(plan.gamma + 1, schedules.get(plan.schedule)))
  return sorted(found)


def _cost_programs(costs, plans, widths):
  """How many programs time the parts whose costs are not known."""
  if costs is None:
    known_T, known_S, drafter = {}, {}, 2  # The loop, and what it starts from.
  else:
    known_T, known_S, drafter = costs.verifier_block, costs.prefill, 0
  block = [T for T in _block_widths(plans) if T not in known_T]
  verifier = len(block) + bool(block)
  prefill = sum(2 - len(known_S.get(width, ())) for width in set(widths))
  return drafter + verifier + prefill


def _with_costs(load, costs, plans, widths, path):
  """The workload with what the parts of an answer cost; old costs stay."""
  if costs is None or _cost_programs(costs, plans, widths):
    prompts = [
      batches.prompts(load, [widths.index(width)])
      for width in sorted(set(widths))
    ]
    costs = costs_lib.costs(
      load.pair,
      prompts,
      _block_widths(plans),
      load.task.max_new_tokens,
      known=costs,
    )
    files.write(path, costs.to_json())
  return dataclasses.replace(load, costs=costs)
