"""Counts of the same tokens under another draft length.

With coupled randomness neither a token nor whether it was an accepted draft
depends on gamma, so one decoding tells the counts of every gamma exactly.
"""

import numpy as np


def accepted_lengths(from_drafter_N, gamma):
  """Blocks by accepted drafts.

  A block commits tokens up to its first rejection or until gamma + 1.

  Args:
    from_drafter_N: for each token of one example, whether it is an accepted
      draft.
    gamma: draft length.

  Returns:
    int array of length gamma + 2: blocks that accepted 0, 1, ..., gamma + 1.
  """
  histogram = np.zeros(gamma + 2, int)
  accepted = 0
  for kept in from_drafter_N:
    if kept:
      accepted += 1
    if not kept or accepted == gamma + 1:
      histogram[accepted] += 1
      accepted = 0
  if accepted:  # Cut by EOS or length.
    histogram[accepted] += 1
  return histogram
