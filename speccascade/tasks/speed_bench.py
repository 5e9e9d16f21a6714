"""SPEED-Bench's questions, by path or name: see `speed`."""

import functools

from speccascade.tasks import benchmark, speed

SPEC = speed.spec('speed_bench', 'nvidia/SPEED-Bench')
task = functools.partial(benchmark.task, SPEC)
