"""Spec-Bench's questions, by path: see `speed`.

Source: Xia et al. 2024, arXiv 2401.07851.
"""

import functools

from speccascade.tasks import benchmark, speed

SPEC = speed.spec('spec_bench')
task = functools.partial(benchmark.task, SPEC)
