r"""Explains where methods reject drafts, and what they can gain over strict.

python experiments/analyze.py --out=/tmp/analysis \
  --config.methods="{'token_v3': (0.5,), 'typical': (0.8,)}"

Strict, which the others are compared with, is always measured.
`studies.tokens.config.Tokens` documents the fields of the config.
"""

from speccascade.runs import process  # noqa: F401  It comes first.

# isort: split
from absl import flags

from speccascade import config
from speccascade.reports.sections import tokens as report
from speccascade.runs import command_line, job
from speccascade.runs import workdir as workdir_lib
from speccascade.studies import flags as studies_flags
from speccascade.studies.tokens import config as tokens
from speccascade.studies.tokens import measure, summary

_CONFIG = studies_flags.define_config(__file__)
_OUT = flags.DEFINE_string('out', None, 'Folder of the report.', required=True)
_JOIN = job.define_flags()


def main():
  """Measures every method, prints the report and writes it."""
  _JOIN()
  study = config.parse(tokens.Tokens, _CONFIG.value)
  workload = study.workload(study.num_examples)
  with workdir_lib.sole(_OUT.value) as out:
    answers = measure.measure(
      workload, study.settings, study.gamma, study.batch_size
    )
    rows = summary.rows(answers, study.gamma, study.gammas)
    print(report.write(rows, study.title(workload), out))
  print(f'Written to {_OUT.value}: analysis.md, analysis.jsonl, analysis.png.')


if __name__ == '__main__':
  command_line.run(main, 'analyze')
