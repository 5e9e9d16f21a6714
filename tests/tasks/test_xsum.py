import json
import pathlib
import statistics

import pytest
from rouge_score import rouge_scorer

from speccascade.tasks import xsum

OFFICIAL = pathlib.Path(__file__).parents[3] / 'shared/data/xsum'
ROWS = [
  {'id': '1', 'document': 'It rained.\nA lot.', 'summary': 'It rained a lot.'},
  {'id': '2', 'document': 'A fire.', 'summary': 'There was a fire £.'},
]


def test_reads_official_rows(tmp_path):
  lines = [*map(json.dumps, ROWS), '']
  (tmp_path / 'test.jsonl').write_text('\n'.join(lines))
  task = xsum.task(str(tmp_path))
  examples = task.examples('test', 2)
  assert [e.id for e in examples] == [0, 1]
  assert [e.prompt for e in examples] == [row['document'] for row in ROWS]
  assert [e.target for e in examples] == [row['summary'] for row in ROWS]
  assert [e.reference for e in examples] == [(r['summary'],) for r in ROWS]
  with pytest.raises(ValueError, match='has 2 examples; there is no example 2'):
    task.example('test', 2)
  with pytest.raises(ValueError, match=r'has none of train\.jsonl'):
    task.example('train', 0)


def test_quality_is_the_mean_f1():
  task = xsum.task('none')
  outputs = ['a b c d', 'a b c d', '']
  references = [('a b c d',), ('x y', 'b c d e'), ('a b',)]
  assert task.quality(outputs, references) == pytest.approx((1 + 2 / 3) / 3)


def test_a_metric_is_chosen():
  for metric in ('rouge1', 'rougeL', 'rougeLsum', 'rouge2_unstemmed'):
    task = xsum.task('none', metric=metric)
    assert task.metric == metric
    assert task.score('a b c', ('a b c',)) == 1


def test_official_documents():
  if not OFFICIAL.exists():
    pytest.skip(f'no XSum at {OFFICIAL}')
  task = xsum.task(str(OFFICIAL))
  examples = task.examples('xsum_human50', 50)
  assert examples[0].prompt.startswith('West Berkshire Council is setting up')
  assert examples[0].target.startswith('a council plans to employ its own')
  references = [e.reference for e in examples]
  assert task.quality([e.target for e in examples], references) == 1
  first = [e.prompt.split('\n')[0] for e in examples]
  got = task.quality(first, references)
  library = rouge_scorer.RougeScorer(['rouge2'], use_stemmer=True)
  scores = (library.score(r, x) for x, (r,) in zip(first, references, strict=1))
  assert got == pytest.approx(
    statistics.fmean(x['rouge2'].fmeasure for x in scores)
  )
  unstemmed = xsum.task(str(OFFICIAL), metric='rouge2_unstemmed')
  assert 0 < unstemmed.quality(first, references) < got < 0.2
