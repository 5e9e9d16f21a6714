"""A task of a public benchmark: its records, its prompts and its score.

Each benchmark is a `Spec`; `task` makes a task of one. So all take the same
arguments, and a run is repeated by its config alone.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from speccascade.tasks import base, prompts, rows
from speccascade.tasks.example import Example
from speccascade.tasks.metrics import Reference


class Record(NamedTuple):
  """What a benchmark asks.

  Attributes:
    fields: texts that the templates name.
    target: a right answer, as it follows the prompt.
    reference: what the metric compares an output with.
  """

  fields: Mapping[str, str]
  target: str
  reference: Reference


Parse = Callable[[str, Mapping], Iterable[Record]]
Read = Callable[[rows.Data, str, int | None], list[rows.Row]]


@dataclasses.dataclass(frozen=True)
class Spec:
  """A benchmark.

  Attributes:
    name: in TASKS.
    metrics: names of `metrics.METRICS`; the first is the default.
    max_new_tokens: by default.
    dataset: its name at Hugging Face.
    parse: gives the records of a row, none where it is not of the split.
    forms: of prompts, by style; the first is the default.
    subset: of the dataset.
    extract: returns what is compared, of an output.
    nothing: see `base.Task`.
    others: see `base.SourceTask`.
    document: the field that is cut in prompts that are too long; '' for none.
    read: returns the rows of a split, see `rows.read`.
    make: makes the task of its fields.
    runs_code: whether scoring runs code that a model wrote.
  """

  name: str
  metrics: tuple[str, ...]
  max_new_tokens: int
  dataset: str
  parse: Parse
  forms: Mapping[str, prompts.Form]
  subset: str = ''
  extract: Callable[[str], str] = base.whole
  nothing: str | None = None
  others: tuple[tuple[str, base.Score], ...] = ()
  document: str = ''
  read: Read = rows.read
  make: Callable[..., base.Task] = base.SourceTask
  runs_code: bool = False


@dataclasses.dataclass(frozen=True)
class Source:
  """The examples of a benchmark.

  Attributes:
    read: as of `Spec`.
    parse: likewise.
    data: where its records are.
    form: of prompts.
    shots_data: where the records of shots are.
    document: as of `Spec`.
  """

  read: Read
  parse: Parse
  data: rows.Data
  form: prompts.Form
  shots_data: rows.Data
  document: str

  def example(self, split: str, index: int) -> Example:
    """Returns one example; raises ValueError if there is no such example."""
    found = _records(self.read, self.parse, self.data, split)
    if not 0 <= index < len(found):
      where = self.data.path or f'{self.data.dataset}, split {split},'
      raise ValueError(
        f'{where} has {len(found)} examples; there is no example {index}'
      )
    record = found[index]
    shots = self._shots(found)
    prompt = self.form.write(record.fields, shots)
    document = record.fields.get(self.document, '')
    if document not in prompt:  # A template may leave it out.
      document = ''
    return Example(index, prompt, record.target, record.reference, document)

  def _shots(self, asked):
    number = self.form.shots
    if not number:
      return ()
    where = self.read, self.parse, self.shots_data, self.form.shots_split
    shots = _records(*where, first=number)[:number]
    if shots == asked[:number]:
      raise ValueError(
        f'shots={number} would show the answers of the first examples; name '
        'the file of the training split by shots_path, or set shots=0'
      )
    return [{**shot.fields, 'target': shot.target} for shot in shots]


@functools.cache
def _records(read, parse, data, split, first=None):
  found = read(data, split, first)
  return [record for where, row in found for record in parse(where, row)]


def forget() -> None:
  """Forgets all records, so that files that changed are read again."""
  _records.cache_clear()
  rows.forget()


def task(
  spec: Spec,
  path: str = '',
  dataset: str = '',
  subset: str = '',
  style: str = '',
  metric: str = '',
  question: str | None = None,
  answer: str | None = None,
  header: str | None = None,
  separator: str | None = None,
  shots: int | None = None,
  shots_path: str = '',
  shots_split: str = '',
  chat: bool | None = None,
  stop: tuple[str, ...] | None = None,
  max_new_tokens: int = 0,
  max_input_tokens: int = 0,
  execute: bool = False,
) -> base.Task:
  """Returns the task of a benchmark.

  Args:
    spec: Spec.
    path: its official file, JSON lines, JSON or Parquet; or their folder.
    dataset: without a path, a Hugging Face dataset; '' is its usual name.
    subset: of the dataset; '' is its usual one.
    style: of the prompts, which the next arguments change; '' is the first.
    metric: one of the benchmark's; '' is its first.
    question: see `prompts.Form`; None is the style's, here and below.
    answer: likewise.
    header: likewise.
    separator: likewise.
    shots: likewise.
    shots_path: where the shots are; '' is where the examples are.
    shots_split: see `prompts.Form`; '' is the style's.
    chat: likewise.
    stop: likewise.
    max_new_tokens: of an answer; 0 is the benchmark's.
    max_input_tokens: see `prompts.Form`; 0 is the style's.
    execute: whether code that a model wrote may be run here, in a sandbox, by
      a benchmark that scores it.
  """
  if spec.runs_code and not execute:
    raise ValueError(
      f'{spec.name} runs code that a model wrote: task_args.execute=True '
      'allows it; docs/execution.md says what the sandbox does not contain'
    )
  style = style or next(iter(spec.forms))
  if style not in spec.forms:
    raise ValueError(
      f'task_args.style={style!r}: {spec.name} has {", ".join(spec.forms)}'
    )
  if metric and metric not in spec.metrics:
    raise ValueError(
      f'task_args.metric={metric!r}: {spec.name} has {", ".join(spec.metrics)}'
    )
  given = dict(
    question=question,
    answer=answer,
    header=header,
    separator=separator,
    shots=shots,
    chat=chat,
    stop=stop,
    shots_split=shots_split or None,
    max_input_tokens=max_input_tokens or None,
  )
  form = prompts.changed(spec.forms[style], **given)
  own = dataset or spec.dataset, subset or ('' if dataset else spec.subset)
  data, of_shots = (rows.Data(x, *own) for x in (path, shots_path or path))
  return spec.make(
    name=spec.name,
    metric=metric or spec.metrics[0],
    max_new_tokens=max_new_tokens or spec.max_new_tokens,
    source=Source(spec.read, spec.parse, data, form, of_shots, spec.document),
    extract=spec.extract,
    nothing=spec.nothing,
    stop=form.stop,
    chat=form.chat,
    others=spec.others,
    max_input_tokens=form.max_input_tokens,
  )
