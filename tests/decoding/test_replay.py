import numpy as np
import pytest

from speccascade.decoding import replay


@pytest.mark.parametrize(
  ('gamma', 'expected'),
  [
    # d d v d d d d v d: blocks end at a v, or when gamma + 1 drafts are kept.
    (0, [2, 7]),
    (1, [2, 1, 3]),  # dd v dd dd v d
    (2, [0, 2, 1, 1]),  # ddv ddd dv d
    (3, [1, 1, 1, 0, 1]),  # ddv dddd v d
    (8, [0, 1, 1, 0, 1, 0, 0, 0, 0, 0]),  # ddv ddddv d
  ],
)
def test_by_hand(gamma, expected):
  kept = [c == 'd' for c in 'ddvddddvd']
  got = replay.accepted_lengths(kept, gamma)
  np.testing.assert_array_equal(got, expected)


def test_nothing():
  np.testing.assert_array_equal(replay.accepted_lengths([], 2), [0, 0, 0, 0])
