"""Runs code that a model wrote, apart from all else.

`sandbox` starts a judge, which starts a process for each program. That process
is confined and answers calls; the tests run in the judge, and what they compare
are plain values that came over a pipe. So no program can say that it passed.
"""
