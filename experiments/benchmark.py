r"""Times the decoding loop beside its parts, schedule by schedule.

python experiments/benchmark.py --config.pair=translation

An iteration of the loop should cost little more than its parts alone: its
drafter steps and its verifier block. `studies.benchmark.Benchmark` documents
the fields of the config.
"""

from speccascade.runs import process  # noqa: F401  It comes first.

# isort: split
from speccascade import config
from speccascade.runs import command_line, job, profiling
from speccascade.studies import benchmark
from speccascade.studies import flags as studies_flags

_CONFIG = studies_flags.define_config(__file__)
_PROFILE = profiling.define_flags()
_JOIN = job.define_flags()


def main():
  """Times every schedule and prints the table."""
  _JOIN()
  study = config.parse(benchmark.Benchmark, _CONFIG.value)
  print(benchmark.run(study, _PROFILE()))


if __name__ == '__main__':
  command_line.run(main, 'benchmark')
