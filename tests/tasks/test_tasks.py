import dataclasses
import inspect
import json
import pickle

import pytest

from speccascade import tasks
from speccascade.tasks import base, metrics
from speccascade.tasks.example import Example

SPLITS = ('train', 'validation', 'test')


def _args(name):
  """The arguments of a task: none, or a path to files that it reads."""
  if 'path' not in inspect.signature(tasks.load_function(name)).parameters:
    return {}
  return {'path': 'none'} | ({'execute': True} if name == 'mbpp' else {})


GENERATED = [name for name in tasks.TASKS if not _args(name)]


@pytest.fixture(params=GENERATED, scope='module')
def task(request):
  return tasks.load(request.param, {})


@pytest.mark.parametrize('name', tasks.TASKS)
def test_a_task_says_what_it_is(name):
  task = tasks.load(name, _args(name))
  assert task.name == name
  assert task.metric in metrics.METRICS
  assert task.max_new_tokens > 0


@pytest.mark.parametrize('name', tasks.TASKS)
def test_a_task_is_compared_hashed_and_pickled_by_value(name):
  task = tasks.load(name, _args(name))
  for other in (
    tasks.load(name, _args(name)),
    pickle.loads(pickle.dumps(task)),
  ):
    assert other == task
    assert hash(other) == hash(task)


def test_the_generated_tasks_need_no_files():
  assert {'summaries', 'translation', 'word_problems'} <= set(GENERATED)


@pytest.mark.parametrize('split', SPLITS)
def test_examples_are_numbered(task, split):
  examples = task.examples(split, 3)
  assert [e.id for e in examples] == [0, 1, 2]
  assert examples == [task.example(split, i) for i in range(3)]
  assert len({e.prompt for e in examples}) == 3


def test_examples_are_what_json_keeps(task):
  for example in task.examples('test', 5):
    row = dataclasses.asdict(example)
    assert {type(value) for value in row.values()} <= {int, str, tuple}
    again = json.loads(json.dumps(row))
    if isinstance(example.reference, tuple):
      again['reference'] = tuple(again['reference'])
    assert again == row


def test_targets_are_right_and_prompts_are_wrong(task):
  for e in task.examples('test', 20):
    assert task.score(e.target, e.reference) == pytest.approx(1)
    assert task.score(e.prompt, e.reference) < 0.5


def test_quality_is_the_metric_of_summed_statistics(task):
  examples = task.examples('test', 10)
  references = [e.reference for e in examples]
  outputs = [e.target for e in examples[:5]] + [e.prompt for e in examples[5:]]
  quality = task.quality(outputs, references)
  rows = [x.statistics for x in task.judge(outputs, references)]
  assert quality == metrics.quality(task.metric, rows)
  assert 0 < quality < task.quality([e.target for e in examples], references)


def test_a_seed_gives_other_examples(task):
  other = tasks.load(task.name, {'seed': 1})
  assert other.example('test', 0) != task.example('test', 0)
  assert other != task


class Letters:
  def example(self, split, index):
    return Example(index, f'{split} {index}', 'a', 'a')


class Three(Letters):
  def __init__(self):
    self.read = []

  def example(self, split, index):
    self.read.append(index)
    if index >= 3:
      raise ValueError(f'{split} has 3 examples; there is no example {index}')
    return super().example(split, index)


def test_too_many_examples_are_refused_before_any_is_read():
  source = Three()
  task = base.SourceTask('letters', 'exact_match', 8, source)
  with pytest.raises(ValueError, match='^dev has 3 .*no example 99999999$'):
    task.examples('dev', 100_000_000)
  assert source.read == [99_999_999]
  assert len(task.examples('dev', 3)) == 3
  assert task.examples('dev', 0) == []


def test_only_what_is_extracted_is_scored():
  task = base.SourceTask(
    'letters', 'exact_match', 8, Letters(), extract=lambda text: text[-1:]
  )
  assert [e.prompt for e in task.examples('dev', 2)] == ['dev 0', 'dev 1']
  assert task.score('it is a', 'a') == 1
  (judged,) = task.judge(['it is a'], ['a'])
  assert judged == (1, [1, 1], {})
  assert task.quality(['it is a', 'b', 'a b', 'a'], ['a'] * 4) == 0.5
  whole = base.SourceTask('letters', 'exact_match', 8, Letters())
  assert whole.quality(['it is a', 'a'], ['a'] * 2) == 0.5


@pytest.mark.parametrize(
  ('outputs', 'references'), [([], []), (['a'], ['a', 'b']), (['a', 'b'], 'a')]
)
def test_outputs_and_references_must_pair(outputs, references):
  task = base.SourceTask('letters', 'exact_match', 8, Letters())
  message = f'got {len(outputs)} outputs and {len(references)} references$'
  with pytest.raises(ValueError, match=message):
    task.quality(outputs, references)


@pytest.mark.parametrize(
  ('name', 'args', 'complaint'),
  [
    ('wordproblems', {}, "^unknown task 'wordproblems'; known: aime, cnn_"),
    (
      'metrics',
      {},
      "^unknown task 'metrics'; known: aime, cnn_dailymail, gpqa",
    ),
    ('', {}, "^unknown task ''; known: aime"),
    ('word_problems', {'sed': 1}, "argument 'sed'; word_problems takes .seed"),
    ('spec_bench', {}, r"^task_args: path='\.\.\.' must name the file"),
    ('gsm8k', {'path': '.', 'style': 'co'}, "style='co': gsm8k has few_shot"),
    ('gsm8k', {'path': '.', 'shots': -1}, 'shots=-1 must not be negative'),
    ('gsm8k', {'path': '.', 'stop': ('',)}, 'must be a tuple of texts'),
    ('gsm8k', {'path': '.', 'question': '{'}, "^question='{' is no template"),
    ('mbpp', {'path': '.'}, 'runs code .* task_args.execute=True allows it'),
    ('gsm8k', {'path': 3}, r'^task_args\.path=3: Input should be a valid str'),
    ('summaries', {'seed': 1.5}, r'^task_args\.seed=1\.5: .*valid integer$'),
    ('word_problems', {'seed': True}, r'^task_args\.seed=True: .*integer$'),
    ('translation', {'plain': 1}, r'^task_args\.plain=1: .*valid boolean$'),
    (
      'xsum',
      {'path': '.', 'metric': 'bleu'},
      "metric='bleu': xsum has rouge2, rouge1",
    ),
  ],
)
def test_a_mistake_is_named(name, args, complaint):
  with pytest.raises(ValueError, match=complaint) as error:
    tasks.load(name, args)
  assert '\n' not in str(error.value)
