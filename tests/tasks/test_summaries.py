import re

import pytest

from speccascade import tasks
from speccascade.tasks import summaries, summary_templates, xsum

TASK = summaries.task()
STORIES = summary_templates.load()
SPLITS = ('train', 'validation', 'test')


@pytest.fixture(scope='module')
def examples():
  counts = {'train': 4000, 'validation': 500, 'test': 500}
  return {split: TASK.examples(split, n) for split, n in counts.items()}


def sentences(text):
  return re.split(r'(?<=[.?"]) (?=["A-Z0-9£])', text)


def test_it_is_a_task_like_xsum():
  assert tasks.load('summaries', {}) == TASK
  assert type(TASK) is xsum.Summarization
  assert (TASK.name, TASK.metric) == ('summaries', 'rouge2')
  assert TASK.max_new_tokens == 64
  for example in TASK.examples('test', 40):
    assert example.reference[0] == example.target
    assert all(TASK.score(x, example.reference) == 1 for x in example.reference)
    assert TASK.score(example.prompt, example.reference) < 0.5


@pytest.mark.parametrize('split', SPLITS)
def test_examples_do_not_depend_on_what_was_drawn_before(split):
  examples = TASK.examples(split, 8)
  assert [e.id for e in examples] == list(range(8))
  assert TASK.example(split, 5) == examples[5]
  assert summaries.task().example(split, 7) == examples[7]
  assert summaries.task(seed=1).example(split, 5) != examples[5]


def test_splits_share_no_content(examples):
  def contents(split):
    # Names, numbers and rare words: what is left without the wording.
    return {
      frozenset(re.findall(r"[\w£']+", e.target.lower()))
      for e in examples[split]
    }

  for one, other in (SPLITS[:2], SPLITS[1:], SPLITS[::2]):
    assert not contents(one) & contents(other)
  texts = [{e.prompt for e in examples[split]} for split in SPLITS]
  assert all(
    len(t) == len(examples[s]) for t, s in zip(texts, SPLITS, strict=True)
  )
  assert len(set.union(*texts)) == sum(map(len, texts))


def test_a_content_has_one_split_whatever_the_wording():
  story = STORIES['fire']
  assert story.told == {'hurt', 'cause', 'place', 'town'}
  slots = {'hurt': 'two', 'cause': 'a candle', 'place': 'hotel', 'town': 'York'}
  split = summaries._split_of('fire', slots | {'day': 'Monday'})
  assert split == summaries._split_of('fire', slots | {'day': 'Sunday'})
  others = {
    summaries._split_of('fire', slots | {'hurt': str(n)}) for n in range(200)
  }
  assert others == set(SPLITS)


def test_reports_have_three_to_six_sentences(examples):
  for example in examples['train']:
    assert 3 <= len(sentences(example.prompt)) <= 6, example.prompt
    assert len(sentences(example.target)) == 1, example.target


def test_texts_are_well_formed(examples):
  for example in sum(examples.values(), []):
    for text in (example.prompt, *example.reference):
      assert not re.search(r'[\[\]{}|]|None|  | [.,]|\.\.', text), text
      assert re.fullmatch(r'["A-Z0-9£].*[."]', text), text
      assert not re.search(
        r'\b(a|A) [aeio]|\b(an|An) (?!hour)[^aeiou]', text
      ), text
      assert not re.search(r'£(one|two|three|four|five)', text), text


def test_summaries_say_what_the_report_says(examples):
  words = 'zero one two three four five six seven eight nine ten'.split()
  for example in sum(examples.values(), []):
    report = set(re.findall(r"[\w£,']+", example.prompt.lower()))
    sums = {
      str(a + b) for a in map(number, report) for b in map(number, report)
    }
    for word in re.findall(r'\b[\d,]+\b|\b[A-Z]\w+', example.target)[1:]:
      said = word.lower()
      assert said in ' '.join(report) or said in sums or (
        said in words
      ), (word, example)  # fmt: skip


def number(word):
  words = 'zero one two three four five six seven eight nine ten'.split()
  return words.index(word) if word in words else (
    int(word) if word.isdigit() else 0
  )  # fmt: skip


def test_sums_are_right(examples):
  checked = 0
  for example in examples['train']:
    match = re.search(r'(\w+) adults .*?(\w+) children', example.prompt)
    if match and 'crash' in example.target:
      total = number(match[1].lower()) + number(match[2].lower())
      stated = re.search(r'(\w+) people', example.target)[1].lower()
      assert number(stated) == total
      checked += 1
  assert checked > 100


def test_whatever_is_summed_up_is_told_in_every_wording():
  def slots(wording):
    return {name.lower() for name in re.findall(r'\{(\w+)\}', wording)}

  for name, story in STORIES.items():
    lines = [sum(story.lead, ()), *story.fact]
    known = set.union(
      *(set.intersection(*map(slots, wordings)) for wordings in lines)
    )
    known |= {x for x, parts in story.sums.items() if set(parts) <= known}
    assert story.told <= known, name
    # All summaries of a story say as much, but for a name or a number.
    said = [slots(x) for wordings in story.summary for x in wordings]
    assert len(set.union(*said) - set.intersection(*said)) <= 2, name


def test_every_story_is_told_in_several_ways(examples):
  assert len(STORIES) >= 18
  assert all(
    len(set(e.reference)) == len(e.reference) for e in examples['train']
  )
  counts = [len(e.reference) for e in examples['train']]
  assert min(counts) >= 1
  assert sum(counts) > 3 * len(counts)


@pytest.mark.parametrize(('split', 'index'), [('dev', 0), ('test', -1)])
def test_no_such_report(split, index):
  with pytest.raises(ValueError, match=f'No report {index} of split'):
    TASK.example(split, index)
