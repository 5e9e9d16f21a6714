"""The generated text is frozen, and no two splits share a content."""

import hashlib
import json
import pathlib
import re

import pytest

from speccascade import tasks
from speccascade.tasks import synthetic
from speccascade.tasks.synthetic import draws
from speccascade.tasks.synthetic.summaries import generated as summaries
from speccascade.tasks.synthetic.translation import generated as translation

COUNTS = {'train': 500, 'validation': 50, 'test': 50}
NAMES = ('summaries', 'translation', 'word_problems')
EQUATION = re.compile(r'(\d+) ([-+*/]) (\d+) = \$?(\d+)')


def _digest(*texts):
  return hashlib.sha256(''.join(texts).encode()).hexdigest()[:16]


@pytest.mark.parametrize(
  ('name', 'args', 'digest'),
  [
    ('summaries', {}, 'c2fa1d828efbf92f'),
    ('summaries', {'seed': 1}, '1c1edef7e9d910f3'),
    ('translation', {}, 'a2358d4f468e7112'),
    ('translation', {'seed': 1}, '72dedfc0d388dd8a'),
    ('translation', {'plain': True}, '1c83d8829e59e9f9'),
    ('word_problems', {}, 'b00e8c5a3c4aeeb1'),
    ('word_problems', {'seed': 1}, 'b5778b607519ee3b'),
  ],
)
def test_examples_are_frozen(name, args, digest):
  task = tasks.load(name, args)
  examples = [
    e for split, count in COUNTS.items() for e in task.examples(split, count)
  ]
  texts = (
    json.dumps([e.id, e.prompt, e.target, e.reference]) for e in examples
  )
  assert _digest(*texts) == digest


@pytest.mark.parametrize(
  ('file', 'digest'),
  [
    ('summaries/templates.txt', '45166c3a75fe6528'),
    ('translation/frames.txt', '860ff40f067afd36'),
    ('translation/lexicon.txt', '03ccdf5ad772731a'),
    ('word_problems/templates.txt', 'a584a74bf526c608'),
  ],
)
def test_words_are_frozen(file, digest):
  text = (pathlib.Path(synthetic.__file__).parent / file).read_text()
  lines = [x for x in text.splitlines() if not x.startswith('#')]
  assert _digest('\n'.join(lines)) == digest


def test_a_word_problem_to_read():
  example = tasks.load('word_problems', {}).example('train', 1)
  assert example.prompt == (
    'Eric has 12 books. Lily has 3 fewer. Lily puts all of these books into 3 '
    'boxes equally. How many books are in each box?\n'
  )
  assert example.target == (
    'Lily has 12 - 3 = 9 books.\nSo each box has 9 / 3 = 3 books.\n#### 3'
  )
  assert example.reference == '3'


def test_a_report_to_read():
  example = tasks.load('summaries', {}).example('train', 2)
  assert example.prompt == (
    'Nina Evans, 52, appeared in court in Dundee on Monday. As a cashier, '
    'Evans had stolen £86,000. The sentence was eight years in prison. Some of '
    'the money has been paid back.'
  )
  assert example.target == example.reference[0]
  assert example.reference[:2] == (
    'Nina Evans, a cashier in Dundee, has been jailed for eight years for '
    'stealing £86,000.',
    'A cashier who stole £86,000 has been jailed for eight years in Dundee.',
  )


def test_a_translation_to_read():
  example = tasks.load('translation', {}).example('train', 1)
  assert example.prompt == (
    'Right now, my grandmother is reading her story to her.'
  )
  assert example.reference == (
    'Meine Großmutter liest ihr ihre Geschichte im Moment vor.',
    'Meine Großmutter liest ihr gerade ihre Geschichte vor.',
    'Meine Großmutter liest ihr ihre Geschichte gerade vor.',
    'Meine Großmutter liest ihr im Moment ihre Geschichte vor.',
  )
  plain = tasks.load('translation', {'plain': True}).example('train', 1)
  assert (plain.prompt, plain.reference) == (example.prompt, example.reference)
  assert plain.target in plain.reference


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('split', COUNTS)
def test_an_example_depends_on_no_other_example(name, split):
  task = tasks.load(name, {})
  examples = task.examples(split, 4)
  assert [e.id for e in examples] == [0, 1, 2, 3]
  assert tasks.load(name, {}).example(split, 3) == examples[3]


@pytest.mark.parametrize('split', COUNTS)
def test_the_skeleton_of_a_word_problem_decides_its_split(split):
  for example in tasks.load('word_problems', {}).examples(split, 50):
    found = EQUATION.findall(example.target)
    skeleton = '; '.join('{} {} {} = {}'.format(*x) for x in found)
    assert draws.split_of(skeleton) == split


def test_what_a_summary_says_decides_its_split():
  # Not the day, which no summary of a fire tells.
  slots = {'hurt': 'two', 'cause': 'a candle', 'place': 'hotel', 'town': 'York'}
  of_days = {
    summaries._split_of('fire', slots | {'day': day})
    for day in ('Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday')
  }
  assert len(of_days) == 1
  of_numbers = {
    summaries._split_of('fire', slots | {'hurt': str(n)}) for n in range(200)
  }
  assert of_numbers == set(COUNTS)


@pytest.mark.parametrize('split', COUNTS)
def test_reports_are_of_their_split(monkeypatch, split):
  told, tell = [], summaries._tell

  def spy(draw, story, slots):
    told.append((story, slots))
    return tell(draw, story, slots)

  monkeypatch.setattr(summaries, '_tell', spy)
  tasks.load('summaries', {}).examples(split, 20)
  names = {id(story): name for name, story in summaries._STORIES.items()}
  assert [summaries._split_of(names[id(x)], y) for x, y in told] == [split] * 20


@pytest.mark.parametrize('split', COUNTS)
def test_the_verbs_and_nouns_of_a_sentence_decide_its_split(split):
  for index in range(20):
    sentence, _ = translation.Source().sentence(split, index)
    for clause in sentence.clauses:
      clause.tense, clause.negated, clause.time = 'past', True, None
    assert draws.split_of(repr(translation.content(sentence))) == split


def test_calculations_of_word_problems_are_true():
  check = {
    '+': lambda a, b: a + b,
    '-': lambda a, b: a - b,
    '*': lambda a, b: a * b,
    '/': lambda a, b: a / b,
  }
  for example in tasks.load('word_problems', {}).examples('train', 300):
    *lines, last = example.target.split('\n')
    for line in lines:
      ((left, sign, right, result),) = EQUATION.findall(line)
      assert check[sign](int(left), int(right)) == int(result)
    assert last == f'#### {result}' == f'#### {example.reference}'


@pytest.mark.parametrize('name', NAMES)
def test_no_such_example(name):
  task = tasks.load(name, {})
  with pytest.raises(ValueError, match="^split must be train.*, got 'dev'$"):
    task.example('dev', 0)
  with pytest.raises(ValueError, match='^index must be non-negative, got -1$'):
    task.example('test', -1)
