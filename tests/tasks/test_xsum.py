import json
import pathlib

import pytest
from rouge_score import rouge_scorer

from speccascade.tasks import xsum

OFFICIAL = pathlib.Path(__file__).parents[3] / 'shared/data/xsum'
ROWS = [
  {'id': '1', 'document': 'It rained.\nA lot.', 'summary': 'It rained a lot.'},
  {'id': '2', 'document': 'A fire.', 'summary': 'There was a fire £.'},
  {'id': '3', 'document': 'A strike.', 'summary': 'They will strike.'},
]


def write(folder, *lines):
  (folder / 'test.jsonl').write_text('\n'.join([*lines, '']))
  return xsum.task(str(folder))


def test_reads_official_rows(tmp_path):
  task = write(tmp_path, *map(json.dumps, ROWS))
  assert (task.name, task.metric, task.max_new_tokens) == ('xsum', 'rouge2', 64)
  examples = task.examples('test', 3)
  assert [e.prompt for e in examples] == [row['document'] for row in ROWS]
  assert [e.target for e in examples] == [row['summary'] for row in ROWS]
  assert [e.reference for e in examples] == [(r['summary'],) for r in ROWS]
  assert examples[1].id == 1


@pytest.mark.parametrize(
  ('output', 'reference', 'f1'),
  [
    ('a b c d', 'a b c d', 1.0),
    ('a b c d', 'b c d e', 2 / 3),
    ('a b c', 'a b c d e', 2 * 1 * 0.5 / 1.5),  # 2 of 2, 2 of 4
    ('A b, C!', 'a b c', 1.0),
    ('fires', 'fire', 0.0),
    ('two fires', 'two fire', 0.0),  # no stemming
    ('a', 'a', 0.0),  # no pair of words
    ('', 'a b', 0.0),
  ],
)
def test_rouge_2_by_hand_and_by_the_library(output, reference, f1):
  task = xsum.task('none')
  assert task.score(output, (reference,)) == pytest.approx(f1)
  library = rouge_scorer.RougeScorer(['rouge2']).score(reference, output)
  assert task.score(output, (reference,)) == library['rouge2'].fmeasure


def test_the_nearest_reference_counts():
  task = xsum.task('none')
  references = ('a b c d', 'b c d e', 'x y')
  assert task.score('b c d e', references) == 1.0
  assert task.score('x y z', references) == pytest.approx(2 / 3)


def test_quality_is_the_mean():
  task = xsum.task('none')
  outputs = ['a b c d', 'a b c d', '']
  references = [('a b c d',), ('x y', 'b c d e'), ('a b',)]
  assert task.quality(outputs, references) == pytest.approx((1 + 2 / 3) / 3)
  with pytest.raises(ValueError, match='3 outputs, 2 references'):
    task.quality(outputs, references[:2])
  with pytest.raises(ValueError, match='0 outputs, 0 references'):
    task.quality([], [])


@pytest.mark.parametrize(
  ('line', 'message'),
  [
    (json.dumps(ROWS[0])[:30], 'is torn or no JSON'),
    ('', 'is torn or no JSON'),
    ('[1]', "must have the keys 'document' and 'summary'"),
    ('{"document": "A fire."}', "must have the keys 'document' and 'summary'"),
    ('{"document": "A fire.", "summary": 3}', 'must be texts'),
    ('{"document": " ", "summary": "A fire."}', 'must be texts'),
  ],
)
def test_bad_lines_are_named(tmp_path, line, message):
  task = write(tmp_path, json.dumps(ROWS[0]), line)
  with pytest.raises(ValueError, match=rf'test\.jsonl, line 2.*{message}'):
    task.example('test', 0)


def test_missing_file_and_document(tmp_path):
  task = write(tmp_path, *map(json.dumps, ROWS))
  with pytest.raises(
    ValueError, match='has 3 documents; there is no docum.* 3'
  ):
    task.examples('test', 4)
  with pytest.raises(ValueError, match=r'No XSum file at .*train\.jsonl'):
    task.example('train', 0)


def test_official_documents():
  if not OFFICIAL.exists():
    pytest.skip(f'no XSum at {OFFICIAL}')
  task = xsum.task(str(OFFICIAL))
  examples = task.examples('xsum_human50', 50)
  assert examples[0].prompt.startswith('West Berkshire Council is setting up')
  assert examples[0].target.startswith('a council plans to employ its own')
  references = [e.reference for e in examples]
  assert task.quality([e.target for e in examples], references) == 1.0
  first = [e.prompt.split('\n')[0] for e in examples]
  assert 0 < task.quality(first, references) < 0.2
