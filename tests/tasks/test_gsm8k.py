import json
import pathlib

import pytest

from speccascade.tasks import gsm8k

OFFICIAL = pathlib.Path(__file__).parents[3] / 'shared/data/gsm8k'
ROW = {
  'question': 'A robe takes 2 bolts of blue fiber. How many in all?',
  'answer': 'It takes 2/2=<<2/2=1>>1 bolt\nSo 2+1=<<2+1=3>>3\n#### 3',
}


def _task(folder, *rows):
  (folder / 'test.jsonl').write_text('\n'.join([*map(json.dumps, rows), '']))
  return gsm8k.task(str(folder), shots=0)


@pytest.mark.parametrize(
  ('text', 'answer'),
  [
    ('It is 5.\n#### 18', '18'),
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
  task = _task(tmp_path, ROW, ROW)
  example = task.examples('test', 2)[1]
  assert example.id == 1
  assert example.prompt == f'Question: {ROW["question"]}\nAnswer:'
  assert example.target == 'It takes 2/2=1 bolt\nSo 2+1=3\n#### 3'
  assert example.reference == '3'
  with pytest.raises(ValueError, match='has 2 examples; there is no example 2'):
    task.example('test', 2)
  with pytest.raises(ValueError, match=r'has none of train\.jsonl'):
    task.example('train', 0)


def test_extracted_answers_are_compared(tmp_path):
  task = _task(tmp_path, {**ROW, 'answer': '#### 1,080'})
  reference = task.example('test', 0).reference
  outputs = ['So 1080.\n#### 1,080', '#### 1080', '#### 108', '1080']
  assert [task.score(x, reference) for x in outputs] == [1, 1, 0, 1]
  assert task.quality(outputs, [reference] * 4) == 0.75
  judged = task.judge(outputs, [reference] * 4)
  assert [x.more['strict'] for x in judged] == [1, 1, 0, 0]


@pytest.mark.parametrize(
  ('text', 'strict', 'flexible'),
  [
    ('So 3 + 4.\nThe answer is 7.', '7', '7'),
    ('The answer is $1,070.50 in all', '1070.50', '1070.50'),
    ('the answer is: **12**. Or 13?', '12', '12'),
    ('The final answer is -3.0', '-3', '-3'),
    (r'So \(2 + 2\).\nThe answer is \(\boxed{1,234}\).', '1234', '1234'),
    (r'\[ \boxed{360} \] of 7', '360', '360'),
    (r'The answer is \( 4 \).', '4', '4'),
    ('it is 5, then 6.', '[invalid]', '6'),
    ('2 apples cost $18.00.', '[invalid]', '18'),
    ('#### 9 and 10', '9', '9'),
    ('none', '[invalid]', '[invalid]'),
  ],
)
def test_answers_that_are_said_and_the_last_number(text, strict, flexible):
  assert gsm8k.strict(text) == strict
  assert gsm8k.flexible(text) == flexible


def test_the_worked_problems_need_no_other_file(tmp_path):
  _task(tmp_path, ROW)
  task = gsm8k.task(str(tmp_path / 'test.jsonl'), style='cot')
  (example,) = task.examples('test', 1)
  shots = example.prompt.split('\n\n')
  assert len(shots) == 9
  assert shots[0].startswith('Q: There are 15 trees in the grove.')
  assert shots[0].endswith('been 21 - 15 = 6. The answer is 6.')
  assert shots[-1] == f'Q: {ROW["question"]}\nA:'
  said = [gsm8k.strict(shot) for shot in shots[:-1]]
  assert said == '6 5 39 8 9 29 33 8'.split()
  assert task.stop == ('Q:',)


def test_an_answer_without_a_number_is_named(tmp_path):
  task = _task(tmp_path, ROW, {**ROW, 'answer': '3'})
  with pytest.raises(ValueError, match=r"jsonl, line 2: .* no '#### number'"):
    task.example('test', 0)


def test_official_test_set():
  if not (OFFICIAL / 'test.jsonl').exists():
    pytest.skip(f'no GSM8K at {OFFICIAL}')
  task = gsm8k.task(str(OFFICIAL), shots=0)
  examples = task.examples('test', 1319)
  references = [e.reference for e in examples]
  assert references[:5] == ['18', '3', '70000', '540', '20']
  assert not any('<<' in e.target for e in examples)
  assert task.quality([e.target for e in examples], references) == 1
  with pytest.raises(ValueError, match='has 1319 examples'):
    task.example('test', 1319)
