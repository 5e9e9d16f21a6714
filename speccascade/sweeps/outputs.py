"""The lines of `outputs/<method>.jsonl`: what was decoded, and its score.

A line tells a text and its score, what a draft plan took, or both, of an
example under a setting. Lines are only ever added.

Letters: B rows, N tokens of an answer (padded), K statistics of a metric.
"""

import dataclasses
import functools
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from etils import epath

from speccascade.decoding import results
from speccascade.storage import field_types, json_text, lines
from speccascade.sweeps import batches

Key = tuple[str, int, str]  # Id, example and costs of a line.

_KEY = {
  'id': str,
  'example': int,
  'costs': str,  # Digest of those that the plan's schedule weighed, or ''.
}
_TEXT = {
  'score': field_types.NUMBER,
  'statistics': field_types.NUMBERS,
  'tokens': int,
  'text': str,
  'digest': str,
}
_MORE = {'more': field_types.Items(dict, field_types.NUMBER)}  # May lack.
_DRAFTED = {
  'from_drafter': str,
  'deferred': int,
  'divergence': field_types.NUMBER,
}
_PLAN = {
  'verifier_calls': int,
  'drafter_steps': int,
  'accepted_lengths': field_types.Items(list, int),
}
_NOT_NEGATIVE = {'deferred', 'divergence', *_PLAN}


@dataclasses.dataclass(frozen=True)
class Form:
  """What a line has.

  Attributes:
    text: whether it has a text and its score.
    drafted: whether it tells which tokens of the text were drafted.
    plan: whether it tells what a draft plan took.
    accepted: A, numbers of accepted drafts that a block may have; of `plan`.
    statistics: K; of `text`.
  """

  text: bool
  drafted: bool
  plan: bool
  accepted: int
  statistics: int

  def check(self, line: Mapping[str, Any]) -> None:
    """Raises ValueError unless a line has this form."""
    fields = {}
    if self.text and 'more' in line:
      fields |= _MORE
    for has, own in (
      (self.text, _TEXT),
      (self.drafted, _DRAFTED),
      (self.plan, _PLAN),
    ):
      fields |= own if has else {}
    name = f'output {line["id"]!r:.200} of example {line["example"]}'
    field_types.check(line, fields, name)
    for field in fields.keys() & _NOT_NEGATIVE:
      if np.min(line[field], initial=0) < 0:
        raise ValueError(f'{name}: {field} must not be negative')
    lengths = {}
    if self.text:
      lengths['statistics'] = self.statistics
      if line['tokens'] < 1:
        raise ValueError(f'{name}: tokens must be at least 1')
    if self.drafted:
      lengths['from_drafter'] = line['tokens']
      if line['from_drafter'].strip('01'):
        raise ValueError(f'{name}: from_drafter must be of 0 and 1')
    if self.plan:
      lengths['accepted_lengths'] = self.accepted
    for field, length in lengths.items():
      if len(line[field]) != length:
        raise ValueError(
          f'{name}: {field} must have {length} values, got {len(line[field])}'
        )


def read(
  folder: epath.Path, forms: Mapping[str, Mapping[str, Form]]
) -> tuple[dict[str, lines.Log], dict[Key, dict[str, Any]]]:
  """Opens the files of some methods.

  Args:
    folder: of the files.
    forms: {method: {id: Form}} of the lines that are wanted.

  Returns:
    {method: Log}, and {Key: line} of the lines wanted, which grows with the
    logs.

  Raises:
    ValueError: a line that no kill explains; the message names file and line.
  """
  done = {}
  logs = {
    method: lines.Log(
      folder / f'{method}.jsonl', functools.partial(_parse, own, done)
    )
    for method, own in forms.items()
  }
  return logs, done


def _parse(forms, done, data):
  """Keeps a line that is wanted; the Log itself keeps none, which spares."""
  line = json_text.loads(data)
  if not isinstance(line, dict):
    raise ValueError(f'an output must be an object, got {line!r:.40}')
  field_types.check({'costs': ''} | line, _KEY, 'an output')
  form = forms.get(line['id'])
  if form is None:
    return
  form.check(line)
  key = line['id'], line['example'], line.get('costs', '')
  if key in done:
    raise ValueError(f'a second output {key[0]!r} of example {key[1]}')
  done[key] = line


def digest(token_N: Iterable[int]) -> str:
  """Returns what tells the tokens of an answer from others."""
  return short_digest(np.asarray(token_N, '<i4').tobytes())


def short_digest(data: bytes) -> str:
  """Returns the first 16 digits of the SHA-256."""
  return hashlib.sha256(data).hexdigest()[:16]


def texts(
  workload: batches.Workload, result: results.Result, rows: Mapping[int, int]
) -> list[dict[str, Any]]:
  """Returns the text and its score of some rows.

  Args:
    workload: Workload.
    result: Result, on the host.
    rows: {row: its example}.
  """
  token_RxN = [result.token_BxN[r, : result.length_B[r]] for r in rows]
  text_R = [batches.answer(workload, token_N) for token_N in token_RxN]
  references = [workload.examples[e].reference for e in rows.values()]
  judged = workload.task.judge(text_R, references)
  found = []
  for r, token_N, text, own in zip(
    rows, token_RxN, text_R, judged, strict=True
  ):
    line = {
      'score': own.score,
      'statistics': own.statistics,
      'tokens': len(token_N),
      'text': text,
      'digest': digest(token_N),
    }
    if own.more:
      line['more'] = dict(own.more)
    if result.from_drafter_BxN is not None:
      kept_N = result.from_drafter_BxN[r, : len(token_N)].astype(int)
      line['from_drafter'] = ''.join(map(str, kept_N))
      line['deferred'] = int(result.counts.deferred_B[r])
      line['divergence'] = float(result.counts.divergence_B[r])
    found.append(line)
  return found


def counts(result: results.Result, rows: Iterable[int]) -> list[dict[str, Any]]:
  """Returns what its plan took, of each of some rows."""
  of_plan = {
    'verifier_calls': result.counts.verifier_calls_B,
    'drafter_steps': result.counts.drafter_steps_B,
    'accepted_lengths': result.counts.accepted_lengths_BxA,
  }
  return [{k: x[r].tolist() for k, x in of_plan.items()} for r in rows]
