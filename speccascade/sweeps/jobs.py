"""What a sweep decodes for quality and counts, and where it is found.

By coupled randomness the text of most methods is that of every draft plan. It
is decoded once, at one gamma, and `replay` tells the counts of other gammas;
other schedules are decoded for their counts alone. A method whose text depends
on the plan is decoded under each.
"""

import collections
import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from speccascade.decoding import schedules
from speccascade.methods import sequence_cascade
from speccascade.sweeps import batches, outputs
from speccascade.sweeps import points as points_lib
from speccascade.tasks import metrics
from speccascade.timing import costs as costs_lib


@dataclasses.dataclass(frozen=True)
class Job:
  """Settings that are decoded together.

  Attributes:
    settings: of drafting methods, of those that choose between whole answers,
      or of one other method.
    plan: to decode with; None where nothing is drafted ahead.
    keeps: what lines keep: 'text', of any plan; 'counts', of this plan; or
      'both'.
    costs: digest of the costs that the plan's schedule weighs, on which counts
      depend; '' where it weighs none.
  """

  settings: tuple[points_lib.Setting, ...]
  plan: schedules.Plan | None
  keeps: str
  costs: str = ''

  @property
  def whole(self) -> bool:
    """Whether its methods choose between whole answers, see `sweeps.whole`."""
    return _chooses(self.settings[0])

  @property
  def label(self) -> str:
    """What a progress bar says."""
    names = list(dict.fromkeys(s.method for s in self.settings))
    what = names[0] if len(names) == 1 else f'{len(names)} methods'
    return f'{what}: {"counts" if self.keeps == "counts" else "outputs"}'

  def id(self, setting: points_lib.Setting) -> str:
    """Name of the lines of a setting."""
    return setting.id(None if self.keeps == 'text' else self.plan)

  def key(self, setting: points_lib.Setting, example: int) -> outputs.Key:
    """Key of a line."""
    return self.id(setting), example, self.costs


def jobs(
  settings: Sequence[points_lib.Setting],
  plans: Sequence[schedules.Plan],
  costs: costs_lib.Costs | None = None,
) -> list[Job]:
  """Everything that a sweep decodes for quality and counts.

  Args:
    settings: of the sweep.
    plans: likewise.
    costs: that measured plans weigh, if they are known.
  """
  found = []
  for name in dict.fromkeys(s.method for s in settings):
    own = tuple(s for s in settings if s.method == name)
    if not own[0].of.drafts and not _chooses(own[0]):
      found.append(Job(own, None, 'both'))
  if choosing := tuple(filter(_chooses, settings)):
    found.append(Job(choosing, None, 'both'))
  drafting = [s for s in settings if s.of.drafts]
  any_plan = tuple(s for s in drafting if not s.of.plan_changes_text)
  each_plan = tuple(s for s in drafting if s.of.plan_changes_text)
  if any_plan:
    found.append(Job(any_plan, _middle(plans), 'text'))
    found += [
      Job(any_plan, plan, 'counts', _costs(costs, plan))
      for plan in plans
      if not plan.fixed
    ]
  if each_plan:
    found += [
      Job(each_plan, plan, 'both', _costs(costs, plan)) for plan in plans
    ]
  return found


def _chooses(setting):
  return isinstance(setting.of, sequence_cascade.SequenceCascade)


def _costs(costs, plan):
  """Digest of what a measured plan's schedule is given."""
  if not batches.is_measured(plan):
    return ''
  given_G = batches.costs_G(costs, plan)
  return outputs.short_digest(json.dumps(given_G).encode())


def _middle(plans):
  """A middle draft length: few verifier calls, few wasted drafts."""
  gammas = sorted(plan.gamma for plan in plans if plan.fixed)
  return schedules.Plan(gammas[len(gammas) // 2])


def forms(
  workload: batches.Workload, jobs: Sequence[Job]
) -> dict[str, dict[str, outputs.Form]]:
  """{method: {id: the form of its lines}} of all that jobs decode."""
  statistics = metrics.get(workload.task.metric).size
  found = collections.defaultdict(dict)
  for job in jobs:
    text, counts = job.keeps != 'counts', job.keeps != 'text'
    for setting in job.settings:
      both = setting.of.role is None  # Models write the answer.
      found[setting.method][job.id(setting)] = outputs.Form(
        text=text,
        drafted=text and both,
        plan=counts and both,
        accepted=0 if job.plan is None else job.plan.gamma + 2,
        statistics=statistics,
      )
  return found


def collect(
  jobs: Sequence[Job],
  done: Mapping[outputs.Key, dict[str, Any]],
  num_examples: int,
) -> tuple[dict[str, list[dict]], dict[str, list[dict]]]:
  """The outputs of all jobs, which are all there, in the examples' order.

  Args:
    jobs: Jobs.
    done: {Key: line}.
    num_examples: E.

  Returns:
    {`text_id` of a point: lines with its text}, and {id of a point: lines with
    its counts}, where they are not to be replayed.
  """
  texts, counted = {}, {}
  for job in jobs:
    for setting in job.settings:
      own = [done[job.key(setting, e)] for e in range(num_examples)]
      if job.keeps != 'counts':
        texts[setting.text_id(job.plan)] = own
      if job.keeps != 'text':
        counted[setting.id(job.plan)] = own
  return texts, counted
