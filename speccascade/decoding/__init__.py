"""The decoding loop and what it takes and returns.

Letters: P prompts, S prompt tokens (padded), B rows of a batch, R rows of a
group, G = gamma + 1 positions of a block, A = G + 1 numbers of accepted
drafts, N tokens of an answer (padded), M = N + G, T positions, V vocabulary.
"""
