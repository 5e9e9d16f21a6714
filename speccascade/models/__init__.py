"""Models: families by name, each a folder, and what all of them share.

Shape letters of this package, one meaning each:

  B  rows of a batch
  T  tokens of a block, or of a whole row
  S  positions that are read: tokens of a prompt, slots of a cache, keys
  D  model width
  F  feed-forward width
  V  vocabulary
  N  query heads
  K  key-value heads
  Q  query heads that share a key-value head, N / K
  H  head width
  L  layers of a stack
  W  buckets of relative positions
"""
