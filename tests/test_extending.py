"""The recipes of docs/extending.md, followed to the letter on a copy."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from speccascade.runs import records as records_lib
from speccascade.storage import lines

_ROOT = pathlib.Path(__file__).parents[1]
_RECIPES = _ROOT / 'docs' / 'extending.md'
# Of a worked example: lines of code, imports apart.
_MOST_LINES = 36
_ADDED = ('geometric', 'lenient_tail', 'riddles', 'token_f1', 'bigram')

# A pair of the new family, and a small sweep of the new task by the new rule
# and method; run in the copy.
_SWEEP = """
import pathlib, sys
import jax
from speccascade import config, tokenizers
from speccascade.checkpoints import native
from speccascade.models import registry
from speccascade.reports import report
from speccascade.sweeps import config as sweeps, run

folder = pathlib.Path(sys.argv[1])
tokenizer = tokenizers.load(folder / 'tokenizer.model')
for seed, role in enumerate(('drafter', 'verifier')):
  made = registry.make_config('bigram', vocab_size=tokenizer.vocab_size)
  params = registry.make_model(made).init(jax.random.key(seed))
  native.save(folder / f'{role}.safetensors', made, params)
sweep = config.parse(sweeps.Sweep, config.template(
  sweeps.Sweep,
  pair=str(folder),
  task='riddles',
  task_args={'path': str(folder)},
  num_examples=4,
  methods={'geometric': (0.2, 0.8), 'lenient_tail': ()},
  gammas=(1, 4),
  temperatures=(0.0, 1.0),
  latency_examples=1,
  trials=2,
))
report.write(run.run(sweep, folder / 'run'), folder / 'run')
"""


def _blocks():
  """(section, kind, text) of each fenced block."""
  section, found = None, []
  text = _RECIPES.read_text()
  pattern = r'^## ([^\n]+)$|^```(python|diff)\n(.*?)^```$'
  for heading, kind, body in re.findall(pattern, text, re.M | re.S):
    if heading:
      section = heading
    else:
      found.append((section, kind, body))
  return found


def _follow(root):
  """Does what every block says below `root`."""
  for _, kind, body in _blocks():
    first, _, rest = body.partition('\n')
    if kind == 'python':
      file = root / first.removeprefix('# ')
      file.parent.mkdir(parents=True, exist_ok=True)
      assert not file.exists()
      file.write_text(rest)
      continue
    file = root / first.removeprefix('--- ')
    lines = rest.splitlines()
    old = '\n'.join(x[1:] for x in lines if x[:1] != '+') + '\n'
    new = '\n'.join(x[1:] for x in lines) + '\n'
    content = file.read_text()
    assert content.count(old) == 1, (
      f'{file}: {old!r} is there {content.count(old)} times'
    )
    file.write_text(content.replace(old, new))


@pytest.fixture(scope='module')
def copy(tmp_path_factory):
  """A copy of the package, without weights, that followed the recipes."""
  root = tmp_path_factory.mktemp('copy')
  for part in ('speccascade', 'tests'):
    shutil.copytree(
      _ROOT / part,
      root / part,
      ignore=shutil.ignore_patterns('*.safetensors', '__pycache__'),
    )
  shutil.copy(_ROOT / 'pyproject.toml', root)
  _follow(root)
  return root


def _python(root, *arguments):
  return subprocess.run(
    [sys.executable, *map(str, arguments)],
    cwd=root,
    env=os.environ | {'PYTHONPATH': str(root), 'JAX_PLATFORMS': 'cpu'},
    capture_output=True,
    text=True,
    check=False,
  )


@pytest.mark.slow
@pytest.mark.thorough
def test_a_sweep_with_everything_that_the_recipes_add(copy, tmp_path):
  tokenizer = 'speccascade/pairs/word_problems/tokenizer.model'
  shutil.copy(_ROOT / tokenizer, tmp_path / 'tokenizer.model')
  (tmp_path / 'test.jsonl').write_text(
    ''.join(
      f'{{"question": "What has {n} legs?", "answer": "a chair"}}\n'
      for n in range(1, 5)
    )
  )
  (copy / 'sweep.py').write_text(_SWEEP)
  done = _python(copy, 'sweep.py', tmp_path)
  assert done.returncode == 0, done.stdout + done.stderr

  records = records_lib.read(tmp_path / 'run' / 'records.jsonl')
  assert {r['method'] for r in records} == {
    'verifier_alone', 'drafter_alone', 'strict', 'geometric', 'lenient_tail',
  }  # fmt: skip
  assert {(r['task'], r['metric']) for r in records} == {
    ('riddles', 'token_f1')
  }
  geometric = [r for r in records if r['method'] == 'geometric']
  assert {r['parameters']['alpha'] for r in geometric} == {0.2, 0.8}
  # Its text depends on the plan: only a block's first draft can be rejected.
  outputs = lines.read(tmp_path / 'run' / 'outputs' / 'lenient_tail.jsonl')
  for gamma in (1, 4):
    own = [x for x in outputs if f'-g{gamma}-' in x['id']]
    assert len(own) == 4 * 2
    for x in own:
      blocks = re.fullmatch(f'(0|1{{{gamma + 1}}})*1*', x['from_drafter'])
      assert blocks, x
  assert len({x['text'] for x in outputs if '-t1-' in x['id']}) == 8
  # That of a rule does not.
  rates = {
    (r['parameters']['alpha'], r['gamma']): r['rejection_rate']
    for r in geometric
    if r['temperature'] == 1
  }
  assert rates[0.2, 1] == rates[0.2, 4] > rates[0.8, 1]
  report = (tmp_path / 'run' / 'report.md').read_text()
  for name in ('geometric', 'lenient_tail', 'riddles', 'token_f1'):
    assert name in report


@pytest.mark.slow
def test_the_contract_tests_take_up_what_the_recipes_add(copy):
  files = (
    'rules/test_every_rule.py',
    'methods/test_methods.py',
    'models/test_families.py',
    'tasks/test_metrics.py',
    'tasks/test_tasks.py',
  )
  done = _python(
    copy,
    *('-m', 'pytest', '-q', '-p', 'no:xdist', '-p', 'no:cacheprovider'),
    *('-k', ' or '.join(_ADDED)),
    *('-rA', *(f'tests/{file}' for file in files)),
  )
  assert done.returncode == 0, done.stdout[-4000:] + done.stderr
  for name in _ADDED:
    assert f'[{name}' in done.stdout or f'-{name}' in done.stdout, name


def test_each_worked_example_is_short():
  lines = {}
  for section, kind, body in _blocks():
    own = [
      line
      for line in re.sub(r'"""(.|\n)*?"""', '', body).splitlines()[1:]
      if line.strip('+ ')
      and not line.lstrip('+').startswith(('import ', 'from '))
      and (kind == 'python' or line.startswith('+'))
    ]
    lines[section] = lines.get(section, 0) + len(own)
  assert set(lines) == {
    'A rule', 'A task', 'A metric', 'A model family', 'A method',
  }  # fmt: skip
  for section, number in lines.items():
    assert number < _MOST_LINES, (section, number)
