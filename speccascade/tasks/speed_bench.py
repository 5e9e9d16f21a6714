"""SPEED-Bench's questions, by path or name: see `speed`.

Source: Abramovich et al. 2026, arXiv 2604.09557.
"""

import functools

from speccascade.tasks import benchmark, speed

SPEC = speed.spec('speed_bench', 'nvidia/SPEED-Bench', 'qualitative')
task = functools.partial(benchmark.task, SPEC)
