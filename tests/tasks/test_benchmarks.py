"""The public benchmarks: their prompts, their answers and their real files."""

import json
import pathlib

import pytest

from speccascade import tasks
from speccascade.execution import confinement
from speccascade.tasks import aime, answers, benchmark, gpqa, mbpp, prompts, qa

DATA = pathlib.Path(__file__).parents[3] / 'shared/data'


@pytest.mark.parametrize(
  ('normalise', 'text', 'want'),
  [
    (answers.squad, 'The  Cat, (an) "Ibis"!', 'cat ibis'),
    (answers.squad, 'theatre a', 'theatre'),
    (answers.squad_v2, 'Unanswerable.', ''),
    (answers.natural_questions, 'Caf\u00e9', 'cafe\u0301'),
    (answers.trivia, 'A_b-c \u2018d\u2019 the', 'b c d'),
    (answers.trivia, 'Rock & Roll', 'rock roll'),
    (answers.number, 'costs $1,080.00 in all', '1080'),
    (answers.number, '7 or -3.', '-3'),
    (answers.number, 'none', ''),
    (qa.short, '\n Paris.\nLondon', 'Paris'),
  ],
)
def test_answers_are_normalised(normalise, text, want):
  assert normalise(text) == want


@pytest.mark.parametrize(
  ('output', 'references', 'want'),
  [
    ('a b c', ('a b c',), 1),
    ('a b', ('x', 'a b c d'), 2 * 2 / 6),
    ('a a b', ('a b b',), 2 * 2 / 6),
    ('', ('',), 1),
    ('', ('a',), 0),
    ('a', ('',), 0),
  ],
)
def test_f1_is_of_words_and_the_nearest_reference(output, references, want):
  assert answers.f1(output, references) == pytest.approx(want)


def _write(folder, name, rows):
  (folder / name).write_text('\n'.join(map(json.dumps, rows)))


QA = [{'question': f'who is {n}?', 'answer': [f'The {n}', 'x']} for n in 'mnop']


def test_few_shot_prompts_show_answers_of_another_split(tmp_path):
  _write(tmp_path, 'test.jsonl', QA[:2])
  _write(tmp_path, 'train.jsonl', QA[2:])
  task = tasks.load('nq_open', {'path': str(tmp_path), 'shots': 2})
  first, second = task.examples('test', 2)
  assert first.prompt == (
    'Answer these questions:\n\n'
    'Question: who is o?\nAnswer: The o\n\n'
    'Question: who is p?\nAnswer: The p\n\n'
    'Question: who is m?\nAnswer:'
  )
  assert second.prompt.endswith('Question: who is n?\nAnswer:')
  assert first.reference == ('m', 'x')
  assert (task.chat, task.stop) == (False, ('\n',))
  judged = task.judge([' the M.', 'x y'], [first.reference] * 2)
  assert [x.score for x in judged] == [1, 0]
  assert [x.more['f1'] for x in judged] == [1, pytest.approx(2 / 3)]


def test_every_part_of_a_prompt_can_be_set(tmp_path):
  _write(tmp_path, 'test.jsonl', QA)
  args = {
    'path': str(tmp_path / 'test.jsonl'),
    'shots_path': str(tmp_path / 'shots.jsonl'),
    'question': '{{Q}} {question}',
    'answer': ' = {target}',
    'header': '#',
    'separator': ' | ',
    'shots': 1,
    'stop': ('!',),
    'max_new_tokens': 3,
  }
  _write(tmp_path, 'shots.jsonl', QA[3:])
  task = tasks.load('nq_open', args)
  (example,) = task.examples('any', 1)
  assert example.prompt == '#{Q} who is p = The p | {Q} who is m'
  settings = task.settings()
  assert settings['question'] == args['question']
  assert (settings['stop'], settings['max_new_tokens']) == (['!'], 3)
  assert json.loads(json.dumps(settings))


def test_answers_of_the_examples_themselves_are_not_shown(tmp_path):
  _write(tmp_path, 'test.jsonl', QA)
  task = tasks.load('nq_open', {'path': str(tmp_path / 'test.jsonl')})
  with pytest.raises(ValueError, match='shots=5 would show the answers of the'):
    task.example('test', 0)
  few = tasks.load(
    'nq_open',
    {'path': str(tmp_path), 'shots': 9, 'shots_split': 'test'},
  )
  _write(tmp_path, 'dev.jsonl', QA[:1])
  benchmark.forget()
  with pytest.raises(
    ValueError, match='shots=9, but there are only 4 examples'
  ):
    few.example('dev', 0)


def test_a_field_that_examples_lack_is_named(tmp_path):
  _write(tmp_path, 'test.jsonl', QA)
  args = {'path': str(tmp_path), 'shots': 0, 'question': '{passage}'}
  with pytest.raises(ValueError, match="'passage'; the examples have question"):
    tasks.load('nq_open', args).example('test', 0)


def test_a_question_without_an_answer_is_named(tmp_path):
  _write(tmp_path, 'test.jsonl', [{'question': 'a', 'answer': ['']}])
  task = tasks.load('nq_open', {'path': str(tmp_path), 'shots': 0})
  with pytest.raises(ValueError, match=r'test\.jsonl, line 1 has no answer'):
    task.example('test', 0)


def test_no_answer_is_an_answer_of_squad(tmp_path):
  question = {'id': '1', 'question': 'who?', 'answers': []}
  other = question | {'id': '2', 'answers': [{'text': 'the Cat'}]}
  article = {
    'title': 'A_B',
    'paragraphs': [{'context': 'The cat.', 'qas': [question, other]}],
  }
  (tmp_path / 'dev.json').write_text(json.dumps({'data': [article]}))
  task = tasks.load('squad_v2', {'path': str(tmp_path), 'shots': 0})
  none, some = task.examples('dev', 2)
  assert 'Title: A B\n\nBackground: The cat.' in none.prompt
  assert (none.target, none.reference) == ('unanswerable', ('',))
  assert (some.target, some.reference) == ('the Cat', ('cat',))
  outputs = ['unanswerable', 'cat', 'A cat.', 'Unanswerable']
  references = [none.reference] * 2 + [some.reference] * 2
  judged = task.judge(outputs, references)
  assert [(x.score, x.more['f1']) for x in judged] == (
    [(1, 1), (0, 0), (1, 1), (0, 0)]
  )


PROBLEMS = [
  {
    'task_id': n,
    'text': f'Add {n}.',
    'code': f'def f(x):\r\n\treturn x + {n}',
    'test_list': [f'assert f(1) == {n + 1}'],
    'test_setup_code': '',
  }
  for n in (1, 2, 3, 4, 11, 12, 13, 600)
]


@pytest.fixture
def problems(tmp_path):
  _write(tmp_path, 'mbpp.jsonl', PROBLEMS)
  return {'path': str(tmp_path / 'mbpp.jsonl'), 'execute': True}


def test_mbpp_has_its_splits_and_its_shots(problems):
  task = tasks.load('mbpp', problems)
  first, *_ = task.examples('test', 3)
  parts = first.prompt.split('You are an expert Python programmer')
  assert [part[:39] for part in parts[1:]] == [
    f', and here is your task: Add {n}. Your cod'[:39] for n in (2, 3, 4, 11)
  ]
  assert '[BEGIN]\ndef f(x):\n    return x + 2\n[DONE]' in first.prompt
  assert first.reference == ('', 'assert f(1) == 12')
  with pytest.raises(ValueError, match='has 3 examples'):
    task.example('test', 3)
  with pytest.raises(ValueError, match="split 'dev': MBPP has prompt, test"):
    task.example('dev', 0)


@pytest.mark.parametrize(
  ('text', 'code'),
  [
    ('So:\n```python\na = 1\n```\nand\n```\nb\n```', 'a = 1\n'),
    ('```\na = 1', 'a = 1'),
    ('a = 1\n', 'a = 1\n'),
    ('[BEGIN]a = 1', 'a = 1'),
    ('So [BEGIN]a = 1[DONE] b', 'a = 1'),
  ],
)
def test_the_code_of_an_answer(text, code):
  assert mbpp.code(text) == code


@pytest.mark.skipif(
  bool(confinement.supported()), reason=f'needs {confinement.supported()}'
)
def test_programs_are_judged_together_and_once(problems, monkeypatch):
  task = tasks.load('mbpp', problems)
  examples = task.examples('test', 3)
  references = [e.reference for e in examples]
  outputs = [examples[0].target, 'def f(x): return 0', '```\nimport os\n']
  asked = []
  run_all = mbpp.sandbox.run_all
  monkeypatch.setattr(
    mbpp.sandbox, 'run_all', lambda own: asked.append(own) or run_all(own)
  )
  judged = task.judge(outputs * 2, references * 2)
  assert [x.score for x in judged] == [1, 0, 0] * 2
  assert [x.statistics for x in judged[:2]] == [[1, 1], [0, 1]]
  assert task.quality(outputs, references) == pytest.approx(1 / 3)
  assert [len(x) for x in asked] == [3, 0]


def test_whole_numbers_of_aime(tmp_path):
  for text, want in (
    (r'so \boxed{12} or \boxed{ 042 }.', '42'),
    ('The answer is: **7**', '7'),
    ('it is 5 and then 1,234', '1234'),
    ('it is 2.5', ''),
    ('none', ''),
  ):
    assert aime.extract(text) == want
  rows = [{'Problem': 'p', 'Answer': '042'}, {'problem': 'q', 'answer': 7}]
  _write(tmp_path, 'test.jsonl', rows)
  examples = tasks.load('aime', {'path': str(tmp_path)}).examples('test', 2)
  assert [e.reference for e in examples] == ['42', '7']
  assert examples[0].prompt.endswith(r'in \boxed{}.')


def test_letters_of_gpqa(tmp_path):
  for text, want in (
    ('(A) is wrong. The answer is (c).', 'C'),
    ('The answer is: **B**', 'B'),
    ('maybe (A), no (D)', 'D'),
    ('?', ''),
  ):
    assert gpqa.extract(text) == want
  row = {'Question': 'q', 'Correct Answer': 'right'}
  row |= {f'Incorrect Answer {n}': f'wrong {n}' for n in (1, 2, 3)}
  _write(
    tmp_path, 'test.jsonl', [row | {'Question': f'q{n}'} for n in range(9)]
  )
  examples = tasks.load('gpqa', {'path': str(tmp_path)}).examples('test', 9)
  letters = [e.reference for e in examples]
  assert len({*letters}) > 1  # Shuffled.
  for e in examples:
    assert f'({e.reference}) right' in e.prompt


def test_questions_that_measure_speed(tmp_path):
  rows = [{'question_id': 1, 'category': 'qa', 'turns': ['a?', 'b?']}]
  _write(tmp_path, 'question.jsonl', [*rows, {'prompt': 'c?'}])
  args = {'path': str(tmp_path / 'question.jsonl')}
  for name in ('spec_bench', 'speed_bench'):
    task = tasks.load(name, args)
    examples = task.examples('test', 2)
    assert [e.prompt for e in examples] == ['a?', 'c?']
    assert task.chat is None
    assert task.quality(['x', ' '], [e.reference for e in examples]) == 0.5


def test_a_category_is_a_part_of_a_split(tmp_path):
  rows = [{'category': c, 'turns': [f'{c}?']} for c in ('qa', 'code', 'qa')]
  rows.append({'category': 'math', 'turns': ['FULL BENCHMARK DATA SHOULD BE ']})
  rows[-1]['turns'][0] += 'FETCHED FROM THE SOURCE USING SPECDEC_BENCH'
  _write(tmp_path, 'test.jsonl', rows)
  task = tasks.load('speed_bench', {'path': str(tmp_path)})
  prompts = [e.prompt for e in task.examples('test/qa', 2)]
  assert prompts == ['qa?', 'qa?']
  with pytest.raises(ValueError, match='has 2 examples; there is no'):
    task.example('test/qa', 2)
  with pytest.raises(ValueError, match="category 'a'; known: code, math, qa"):
    task.example('test/a', 0)
  with pytest.raises(ValueError, match='line 4 has a placeholder for its text'):
    task.example('test', 0)


def test_what_may_be_cut_is_the_document_that_is_asked_about(tmp_path):
  rows = [{'document': f'News {n}.', 'summary': f'{n}'} for n in range(3)]
  _write(tmp_path, 'test.jsonl', rows[:1])
  _write(tmp_path, 'train.jsonl', rows[1:])
  for style, limit in (('input', 1024), ('few_shot', 2048), ('chat', 1024)):
    task = tasks.load('xsum', {'path': str(tmp_path), 'style': style})
    example = task.example('test', 0)
    assert (example.document, task.max_input_tokens) == ('News 0.', limit)
    assert example.document in example.prompt
  args = {'path': str(tmp_path), 'question': 'Why?', 'max_input_tokens': 9}
  task = tasks.load('xsum', args)
  assert (task.example('test', 0).document, task.max_input_tokens) == ('', 9)
  assert task.settings()['max_input_tokens'] == 9


def test_a_form_needs_its_shots():
  form = prompts.Form('{a}', shots=2)
  with pytest.raises(ValueError, match='shots=2, but there are only 1'):
    form.write({'a': '1'}, [{'a': '2', 'target': 'b'}])


REAL = [
  ('gsm8k', 'gsm8k/test.jsonl', 'test', 1319, 0),
  ('nq_open', 'nq_open/NQ-open.dev.jsonl', 'dev', 3610, 4 / 3610),
  ('web_questions', 'web_questions/test.json', 'test', 2032, 0),
  (
    'trivia_qa',
    'trivia_qa/llm-foundry.triviaqa_sm_sub.jsonl',
    'dev',
    3000,
    1 / 3000,
  ),
  ('trivia_qa', 'trivia_qa/official_sample.json', 'dev', 1, 0),
  ('squad_v2', 'squad_v2/cs224n-dev-v2.0.json', 'dev', 6078, 3168 / 6078),
  ('xsum', 'xsum/xsum_human50.jsonl', 'test', 50, 0),
  ('cnn_dailymail', 'cnn_dailymail/cnn_stories', 'test', 20, 0),
  ('wmt', 'wmt14_en_de', 'newstest2014.500', 500, 0),
  ('mbpp', 'mbpp/mbpp.jsonl', 'test', 500, None),
]


@pytest.mark.parametrize(('name', 'file', 'split', 'number', 'blank'), REAL)
def test_real_files(name, file, split, number, blank):
  """Right answers are right, and blank ones where there is no answer."""
  if not (DATA / file).exists():
    pytest.skip(f'no {file} at {DATA}')
  args = {'path': str(DATA / file)}
  args |= {'shots': 0} if name != 'mbpp' else {'execute': True}
  task = tasks.load(name, args)
  examples = task.examples(split, number)
  with pytest.raises(ValueError, match=f'has {number} examples'):
    task.example(split, number)
  assert len({e.prompt for e in examples}) > 0.98 * number
  if blank is None:
    return  # tests/execution runs its programs.
  references = [e.reference for e in examples]
  best = task.quality([e.target for e in examples], references)
  assert best == pytest.approx(100 if name == 'wmt' else 1)
  blanks = task.quality([''] * number, references)
  assert blanks == pytest.approx(blank, abs=1e-9)
  more = task.judge([e.target for e in examples[:20]], references[:20])
  if name not in ('gsm8k', 'wmt'):
    assert all(set(x.more.values()) == {1.0} for x in more)
