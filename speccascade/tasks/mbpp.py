"""MBPP: short Python functions, scored by running their tests.

Source: Austin et al. 2021, arXiv 2108.07732, with its prompt and its splits:
problems 11 to 510 are the test, 2 to 4 the shots.
"""

import dataclasses
import functools
import re
import sys
from collections.abc import Sequence

from speccascade.execution import sandbox
from speccascade.tasks import base, benchmark, metrics, prompts, rows

PASSED = 'passed'

_SPLITS = {
  'prompt': range(1, 11),
  'test': range(11, 511),
  'validation': range(511, 601),
  'train': range(601, 975),
}
_SHOTS = (2, 3, 4)
_FENCE = re.compile(r'```[ \t]*(?:python|py)?[ \t]*\n(.*?)(?:```|\Z)', re.S)


@dataclasses.dataclass(frozen=True)
class CodeTask(base.SourceTask):
  """A task whose outputs are programs: each is run, in a sandbox."""

  def judge(
    self, outputs: Sequence[str], references: Sequence[metrics.Reference]
  ) -> list[base.Judged]:
    """Returns what each of N outputs is worth; several run at a time."""
    programs = [
      sandbox.program(self.extract(output), tests=tests, setup=setup)
      for output, (setup, *tests) in zip(outputs, references, strict=True)
    ]
    metric, found = metrics.get(self.metric), []
    for outcome in _run(programs):
      statistics = metric.statistics(_verdict(outcome), PASSED)
      found.append(base.Judged(metric.of_one(statistics), statistics, {}))
    return found


def code(text: str) -> str:
  """Returns the first fenced block of an answer, or all of it without any.

  '[BEGIN]' and '[DONE]' are as a fence.
  """
  text = text.partition('[DONE]')[0].rpartition('[BEGIN]')[-1]
  found = _FENCE.search(text)
  return found[1] if found else text


def _verdict(outcome):
  return PASSED if outcome.passed else outcome.reason


_known = {}  # Greedy texts recur: of one process, {program: outcome}.


def _run(programs):
  if not _known:
    confined = ', '.join(sandbox.means())
    print(f'code is run, confined by: {confined}', file=sys.stderr, flush=True)
  new = [p for p in dict.fromkeys(programs) if p not in _known]
  _known.update(zip(new, sandbox.run_all(new), strict=True))
  return [_known[p] for p in programs]


def _read(data, split, first=None):
  if split not in _SPLITS:
    raise ValueError(f'split {split!r}: MBPP has {", ".join(_SPLITS)}')
  found = [
    (rows.field(where, row, 'task_id', int), where, row)
    for where, row in rows.read(data, split)  # All: they are not in order.
  ]
  own = [x for x in found if x[0] in _SPLITS[split]]
  own.sort(key=lambda x: (x[0] not in _SHOTS, x[0]))
  return [(where, row) for _, where, row in own[:first]]


def _parse(where, row):
  tests = rows.texts(where, row, 'test_list')
  if not tests:
    raise ValueError(f'{where} has no tests')
  right = rows.text(where, row, 'code').replace('\t', '    ').strip()
  fields = {
    'text': rows.text(where, row, 'text'),
    'tests': '\n'.join(tests),
  }
  setup = rows.field(where, row, 'test_setup_code')
  yield benchmark.Record(fields, right, (setup, *tests))


SPEC = benchmark.Spec(
  name='mbpp',
  metrics=('pass_at_1',),
  max_new_tokens=512,
  dataset='google-research-datasets/mbpp',
  subset='full',
  parse=_parse,
  read=_read,
  forms={
    'few_shot': prompts.Form(
      question='You are an expert Python programmer, and here is your task: '
      '{text} Your code should pass these tests:\n\n{tests}\n[BEGIN]\n',
      answer='{target}\n[DONE]',
      shots=3,
      chat=False,
      stop=('[DONE]',),
      shots_split='prompt',
    ),
    'chat': prompts.Form(
      question='{text}\n\nYour code should pass these tests:\n\n{tests}\n\n'
      'Answer with Python code in one block, without examples of its use.',
      chat=True,
    ),
  },
  extract=code,
  make=CodeTask,
  runs_code=True,
)
task = functools.partial(benchmark.task, SPEC)
