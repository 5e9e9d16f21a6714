import itertools

import numpy as np
import pytest
import sacrebleu

from speccascade import scoring

OUTPUTS = [
  'Heute liest sie ein Buch.',
  'Er hat den Hund gesehen.',
  'Wir gehen.',
  'Das Kind schläft im Garten hinter dem alten Haus.',
]
REFERENCES = [
  ('Sie liest heute ein Buch.', 'Heute liest sie ein Buch.'),
  ('Er sah den Hund.', 'Er hat den Hund gesehen.', 'Den Hund sah er.'),
  ('Wir gehen nach Hause.',),
  ('Das Kind schläft hinter dem Haus im Garten.',),
]


def _statistics():
  return [*map(scoring.of_bleu, OUTPUTS, REFERENCES)]


def _corpus_bleu(rows):
  streams = itertools.zip_longest(*(REFERENCES[i] for i in rows))
  outputs = [OUTPUTS[i] for i in rows]
  return sacrebleu.corpus_bleu(outputs, list(map(list, streams))).score


@pytest.mark.parametrize('rows', [[0, 1, 2, 3], [2, 3], [3, 3, 1], [0]])
def test_bleu_of_any_rows_is_that_of_their_texts(rows):
  statistics_NxK = [_statistics()[i] for i in rows]
  got = scoring.quality('bleu', statistics_NxK)
  assert got == pytest.approx(_corpus_bleu(rows), abs=1e-9)


def test_a_mean_of_scores():
  statistics_NxK = [*map(scoring.of_score, (1.0, 0.25, 0.0))]
  assert scoring.quality('exact_match', statistics_NxK) == 1.25 / 3


def test_resamples_are_the_qualities_of_their_rows():
  index_RxN = scoring.resamples(4, 50)
  assert index_RxN.shape == (50, 4)
  assert set(index_RxN.ravel()) == {0, 1, 2, 3}
  np.testing.assert_array_equal(index_RxN, scoring.resamples(4, 50))
  got_R = scoring.resampled('bleu', _statistics(), index_RxN)
  want_R = [_corpus_bleu(rows) for rows in index_RxN]
  np.testing.assert_allclose(got_R, want_R, atol=1e-9)
  scores_N = np.array([0.2, 1.0, 0.7, 0.1])
  got_R = scoring.resampled(
    'rouge2', [*map(scoring.of_score, scores_N)], index_RxN
  )
  np.testing.assert_allclose(got_R, scores_N[index_RxN].mean(1))


def test_no_outputs_are_an_error():
  with pytest.raises(ValueError, match='no outputs'):
    scoring.quality('bleu', [])


def test_standard_error():
  scores_N = np.array([1.0, 0, 0, 1, 1, 0, 1, 0] * 8)
  got = scoring.standard_error(
    'exact_match', [*map(scoring.of_score, scores_N)]
  )
  # sqrt(0.25 / 64), known to sqrt(1 / 800) from 400 resamples.
  assert got == pytest.approx(0.0625, rel=4 / 800**0.5)
