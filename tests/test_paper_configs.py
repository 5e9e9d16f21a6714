"""Each cell of the paper: its config, its prompts and its models' shapes."""

import importlib.util
import json
import pathlib

import jax
import pytest

from speccascade import tasks
from speccascade.models import registry
from speccascade.models.gemma2 import config as gemma2
from speccascade.models.t5 import config as t5
from speccascade.sampling import keys
from speccascade.sweeps import config as sweeps

_CONFIGS = pathlib.Path(__file__).parents[1] / 'configs'


def _other(row):
  """The row with other texts, the same keys."""
  if isinstance(row, dict):
    return {key: _other(value) for key, value in row.items()}
  return [f'{x} 2' for x in row] if isinstance(row, list) else f'{row} 2'


def _module(name):
  spec = importlib.util.spec_from_file_location(name, _CONFIGS / f'{name}.py')
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


_T5, _GEMMA2, _REAL = map(_module, ('t5', 'gemma2', 'real_pair'))
_CELLS = [
  (module, f'{pair},{task}', task)
  for module in (_T5, _GEMMA2)
  for pair in module._PAIRS
  for task in module._TASKS
]
_MODELS = {
  't5-v1_1-small': t5.t5_v1_1_small,
  't5-v1_1-large': t5.t5_v1_1_large,
  't5-v1_1-xl': t5.t5_v1_1_xl,
  'gemma-2-2b': gemma2.gemma2_2b,
  'gemma-2-9b': gemma2.gemma2_9b,
  'gemma-2-27b': gemma2.gemma2_27b,
}
_PROBLEM = {
  'task_id': 11,
  'text': 'Add 1.',
  'code': 'def f(x): return x + 1',
  'test_list': ['assert f(1) == 2'],
  'test_setup_code': '',
}
_WORDS = 'one two three four five six'
_QA = {'question': 'who is it', 'answers': ['x'], 'answer': ['x']}
_ROWS = {
  'wmt': {'translation': {'en': 'A cat.', 'de': _WORDS}},
  'xsum': {'document': 'a', 'summary': _WORDS},
  'cnn_dailymail': {'article': 'a', 'highlights': _WORDS},
  'gsm8k': {'question': 'How many?', 'answer': 'One.\n#### 1'},
  'mbpp': _PROBLEM,
  'squad_v2': {
    'title': 't',
    'context': 'c',
    'question': 'q',
    'answers': {'text': ['c']},
  },
  'web_questions': _QA,
  'nq_open': _QA,
  'trivia_qa': {'question': 'who', 'answer': {'value': 'x', 'aliases': ['y']}},
}


@pytest.mark.parametrize(
  ('module', 'arg', 'task'), _CELLS, ids=[x[1] for x in _CELLS]
)
def test_a_cell_of_the_paper(module, arg, task, tmp_path):
  (sweep,) = sweeps.parse(module.get_config(arg)).values()
  assert sweep.task == task
  assert sweep.latency_examples == 500
  # Its prompts, of sample data: training rows, from which shots come, and one.
  row = _ROWS[task]
  others = [row | {'task_id': n} for n in (2, 3, 4)] if task == 'mbpp' else []
  for split in ('train', 'prompt', sweep.split):
    rows = [row]
    if split != sweep.split:
      rows = others or [_other(row)] * 5
    (tmp_path / f'{split}.jsonl').write_text('\n'.join(map(json.dumps, rows)))
  (own,) = sweeps.parse(
    module.get_config(f'{arg},{tmp_path}/models,{tmp_path}')
  ).values()
  assert own.drafter.startswith(f'{tmp_path}/models/')
  loaded = tasks.load(task, {**own.task_args})
  example = loaded.example(own.split, 0)
  assert example.prompt
  assert loaded.score(example.target, example.reference) == pytest.approx(1)
  # Its models, by shape.
  sizes = []
  for path in (sweep.drafter, sweep.verifier):
    config = _MODELS[pathlib.PurePath(path).name](dtype=sweep.dtype)
    model = registry.make_model(config)
    shapes = jax.eval_shape(model.init, keys.make(0))
    sizes.append(sum(x.size for x in jax.tree.leaves(shapes)))
    limit = loaded.max_input_tokens or 512
    assert model.longest_prompt(loaded.max_new_tokens) >= limit
  assert sizes[0] < sizes[1]
  assert (
    model.vocab_size
    == registry.make_model(
      _MODELS[pathlib.PurePath(sweep.drafter).name]()
    ).vocab_size
  )


@pytest.mark.parametrize('module', [_T5, _GEMMA2])
def test_what_is_no_cell_is_refused(module):
  for arg in ('', 'small', 'small-large,gsm8k', 'a,b,c,d,e'):
    with pytest.raises(ValueError, match='the argument is pair,task'):
      module.get_config(arg)


@pytest.mark.parametrize('temperature', ['0', '1'])
def test_the_real_pair(temperature):
  cells = sweeps.parse(_REAL.get_config(f'{temperature},models,data'))
  assert set(cells) == {'gsm8k', 'mbpp'}
  for sweep in cells.values():
    assert sweep.num_examples == 500
    assert sweep.temperatures == (float(temperature),)
    assert sweep.drafter == 'models/qwen2.5-coder-0.5b-instruct'
    tasks.load(sweep.task, {**sweep.task_args})
  for arg in ('2', '0,a,b,mbpp,c'):
    with pytest.raises(ValueError, match='the argument is 0 or 1'):
      _REAL.get_config(arg)
  assert set(_REAL.get_config('1,a,b,mbpp').cells) == {'mbpp'}
  with pytest.raises(ValueError, match="task 'x': it is one of gsm8k, mbpp"):
    _REAL.get_config('1,a,b,x')
