import itertools
import subprocess
import sys

import numpy as np
import pytest
import sacrebleu
from rouge_score import rouge_scorer

from speccascade.tasks import metrics

OUTPUTS = [
  'Heute liest sie ein Buch.',
  'Er hat den Hund gesehen.',
  'Wir gehen.',
  'Das Kind schläft im Garten hinter dem alten Haus.',
  '',
]
REFERENCES = [
  ('Sie liest heute ein Buch.', 'Heute liest sie ein Buch.'),
  ('Er sah den Hund.', 'Er hat den Hund gesehen.', 'Den Hund sah er.'),
  ('Wir gehen nach Hause.',),
  ('Das Kind schläft hinter dem Haus im Garten.',),
  ('Ein Haus.', 'Zwei'),
]
PERFECT = 'The cat sleeps on the old sofa.'


def _reference(metric, *texts):
  """A reference in the metric's form: one text, or several."""
  return texts[0] if metric.binary else texts


# 'answered' compares with nothing.
@pytest.fixture(params=sorted(metrics.METRICS.keys() - {'answered'}))
def metric(request):
  return metrics.get(request.param)


def test_a_metric_is_known_by_its_name(metric):
  assert metrics.METRICS[metric.name] is metric


def test_a_perfect_output_scores_one(metric):
  reference = _reference(metric, PERFECT)
  assert metric.score(PERFECT, reference) == pytest.approx(1)
  assert metric.score('Ten years ago', reference) < 0.1
  assert metric.score('', reference) == 0


def test_statistics_add_up(metric):
  references = [_reference(metric, *texts) for texts in REFERENCES]
  references[2] = _reference(metric, OUTPUTS[2])
  rows = list(map(metric.statistics, OUTPUTS, references))
  whole = metrics.quality(metric.name, rows)
  assert whole == metric.value(np.sum(rows, axis=0))
  parts = [np.sum(rows[:2], axis=0), np.sum(rows[2:], axis=0)]
  assert metrics.quality(metric.name, parts) == whole
  perfect = [metric.statistics(PERFECT, _reference(metric, PERFECT))]
  assert metrics.quality(metric.name, perfect) > whole > 0


def test_statistics_are_numbers_that_json_keeps(metric):
  row = metric.statistics(PERFECT, _reference(metric, PERFECT))
  assert all(type(x) in (int, float) for x in row)


def test_statistics_that_no_output_has(metric):
  row = metric.statistics(PERFECT, _reference(metric, PERFECT))
  assert metric.is_valid(row)
  for other in ([], row[:-1], [*row, 1], [-1, *row[1:]], [*row[:-1], 0]):
    assert not metric.is_valid(other)
  assert not metric.is_valid([2**50, *row[1:]])


def test_no_outputs_have_no_quality(metric):
  with pytest.raises(ValueError, match='^there are no outputs'):
    metrics.quality(metric.name, [])


@pytest.mark.parametrize(
  'call', [metrics.get, lambda name: metrics.quality(name, [[1, 1]])]
)
def test_an_unknown_metric_is_named(call):
  known = ', '.join(metrics.METRICS)
  message = f"^unknown metric 'accuracy'; known: {known}$"
  with pytest.raises(ValueError, match=message):
    call('accuracy')


def test_text_of_a_value():
  names = ('bleu', 'exact_match', 'rouge2')
  texts = {name: metrics.get(name).text(12.3456) for name in names}
  assert texts == {'bleu': '12.3', 'exact_match': '12.346', 'rouge2': '12.346'}


def test_exact_match_is_a_mean_of_ones_and_zeros():
  metric = metrics.get('exact_match')
  assert metric.binary
  rows = [metric.statistics(x, '18') for x in ('18', '1', '18 ', '18')]
  assert rows == [[1.0, 1], [0.0, 1], [0.0, 1], [1.0, 1]]
  assert metrics.quality('exact_match', rows) == 0.5


@pytest.mark.parametrize('rows', [[0, 1, 2, 3], [2, 3], [3, 3, 1], [0], [4]])
def test_bleu_of_any_rows_is_that_of_their_texts(rows):
  metric = metrics.get('bleu')
  statistics_NxK = [metric.statistics(OUTPUTS[i], REFERENCES[i]) for i in rows]
  streams = itertools.zip_longest(*(REFERENCES[i] for i in rows))
  want = sacrebleu.corpus_bleu(
    [OUTPUTS[i] for i in rows], list(map(list, streams))
  ).score
  got = metrics.quality('bleu', statistics_NxK)
  assert got == pytest.approx(want, abs=1e-9)


def test_bleu_by_hand():
  # 4 of 5 words, 3 of 4, 2 of 3 and 1 of 2 longer ones; no brevity penalty.
  metric = metrics.get('bleu')
  output, reference = 'a b c d x', ('a b c d e',)
  want = (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25
  assert metric.score(output, reference) == pytest.approx(want)
  rows = [metric.statistics(output, reference)]
  assert metrics.quality('bleu', rows) == pytest.approx(100 * want)


def test_bleu_is_of_the_corpus_not_of_its_sentences():
  metric = metrics.get('bleu')
  outputs, references = ['a b c d e f g h', 'x'], [('a b c d e f g h',), ('y',)]
  rows = list(map(metric.statistics, outputs, references))
  mean = sum(map(metric.score, outputs, references)) / 2
  assert metrics.quality('bleu', rows) > 100 * mean + 10


@pytest.mark.parametrize(
  ('output', 'references', 'f1'),
  [
    ('a b c d', ('b c d e',), 2 / 3),
    ('a b c', ('a b c d e',), 2 * 1 * 0.5 / 1.5),  # 2 of 2, 2 of 4
    ('A b, C!', ('a b c',), 1.0),
    ('two fires burned', ('two fire burns',), 1.0),
    ('he went', ('he goes',), 0.0),  # An irregular form.
    ('a', ('a',), 0.0),  # No pair of words.
    ('x y z', ('a b c d', 'b c d e', 'x y'), 2 / 3),  # The nearest.
  ],
)
def test_rouge2_by_hand_and_by_the_library(output, references, f1):
  got = metrics.get('rouge2').score(output, references)
  assert got == pytest.approx(f1)
  library = rouge_scorer.RougeScorer(['rouge2'], use_stemmer=True)
  assert got == max(
    library.score(r, output)['rouge2'].fmeasure for r in references
  )


def test_rouge_without_stems():
  output, reference = 'two fires burned', ('two fires burn',)
  assert metrics.get('rouge2').score(output, reference) == 1
  assert metrics.get('rouge2_unstemmed').score(output, reference) == 0.5


@pytest.mark.parametrize(
  ('kind', 'f1'),
  [
    ('rouge1', 1.0),
    ('rouge2', 5 / 6),  # All pairs of words but one.
    ('rougeL', 4 / 7),  # 'd e f g' is in order.
    ('rougeLsum', 1.0),  # As each sentence is, in another order.
  ],
)
def test_kinds_of_rouge(kind, f1):
  score = metrics.get(kind).score('d e f g\na b c', ('a b c\nd e f g',))
  assert score == pytest.approx(f1)


ODD = ['', '.!?', 'a', 'ein Wort ' * 200, '\x00\x1b', '𐏿' * 50]


def test_odd_texts_have_finite_scores(metric):
  for output in ODD:
    for text in ODD[:3]:
      reference = _reference(metric, text)
      score = metric.score(output, reference)
      row = metric.statistics(output, reference)
      value = metrics.quality(metric.name, [row])
      assert metric.is_valid(row)
      assert 0 <= score <= 1 + 1e-9
      assert np.isfinite(value)


def test_metrics_and_tasks_need_no_jax():
  code = (
    'import sys; from speccascade import tasks; from speccascade.tasks import '
    "metrics; tasks.load('gsm8k', {'path': 'none'}); metrics.get('bleu'); "
    "heavy = ('jax', 'nltk', 'rouge_score', 'speccascade.tasks.synthetic'); "
    'print([x for x in heavy if x in sys.modules])'
  )
  done = subprocess.run(
    [sys.executable, '-c', code], capture_output=True, text=True, check=True
  )
  assert done.stdout == '[]\n'
