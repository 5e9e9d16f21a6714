"""A workdir belongs to all that its results depend on, and to nothing else."""

import json
import pathlib
import shutil

import pytest

import speccascade
from speccascade import checkpoints
from speccascade.runs import environment
from speccascade.sweeps import identity, run
from speccascade.tasks import benchmark
from tests.sweeps import fake_decode, kills, tiny_pair

_PACKAGE = pathlib.Path(speccascade.__file__).parent
# What no result depends on. Of the runs, records have a schema of their own.
_ELSEWHERE = (
  'aot', 'config', 'generation', 'reports', 'runs', 'storage', 'studies',
  'sweeps/compilation', 'sweeps/config', 'sweeps/identity', 'sweeps/paper',
  'sweeps/run', 'sweeps/scalars', 'timing/calibration', 'timing/forced',
  'timing/loop', 'timing/requests', 'timing/warm', 'training',
)  # fmt: skip


@pytest.fixture(scope='module')
def pair(tmp_path_factory):
  return tiny_pair.save(tmp_path_factory.mktemp('identity') / 'pair')


@pytest.fixture(autouse=True)
def decoder(monkeypatch):
  return fake_decode.Decoder(monkeypatch)


def _write(folder, **changes):
  """A folder of six problems; a change {'question_3': text}."""
  folder.mkdir(parents=True, exist_ok=True)
  lines = []
  for i in range(6):
    line = {'question': f'What is {i} and 1?', 'answer': f'It is\n#### {i + 1}'}
    for key, text in changes.items():
      field, _, number = key.partition('_')
      if int(number) == i:
        line[field] = text
    lines.append(json.dumps(line) + '\n')
  (folder / 'test.jsonl').write_text(''.join(lines))
  benchmark.forget()  # As for a new process.
  return folder


def _sweep(pair, data, **changes):
  small = dict(num_examples=4, methods={'strict': ()}, gammas=(1,), trials=1)
  return tiny_pair.sweep(
    pair,
    task='gsm8k',
    task_args={'path': str(data), 'shots': 0},
    **small | changes,
  )


def _refused(sweep, folder, told):
  with pytest.raises(ValueError) as error:
    run.run(sweep, folder)
  assert told in str(error.value)
  assert '\n' not in str(error.value)


@pytest.mark.parametrize(
  ('change', 'told'),
  [
    ({'question_2': 'What is it?'}, 'another prompt of example 2 of gsm8k'),
    ({'answer_1': '#### 7'}, 'another reference of example 1 of gsm8k'),
  ],
)
def test_another_file_of_the_same_name_is_refused(
  pair, tmp_path, decoder, change, told
):
  data = _write(tmp_path / 'data')
  run.run(_sweep(pair, data), tmp_path / 'x')
  decoder.calls.clear()
  _write(data, **change)
  before = (tmp_path / 'x' / 'records.jsonl').read_bytes()
  _refused(_sweep(pair, data), tmp_path / 'x', told)
  assert not decoder.calls
  _write(data)
  run.run(_sweep(pair, data), tmp_path / 'x')
  assert (tmp_path / 'x' / 'records.jsonl').read_bytes() == before


def test_more_examples_than_there_are_are_told_at_once(pair, tmp_path):
  data = _write(tmp_path / 'data')
  sweep = _sweep(pair, data, num_examples=1_000_000)
  _refused(sweep, tmp_path / 'x', 'has 6 examples')
  assert not (tmp_path / 'x').exists()


def test_another_file_is_refused_by_a_sweep_half_done(
  pair, tmp_path, monkeypatch
):
  data = _write(tmp_path / 'data')
  with monkeypatch.context() as patch:
    kills.at(patch, 1_500)
    with pytest.raises(kills.Killed):
      run.run(_sweep(pair, data), tmp_path / 'x')
  assert (tmp_path / 'x' / 'outputs').exists()
  _write(data, answer_0='#### 7')
  _refused(_sweep(pair, data), tmp_path / 'x', 'another reference of example 0')


def test_the_same_content_may_lie_elsewhere_and_what_is_not_used_may_change(
  pair, tmp_path, decoder
):
  run.run(_sweep(pair, _write(tmp_path / 'data')), tmp_path / 'x')
  decoder.calls.clear()
  other = shutil.copytree(pair, tmp_path / 'pair')
  data = _write(tmp_path / 'elsewhere', question_5='What is it?')
  # How the reference was reached is what nothing is scored against.
  _write(data, question_5='What is it?', answer_1='Surely\n#### 2')
  kept = run.run(_sweep(str(other), data), tmp_path / 'x')
  assert not decoder.calls
  # New examples are taken up as they are.
  grown = run.run(_sweep(str(other), data, num_examples=6), tmp_path / 'x')
  assert {e for _, e in decoder.outputs()} == {4, 5}
  assert len(grown) == len(kept)
  _write(data)
  _refused(
    _sweep(pair, data, num_examples=6), tmp_path / 'x', 'prompt of example 5'
  )


def test_a_pair_of_another_name_has_all_records_under_that_name(
  pair, tmp_path, decoder
):
  data = _write(tmp_path / 'data')
  run.run(_sweep(pair, data), tmp_path / 'x')
  decoder.calls.clear()
  other = shutil.copytree(pair, tmp_path / 'other')
  found = run.run(_sweep(str(other), data), tmp_path / 'x')
  assert {r['pair'] for r in found} == {'other'}
  assert not decoder.calls
  assert len(decoder.timed) == 2 * len(found)  # A warm-up each, and once.


@pytest.mark.parametrize(
  'change',
  [
    dict(seed=1), dict(top_k=4), dict(dtype='bfloat16'),
    dict(verifier_weights='int8'), dict(drafter_weights='int8'),
    dict(split='train'),
    dict(task_args={'seed': 1}), dict(task='summaries'),
  ],
  ids=str,
)  # fmt: skip
def test_another_setting_is_refused(pair, tmp_path, change):
  small = dict(num_examples=2, methods={'strict': ()}, gammas=(1,), trials=1)
  run.run(tiny_pair.sweep(pair, **small), tmp_path)
  (name,) = change
  _refused(tiny_pair.sweep(pair, **small | change), tmp_path, name)


def test_a_sweep_goes_on_with_the_models_and_code_that_began_it(
  pair, tmp_path, monkeypatch
):
  own = shutil.copytree(pair, tmp_path / 'pair')
  sweep, folder = _sweep(str(own), _write(tmp_path / 'data')), tmp_path / 'x'
  found = run.run(sweep, folder)
  model = own / 'drafter.safetensors'
  kept = model.read_bytes()
  config, params = checkpoints.load(model)
  checkpoints.native.save(
    model, config, params | {'embedding': -params['embedding']}
  )
  _refused(sweep, folder, 'created with sha256.drafter')
  model.write_bytes(kept)
  with monkeypatch.context() as patch:
    patch.setattr(environment, 'code_digest', lambda *rooms: 'other')
    _refused(sweep, folder, 'created with sha256.code')
  described = environment.describe()
  for change in ({'device': 'abacus'}, {'versions': {'jax': '0.0.1'}}):
    with monkeypatch.context() as patch:
      now = described | change
      patch.setattr(environment, 'describe', lambda now=now: now)
      _refused(sweep, folder, f'created with {next(iter(change))}')
  # Commits that touch no code of the digest change nothing.
  now = described | {'git_revision': 'other'}
  monkeypatch.setattr(environment, 'describe', lambda: now)
  assert run.run(sweep, folder) == found


def test_all_code_is_known_to_matter_or_not():
  for rooms in (identity.ROOMS, _ELSEWHERE):
    for room in rooms:
      assert (_PACKAGE / room).is_dir() or (_PACKAGE / f'{room}.py').exists()
  modules = {
    path.relative_to(_PACKAGE).with_suffix('').as_posix()
    for path in _PACKAGE.rglob('*.py')
    if path.read_text() and path != _PACKAGE / '__init__.py'
  } - {'sweeps/__init__'}
  for file in modules:
    of = [
      rooms
      for rooms in (identity.ROOMS, _ELSEWHERE)
      for room in rooms
      if file == room or file.startswith(f'{room}/')
    ]
    assert len(of) == 1, file
