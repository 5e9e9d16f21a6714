"""Sweeps: every point of a config decoded, scored, timed and recorded.

Letters: E examples, P prompts of a batch, S prompt tokens (padded), B rows,
N tokens of an answer (padded), T trials.
"""
