"""Training of one model on a task, and distillation of a pair's drafter.

Shape letters of this package, one meaning each:

  B  rows of a batch
  E  examples of a split
  N  tokens of an answer that a model draws, at most
  S  input tokens of an encoder
  T  tokens of a row
  V  vocabulary
"""
