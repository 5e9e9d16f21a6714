"""What a run measured: one JSON object a line, appended point by point.

A line counts once its newline is on disk. A process killed mid-write leaves a
torn last line, which `read` skips and `append` truncates away, so a resumed
run never glues two records into one.
"""

import importlib.metadata
import json
import os
import platform
import subprocess

import jax
from etils import epath

_PACKAGES = ('jax', 'jaxlib', 'flax', 'numpy', 'speccascade')
_NUMBER = (int, float)
_NULL = type(None)

FIELDS = {
  'id': str,
  'task': str,
  'pair': str,
  'rule': str,  # a deferral rule, a baseline or a model alone
  'alpha': (*_NUMBER, _NULL),  # null where the rule takes none
  'gamma': (int, _NULL),  # draft length; null where nothing is drafted ahead
  'schedule': (str, _NULL),  # 'fixed', or what shortens drafts of that length
  'schedule_parameter': (*_NUMBER, _NULL),
  'temperature': _NUMBER,
  'top_p': _NUMBER,
  'top_k': int,
  'seed': int,
  'num_examples': int,  # behind quality, output_length and counts
  'metric': str,
  'quality': _NUMBER,  # the metric over all examples, higher is better
  'quality_stderr': _NUMBER,  # bootstrap over the examples
  'example_statistics': list,  # what `scoring.quality` sums, an example each
  'output_length': _NUMBER,  # mean tokens an example, EOS included
  'latency_examples': int,  # prompts timed in each trial, batch 1
  'seconds': list,  # per trial, over all timed examples
  'example_seconds': list,  # per timed example, mean of the trials
  'predicted_seconds': (*_NUMBER, _NULL),  # of all timed examples, by counts
  'verifier_seconds': list,  # the verifier alone: same prompts, same trial
  'strict_seconds': (list, _NULL),  # rule strict drafting alike, likewise
  'relative_latency': list,  # seconds / verifier_seconds, per trial
  'counts': dict,  # sums over num_examples
  'block_efficiency': _NUMBER,  # tokens / verifier calls
  'rejection_rate': _NUMBER,  # rejected / tokens
  'device': str,
  'dtype': str,
  'versions': dict,
  'git_revision': (str, _NULL),  # null outside a checkout
}

COUNTS = {
  'tokens': int,
  'verifier_calls': int,
  'drafter_steps': int,
  'drafted': int,
  'accepted': int,
  'rejected': int,
  'deferred': int,
  'divergence': _NUMBER,  # rejections expected: sum of D_TV(pi, q)
  'accepted_lengths': list,  # blocks that kept 0, 1, ..., gamma + 1 drafts
}


def append(path: epath.PathLike, record: dict) -> None:
  """Adds one record durably: one write of a whole line, synced to disk.

  Args:
    path: a JSONL file, made if there is none; gs:// is rewritten whole, as
      objects there cannot grow.
    record: a value for each of `FIELDS` and, in 'counts', of `COUNTS`.

  Raises:
    ValueError: a field is missing, unknown, of the wrong type or not finite,
      or the file already holds a record of this id.
  """
  check(record)
  if any(record['id'] == other['id'] for other in read(path)):
    raise ValueError(f'{path} already has a record {record["id"]!r}')
  append_lines(path, [record])


def append_lines(path: epath.PathLike, objects: list[dict]) -> None:
  """Adds JSON lines durably, after truncating a torn last one away.

  Raises:
    ValueError: an object is not JSON, or holds NaN or infinity.
  """
  lines = ''.join(_line(path, x) for x in objects)
  repair(path)
  path = epath.Path(path)
  if not _is_local(path):
    path.write_text((path.read_text() if path.exists() else '') + lines)
    return
  path.parent.mkdir(parents=True, exist_ok=True)
  with open(path, 'ab') as f:
    f.write(lines.encode())
    f.flush()
    os.fsync(f.fileno())


def _line(path: epath.PathLike, line: dict) -> str:
  try:
    return json.dumps(line, allow_nan=False) + '\n'
  except (TypeError, ValueError) as error:
    raise ValueError(f'{path}: record {line.get("id")!r}: {error}') from error


def read(path: epath.PathLike) -> list[dict]:
  """Returns the finished records in order; none where there is no file.

  Raises:
    ValueError: a line that a kill cannot explain (not JSON, not a record, an
      id seen before), naming the file and the line.
  """
  records = {}

  def parse(line):
    record = json.loads(line)
    check(record)
    if record['id'] in records:
      raise ValueError(f'a second record {record["id"]!r}')
    records[record['id']] = record

  read_lines(path, parse)
  return list(records.values())


def read_lines(path: epath.PathLike, parse=json.loads) -> list:
  """Returns what `parse` makes of each whole line; none without a file.

  Raises:
    ValueError: `parse` did, KeyError and TypeError included; the message
      names the file and the line.
  """
  path = epath.Path(path)
  if not path.exists():
    return []
  parsed = []
  lines = path.read_bytes().split(b'\n')[:-1]  # what follows '\n' is torn
  for number, line in enumerate(lines, start=1):
    try:
      parsed.append(parse(line))
    except (ValueError, KeyError, TypeError) as error:
      raise ValueError(
        f'{path}:{number}: {error}; mend or delete this line'
      ) from error
  return parsed


def repair(path: epath.PathLike) -> None:
  """Truncates a torn last line away; whole lines are not touched."""
  path = epath.Path(path)
  if not path.exists():
    return
  content = path.read_bytes()
  whole = content.rfind(b'\n') + 1
  if whole == len(content):
    return
  if not _is_local(path):
    path.write_bytes(content[:whole])
    return
  with open(path, 'r+b') as f:
    f.truncate(whole)
    os.fsync(f.fileno())


def check(record: dict) -> None:
  """Raises ValueError unless record has exactly the fields, rightly typed."""
  if not isinstance(record, dict):
    raise ValueError(f'not a record but {record!r:.40}')
  _check_fields(record, FIELDS, f'record {record.get("id")!r}')
  _check_fields(record['counts'], COUNTS, f'counts of record {record["id"]!r}')


def _check_fields(values, fields, name):
  if missing := sorted(fields.keys() - values.keys()):
    raise ValueError(f'{name} lacks {", ".join(missing)}')
  if unknown := sorted(values.keys() - fields.keys()):
    raise ValueError(
      f'{name} has {", ".join(unknown)}, unknown to records.FIELDS and COUNTS'
    )
  for field, types in fields.items():
    if not isinstance(values[field], types):
      value = values[field]
      raise ValueError(f'{name}: {field} is {value!r}, {type(value).__name__}')


def environment() -> dict:
  """Returns the fields 'device', 'versions' and 'git_revision' of this run."""
  return {
    'device': _device(),
    'versions': {
      'python': platform.python_version(),
      **{package: _version(package) for package in _PACKAGES},
    },
    'git_revision': _git_revision(),
  }


def _device() -> str:
  devices = jax.devices()
  if devices[0].platform != 'cpu':
    return f'{devices[0].device_kind} × {len(devices)}'
  if hasattr(os, 'sched_getaffinity'):
    cores = len(os.sched_getaffinity(0))  # fewer than the host's in a cpuset
  else:
    cores = os.cpu_count()
  return f'cpu ({_cpu_model()}), {cores} cores'


def _cpu_model() -> str:
  info = epath.Path('/proc/cpuinfo')
  for line in info.read_text().splitlines() if info.exists() else []:
    key, _, value = line.partition(':')
    if key.strip() == 'model name':
      return value.strip()
  return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
  try:
    return importlib.metadata.version(package)
  except importlib.metadata.PackageNotFoundError:
    return None


def _git_revision() -> str | None:
  folder, file = os.path.split(os.path.abspath(__file__))

  def git(*args):
    command = ['git', '-C', folder, *args]
    return subprocess.run(
      command, check=True, capture_output=True, text=True
    ).stdout.strip()

  try:
    # Installed inside another project's checkout, we are no part of its
    # history.
    git('ls-files', '--error-unmatch', file)
    changes = git('status', '--porcelain', '--untracked-files=no')
    return git('rev-parse', 'HEAD') + ('-dirty' if changes else '')
  except (OSError, subprocess.CalledProcessError):
    return None


def _is_local(path: epath.Path) -> bool:
  return '://' not in os.fspath(path)
