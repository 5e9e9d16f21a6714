"""Programs that are right pass, and hostile ones neither pass nor harm."""

import json
import os
import pathlib
import resource
import subprocess
import sys
import time

import pytest

from speccascade.execution import confinement, sandbox
from tests.execution import hostile

pytestmark = pytest.mark.skipif(
  bool(confinement.supported()), reason=f'needs {confinement.supported()}'
)
MBPP = pathlib.Path(__file__).parents[3] / 'shared/data/mbpp/mbpp.jsonl'
# Of programs that must end by them: right ones have the time of users.
SHORT = sandbox.Limits(
  wall_s=3.0, cpu_s=1, memory_bytes=1 << 28, output_bytes=1 << 20
)
TESTS = ['assert f(1) == 2', 'assert f(3) == 4']
RIGHT = 'def f(x): return x + 1'


def _run(code, tests=TESTS, setup='', limits=sandbox.Limits()):
  (outcome,) = sandbox.run_all([sandbox.program(code, tests, setup)], limits)
  return outcome


def test_outcomes_come_in_order():
  codes = [RIGHT, 'def f(x): return 2', RIGHT, 'f = None', RIGHT] * 3
  found = sandbox.run_all([sandbox.program(c, TESTS) for c in codes])
  assert [x.passed for x in found] == [True, False, True, False, True] * 3
  assert found[0].reason == 'passed'
  assert found[1].reason == 'assertion failed: assert f(3) == 4'
  assert "'NoneType' object is not callable" in found[3].reason
  assert sandbox.run_all([]) == []


@pytest.mark.parametrize(
  'value',
  [
    'None', 'True', '-7', '10**40', '1.5', "float('inf')", '2+3j', "'é\\n'",
    "b'a\\x00'", "bytearray(b'b')", '[1, (2, {3}), [4.5]]',
    "{'a': 1, 2: [None]}", 'frozenset({1})', 'range(1, 9, 2)',
    "__import__('decimal').Decimal('0.10')",
    "__import__('fractions').Fraction(-1, 3)",
    "__import__('datetime').date(2024, 2, 29)",
    "__import__('datetime').datetime(2024, 2, 29, 1, 2)",
    "__import__('collections').deque([1, 2])", 'int', 'dict',
  ],
)  # fmt: skip
def test_plain_values_come_back_as_they_went(value):
  test = f'v = {value}\nassert f(v) == v and type(f(v)) is type(v)'
  assert _run('def f(x): return x', [test]).passed


def test_what_is_no_plain_value_stays_with_the_program():
  code = """
import collections, math
class Node:
  def __init__(self, value, left=None):
    self.value, self.left = value, left
  def __len__(self): return 1 if self.left is None else 1 + len(self.left)
  def __str__(self): return f'Node {self.value}'
def total(node): return node.value + (total(node.left) if node.left else 0)
def count(text): return collections.Counter(text)
def items(n): return (i * i for i in range(n))
LIMIT = 3
"""
  setup = 'root = Node(1)\nroot.left = Node(2, Node(LIMIT))'
  tests = [
    'assert total(root) == 6',
    'assert len(root) == 3 and str(root.left) == "Node 2"',
    'assert root.left.left.value == 3',
    "assert count('aab') == {'a': 2, 'b': 1}",
    'assert list(items(4)) == [0, 1, 4, 9]',
    'assert math.isclose(total(root), 6.0)',
    'assert not [n for n in items(2) if n > LIMIT]',
  ]
  assert _run(code, tests, setup) == (True, 'passed')
  assert not _run(code, ['assert total(root) == 7'], setup).passed
  assert 'NameError' in _run(code, tests).reason  # Without the setup.


def test_an_error_is_told_in_a_line():
  for code, message in (
    ('def f(x): return 1 / 0', 'ZeroDivisionError: division by zero'),
    ("def f(x): raise ValueError('a\\nb')", 'ValueError: a'),
    ('def f(): return 2', 'TypeError: f() takes 0 positional arguments'),
    ('def f(x) return 2', 'SyntaxError'),
  ):
    outcome = _run(code)
    assert not outcome.passed
    assert outcome.reason.startswith(message)


_VARIANTS = {
  'as it is': '',
  'the same user': 'judge.confinement.os.geteuid = lambda: 1000',
  'no landlock': 'judge.confinement._landlock = lambda libc: False',
}


def _variant(monkeypatch, folder, change):
  """Has the judge confine with less than this system has."""
  own = pathlib.Path(sandbox.__file__).parent
  script = folder / 'judge_variant.py'
  script.write_text(
    f'import sys\nsys.path.insert(0, {str(own)!r})\nimport judge\n{change}\n'
    'judge.main()\n'
  )
  sandbox.check()  # As it is.
  monkeypatch.setattr(sandbox, '_JUDGE', script)


def _left_behind():
  """Processes and files that hold the mark."""
  found = []
  for folder in {*hostile.FOLDERS} - {'.'}:
    found += pathlib.Path(folder).glob(f'*{hostile.MARK}*')
  for process in pathlib.Path('/proc').glob('[0-9]*'):
    try:
      told = (process / 'cmdline').read_bytes() + (
        process / 'environ'
      ).read_bytes()
    except OSError:
      continue
    if hostile.MARK.encode() in told:
      found.append(process)
  return found


@pytest.fixture
def victim():
  """A file and an environment that programs must neither read nor change."""
  file = pathlib.Path('/tmp/speccascade-victim')
  file.write_text('victim')
  yield file
  file.unlink()


@pytest.mark.parametrize('variant', _VARIANTS)
def test_no_hostile_program_passes_or_harms(
  variant, tmp_path, monkeypatch, victim
):
  assert len(hostile.PROGRAMS) >= 20
  _variant(monkeypatch, tmp_path, _VARIANTS[variant])
  monkeypatch.setenv('SECRET', 'victim')
  limits = [resource.getrlimit(n) for n in range(16)]
  before = set(os.listdir('/tmp'))
  programs = {
    name: sandbox.program(code, TESTS[:1])
    for name, code in hostile.PROGRAMS.items()
    if variant == 'as it is'
    or name not in hostile.SLOW
    and (variant != 'no landlock' or name != 'reads secrets')
  }
  start = time.monotonic()
  found = sandbox.run_all([*programs.values()], SHORT)
  assert [n for n, x in zip(programs, found, strict=True) if x.passed] == []
  # Each within its own limit, two at a time at least.
  assert time.monotonic() - start < len(programs) * (SHORT.wall_s + 1)
  assert _run(RIGHT).passed
  assert _left_behind() == []
  assert not {x for x in set(os.listdir('/tmp')) - before if hostile.MARK in x}
  assert victim.read_text() == 'victim'
  assert [resource.getrlimit(n) for n in range(16)] == limits


def test_where_nothing_can_be_confined_no_program_is_scored(
  monkeypatch, tmp_path
):
  _variant(
    monkeypatch,
    tmp_path,
    'judge.confinement.confine = lambda *limits: judge.os.setgroups("no")',
  )
  sandbox._confined.cache_clear()
  with pytest.raises(
    ValueError, match='^a program cannot be confined here .it'
  ):
    sandbox.run_all([sandbox.program(RIGHT, TESTS)])


def test_what_is_in_force_is_told():
  means = sandbox.means()
  assert means[:2] == ['resource limits', 'system call filter']
  assert ('user nobody' in means) == (os.geteuid() == 0)


def test_descriptors_and_environment_are_not_inherited(monkeypatch, tmp_path):
  monkeypatch.setenv('SECRET', 'victim')
  with (tmp_path / 'open').open('w') as file:
    os.set_inheritable(file.fileno(), True)
    code = """
import os
def f(x):
  found = []
  for fd in range(64):
    try:
      os.fstat(fd)
      found.append(fd)
    except OSError:
      pass
  return found, dict(os.environ), os.getcwd() != '/' and x
"""
    # Its input and outputs, and a pipe each way.
    tests = ['fds, environ, _ = f(1)\nassert len(fds) == 5 and environ == {}']
    assert _run(code, tests) == (True, 'passed')


def test_a_judge_that_dies_fails_one_program_alone(monkeypatch, tmp_path):
  _variant(
    monkeypatch,
    tmp_path,
    'was = judge.judge\n'
    "judge.judge = lambda job: was(job) if 'die' not in job['code'] "
    'else judge.os._exit(3)',
  )
  codes = [RIGHT, '# die', RIGHT, RIGHT]
  found = sandbox.run_all([sandbox.program(c, TESTS) for c in codes])
  assert [x.passed for x in found] == [True, False, True, True]
  assert found[1].reason == 'the judge did not answer'


def test_a_program_dies_with_whoever_started_it(tmp_path):
  script = tmp_path / 'start.py'
  script.write_text(
    'from speccascade.execution import sandbox\n'
    'sandbox.check()  # By a judge of its own, which ends.\n'
    'print("checked", flush=True)\n'
    'sandbox.run_all([sandbox.program("import time\\ntime.sleep(80)", [])])\n'
  )
  started = subprocess.Popen(
    [sys.executable, str(script)],
    stdout=subprocess.PIPE,
    cwd=pathlib.Path(sandbox.__file__).parents[2],
  )
  assert started.stdout.readline() == b'checked\n'
  judges = _until(lambda: _judges_below(started.pid), size=2)
  started.kill()
  started.wait()
  started.stdout.close()
  _until(lambda: judges & _judges(), size=0)


def _until(found, size):
  """Waits for so many, however busy the machine is."""
  for _ in range(600):
    if len(found()) == size:
      break
    time.sleep(0.1)
  assert len(found()) == size
  return found()


def _judges():
  """Numbers of the processes that run the judge's script."""
  found = set()
  for process in pathlib.Path('/proc').glob('[0-9]*'):
    try:
      if b'execution/judge.py' in (process / 'cmdline').read_bytes():
        found.add(process.name)
    except OSError:
      pass
  return found


def _judges_below(pid):
  """Those that a process started, and their forks."""
  found, parents = set(), {str(pid)}
  while parents:
    parents = {x for x in _judges() if _parent(x) in parents}
    found |= parents
  return found


def _parent(pid):
  try:
    told = pathlib.Path('/proc', pid, 'stat').read_text()
  except OSError:
    return None
  return told.rpartition(')')[2].split()[1]


@pytest.mark.parametrize(
  ('system', 'machine', 'lacks'),
  [('darwin', 'arm64', 'Linux, not darwin'), ('linux', 's390x', 'x86-64 or')],
)
def test_a_system_that_cannot_confine_refuses(
  monkeypatch, system, machine, lacks
):
  monkeypatch.setattr(sys, 'platform', system)
  monkeypatch.setattr('platform.machine', lambda: machine)
  with pytest.raises(ValueError, match=f'^code .* is run on {lacks}'):
    sandbox.run_all([sandbox.program(RIGHT, TESTS)])


def test_the_right_programs_of_mbpp_pass_and_wrong_ones_fail():
  if not MBPP.exists():
    pytest.skip(f'no MBPP at {MBPP}')
  rows = [json.loads(line) for line in MBPP.open()]
  assert len(rows) == 974
  right, wrong = (
    [
      sandbox.program(
        row['code'] + tail, row['test_list'], row['test_setup_code']
      )
      for row in rows[::step]
    ]
    # Another value of every function, told by none of its own.
    for tail, step in (
      ('', 1),
      (
        '\nfor _n, _x in list(globals().items()):\n'
        '  if callable(_x) and not isinstance(_x, type):\n'
        "    globals()[_n] = lambda *x, **y: '?'\n",
        5,
      ),
    )
  )
  found = sandbox.run_all(right)
  failed = [r['task_id'] for r, x in zip(rows, found, strict=True) if not x[0]]
  assert failed == []
  assert sum(x.passed for x in sandbox.run_all(wrong)) == 0
