import collections
import random
import re

import pytest

from speccascade.tasks import word_problem_templates, word_problems

TASK = word_problems.task()
SPLITS = ('train', 'validation', 'test')
PROMPT = (
  'Noah is 4 years old. '
  'Beth is 3 times as old as Noah. '
  'Ella is 2 years younger than Beth. '
  'Mia is half as old as Ella. '
  'How old is Mia?\n'
)
TARGET = (
  'Beth is 4 * 3 = 12 years old.\n'
  'Then Ella is 12 - 2 = 10 years old.\n'
  'That makes Mia 10 / 2 = 5 years old.\n'
  '#### 5'
)
REFERENCE = '5'
EQUATION = re.compile(r'(\d+) ([-+*/]) (\d+) = \$?(\d+)')


def equations(solution):
  return [
    (int(left), sign, int(right), int(result))
    for left, sign, right, result in EQUATION.findall(solution)
  ]


@pytest.fixture(scope='module')
def train():
  return TASK.examples('train', 4000)


@pytest.fixture(scope='module')
def held_out():
  return {s: TASK.examples(s, 1000) for s in ('validation', 'test')}


def test_one_example_stays_as_it_is():
  example = TASK.example('train', 0)
  assert example.id == 0
  assert example.prompt == PROMPT
  assert example.target == TARGET
  assert example.reference == REFERENCE


@pytest.mark.parametrize('split', SPLITS)
def test_examples_do_not_depend_on_what_was_drawn_before(split):
  examples = TASK.examples(split, 8)
  assert [e.id for e in examples] == list(range(8))
  assert TASK.example(split, 5) == examples[5]
  assert word_problems.task().example(split, 7) == examples[7]
  assert word_problems.task(seed=1).example(split, 5) != examples[5]


def test_every_line_states_one_true_calculation(train):
  check = {
    '+': lambda a, b: a + b,
    '-': lambda a, b: a - b,
    '*': lambda a, b: a * b,
    '/': lambda a, b: a / b,
  }
  for example in train:
    *lines, last = example.target.split('\n')
    found = [equations(line) for line in lines]
    assert all(len(line) == 1 for line in found), example.target
    for ((left, sign, right, result),) in found:
      assert check[sign](left, right) == result
      assert all(1 <= number <= 999 for number in (left, right, result))
    assert last == f'#### {found[-1][0][3]}' == f'#### {example.reference}'


def test_every_quantity_comes_from_the_question_or_an_earlier_line(train):
  words = {'twice': 2, 'half': 2, 'third': 3, 'quarter': 4}
  for example in train:
    question = example.prompt.lower()
    known = {int(n) for n in re.findall(r'\d+', question)}
    known |= {n for word, n in words.items() if word in question}
    for left, _, right, result in equations(example.target):
      assert {left, right} <= known, example
      known.add(result)


def test_texts_are_well_formed(train):
  for example in train:
    text = example.prompt + example.target
    assert not re.search(r'[\[\]{}|@]|None|  |<<', text), text
    assert re.fullmatch(r'[A-Z0-9][^\n]*\?\n', example.prompt), text
    for line in example.target.split('\n')[:-1]:
      assert re.fullmatch(r'[A-Z][^\n]*\.', line), text


def test_two_to_six_steps_about_equally_often(train):
  steps = collections.Counter(len(equations(e.target)) for e in train)
  assert sorted(steps) == [2, 3, 4, 5, 6]
  # 4,000 draws of 1/5 each: 800, sigma 25.
  assert all(abs(count - 800) < 150 for count in steps.values()), steps


def test_splits_share_no_skeleton(train, held_out):
  skeletons = {
    split: {tuple(equations(e.target)) for e in examples}
    for split, examples in {'train': train, **held_out}.items()
  }
  assert not skeletons['train'] & skeletons['test']
  assert not skeletons['train'] & skeletons['validation']
  assert not skeletons['validation'] & skeletons['test']


def test_examples_of_a_split_are_distinct(train, held_out):
  for examples in (train, *held_out.values()):
    assert len({e.prompt for e in examples}) == len(examples)


def test_a_skeleton_has_many_solutions():
  uniform = random.Random(0).random

  def draw(low, high):
    return low + int(uniform() * (high - low + 1))

  scene = word_problem_templates.load().scenes['tickets']  # one with no names
  turns = None
  while not turns:
    turns = word_problems._plan(draw, scene, num_steps=4)
  solutions = {word_problems._tell(draw, scene, turns)[1] for _ in range(500)}
  assert len({tuple(equations(solution)) for solution in solutions}) == 1
  # Four lines of three wordings or more: 81 or more, few of them missed.
  assert len(solutions) > 60


def test_every_move_of_every_scene_is_used(monkeypatch):
  seen = set()
  choice = word_problems._choice

  def spy(draw, options):
    chosen = choice(draw, options)
    if isinstance(chosen, word_problem_templates.Move):
      seen.add(id(chosen))
    return chosen

  monkeypatch.setattr(word_problems, '_choice', spy)
  TASK.examples('train', 1500)
  scenes = word_problem_templates.load().scenes.values()
  assert len(scenes) >= 14
  moves = {
    id(move)
    for scene in scenes
    for move in (*scene.opening, *scene.step, *scene.ending)
  }
  assert moves <= seen


def test_moves_word_every_calculation_of_their_operation():
  # A draw that works: low ends, from a quantity all operations accept.
  def lowest(low, high):
    del high
    return low

  for name, scene in word_problem_templates.load().scenes.items():
    for move in (*scene.opening, *scene.step, *scene.ending):
      operation = word_problems.OPERATIONS[move.operation]
      numbers, calculations = operation(lowest, 24, scene)
      assert len(calculations) == move.num_steps, (name, move.telling[0])
      slots = re.findall(r'\{([abcd])\}', ''.join(move.telling))
      assert set(slots) <= set(numbers), (name, move.telling[0])


def test_expand_spells_out_alternatives():
  assert word_problem_templates.expand('[a|b] c[|d]') == (
    'a c', 'a cd', 'b c', 'b cd',
  )  # fmt: skip


@pytest.mark.parametrize(('split', 'index'), [('dev', 0), ('test', -1)])
def test_no_such_problem(split, index):
  with pytest.raises(ValueError, match=f'No problem {index} of split'):
    TASK.example(split, index)
