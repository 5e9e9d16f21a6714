"""Tests of what the numbers of a record must agree in."""

import pytest

from speccascade.reports.stats import consistency
from tests.reports import synthetic

RECORD = synthetic.record('strict', None, 5, [0.5, 1.5], [1, 0])
BLEU = [7, 9, 5, 4, 3, 2, 7, 6, 5, 4]


def test_agreeing_numbers_pass():
  consistency.check(RECORD)
  consistency.check(synthetic.record('verifier_alone'))
  consistency.check(RECORD | {'verifier_example_seconds': [0.5, 1.5]})
  consistency.check(synthetic.record('drafter_alone', latency=0.1))
  no_calls = RECORD['counts'] | {'verifier_calls': 0}
  consistency.check(RECORD | {'counts': no_calls, 'block_efficiency': 1.0})


@pytest.mark.parametrize(
  ('changes', 'complaint'),
  [
    (
      {'metric': 'rogue'},
      " has the unknown metric 'rogue'; known: answered, bleu",
    ),
    (
      {'example_statistics': [[1, 1], [-1, 1]]},
      r': example_statistics has \[-1, 1\], which exact_match never gives',
    ),
    (
      {'example_statistics': [[1, 1, 1], [0, 1, 1]]},
      ': example_statistics has',
    ),
    (
      {'metric': 'bleu'},
      r': example_statistics has \[1, 1\], which bleu never',
    ),
    (
      {'metric': 'bleu', 'example_statistics': [BLEU, [*BLEU[:9], 1]]},
      ': example_statistics has',
    ),
    ({'quality': 0.6}, ': quality is 0.6, but other fields tell 0.5'),
    ({'gamma': None}, ': gamma is None, but traits.drafts is True'),
    ({'schedule': None}, ': schedule is None, but traits.drafts is True'),
    ({'timed_differs': 1.5}, ': timed_differs is 1.5, more than 1'),
    ({'top_p': 2}, ': top_p is 2, more than 1'),
    (
      {'example_rejected': [0, 600], 'example_tokens': [500, 500]},
      ': example_rejected is more than example_tokens',
    ),
    (
      {'example_tokens': [500, 501]},
      ': counts.tokens is 1000, but .* tell 1001',
    ),
    ({'example_rejected': [0, 1]}, ': counts.rejected is 100, but .* tell 1$'),
    ({'output_length': 5.0}, ': output_length is 5, but other fields tell 500'),
    ({'rejection_rate': 0.5}, ': rejection_rate is 0.5, but .* tell 0.1'),
    ({'block_efficiency': 1}, ': block_efficiency is 1, but .* tell 4'),
    ({'example_seconds': [1, 2]}, ': the sum of example_seconds is 3, but'),
    (
      {'verifier_example_seconds': [1, 2]},
      ': the sum of verifier_example_seconds is 3, but',
    ),
    ({'relative_latency': [1, 1, 2]}, ': relative_latency is 2, but .* tell 1'),
  ],
)
def test_a_contradiction_is_named(changes, complaint):
  with pytest.raises(ValueError, match=f"^record 'strict-5-0'{complaint}"):
    consistency.check(RECORD | changes)


def test_no_more_rejections_are_expected_than_tokens():
  counts = RECORD['counts'] | {'divergence': 1001.0}
  message = 'counts.divergence is more than counts.tokens'
  with pytest.raises(ValueError, match=message):
    consistency.check(RECORD | {'counts': counts})
