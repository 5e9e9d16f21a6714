import json
import pathlib

import pytest

from speccascade.tasks import gsm8k, word_problems

OFFICIAL = pathlib.Path(__file__).parents[3] / 'shared/data/gsm8k'
ROW = {
  'question': 'A robe takes 2 bolts of blue fiber. How many in all?',
  'answer': 'It takes 2/2=<<2/2=1>>1 bolt\nSo 2+1=<<2+1=3>>3\n#### 3',
}


def write(folder, *lines):
  (folder / 'test.jsonl').write_text('\n'.join(lines) + '\n')
  return gsm8k.task(str(folder))


@pytest.mark.parametrize(
  ('text', 'answer'),
  [
    ('It is 5.\n#### 18', '18'),
    ('#### 1,080', '1080'),
    ('#### 1,234,567\n', '1234567'),
    ('#### -3', '-3'),
    ('#### 2.5', '2.5'),
    ('#### 70000 dollars', '70000'),
    ('#### 7\n#### 8', '7'),
    ('the answer is 18', '[invalid]'),
    ('####18', '[invalid]'),
    ('#### $18', '[invalid]'),
    ('', '[invalid]'),
  ],
)
def test_extracts_answers_as_the_authors_do(text, answer):
  assert gsm8k.extract_answer(text) == answer


def test_reads_official_rows(tmp_path):
  task = write(tmp_path, json.dumps(ROW), json.dumps(ROW))
  assert task.name == 'gsm8k'
  example = task.examples('test', 2)[1]
  assert example.id == 1
  assert example.prompt == ROW['question'] + '\n'
  assert example.target == 'It takes 2/2=1 bolt\nSo 2+1=3\n#### 3'
  assert example.reference == '3'


def test_score_compares_extracted_answers(tmp_path):
  task = write(tmp_path, json.dumps({**ROW, 'answer': '#### 1,080'}))
  reference = task.example('test', 0).reference
  assert task.score('So 1080.\n#### 1,080', reference) == 1.0
  assert task.score('#### 1080', reference) == 1.0
  assert task.score('#### 108', reference) == 0.0
  assert task.score('1080', reference) == 0.0


def test_quality_is_the_mean_score(tmp_path):
  task = write(tmp_path, json.dumps(ROW))
  outputs = ['#### 3', '3', '', '#### 1,080']
  assert task.quality(outputs, ['3', '3', '3', '1080']) == 0.5
  with pytest.raises(ValueError, match='4 outputs, 3 references'):
    task.quality(outputs, ['3', '3', '3'])
  with pytest.raises(ValueError, match='0 outputs, 0 references'):
    task.quality([], [])


def test_word_problems_are_the_same_task():
  task = word_problems.task()
  assert type(task) is gsm8k.Gsm8k
  assert (task.name, task.metric) == ('word_problems', 'exact_match')
  for example in task.examples('train', 20):
    assert task.score(example.target, example.reference) == 1.0
    assert task.score(example.prompt, example.reference) == 0.0


def test_too_few_problems(tmp_path):
  task = write(tmp_path, json.dumps(ROW))
  with pytest.raises(ValueError, match='has 1 problems; there is no problem 1'):
    task.examples('test', 2)


def test_missing_file(tmp_path):
  with pytest.raises(ValueError, match=r'No GSM8K file at .*train\.jsonl'):
    gsm8k.task(str(tmp_path)).example('train', 0)


@pytest.mark.parametrize(
  ('line', 'message'),
  [
    (json.dumps(ROW)[:40], 'is torn or no JSON'),
    ('', 'is torn or no JSON'),
    ('[1, 2]', "must have the keys 'question' and 'answer'"),
    ('{"question": "How many?"}', "must have the keys 'question' and 'answer'"),
    ('{"question": "How many?", "answer": "3"}', "no '#### number'"),
    ('{"question": "How many?", "answer": 3}', 'must be texts'),
  ],
)
def test_bad_lines_are_named(tmp_path, line, message):
  task = write(tmp_path, json.dumps(ROW), line)
  with pytest.raises(ValueError, match=rf'test\.jsonl, line 2.*{message}'):
    task.example('test', 0)


def test_official_test_set():
  if not (OFFICIAL / 'test.jsonl').exists():
    pytest.skip(f'no GSM8K at {OFFICIAL}')
  task = gsm8k.task(str(OFFICIAL))
  examples = task.examples('test', 1319)
  assert [e.reference for e in examples[:5]] == [
    '18',
    '3',
    '70000',
    '540',
    '20',
  ]
  assert not any('<<' in e.target for e in examples)
  assert all(task.score(e.target, e.reference) == 1.0 for e in examples)
  with pytest.raises(ValueError, match='has 1319 problems'):
    task.example('test', 1319)
