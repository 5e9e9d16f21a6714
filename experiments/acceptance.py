r"""Compares drafters: the share of drafts that the verifier accepts.

python experiments/acceptance.py \
  --config.drafters="('old=OLD.safetensors', 'new=NEW.safetensors')"

Decodes under strict. Block efficiency is tokens per verifier call; its change
is from the first drafter. `studies.acceptance.Acceptance` documents the fields
of the config.
"""

from speccascade.runs import process  # noqa: F401  It comes first.

# isort: split
from absl import flags

from speccascade import config, hosts
from speccascade.runs import command_line, job, profiling
from speccascade.studies import acceptance
from speccascade.studies import flags as studies_flags

_CONFIG = studies_flags.define_config(__file__)
_OUT = flags.DEFINE_string('out', None, 'JSONL file to write the rows to.')
_PROFILE = profiling.define_flags()
_JOIN = job.define_flags()


def main():
  """Decodes with every drafter and prints the table."""
  _JOIN()
  study = config.parse(acceptance.Acceptance, _CONFIG.value)
  out = _OUT.value if hosts.is_first() else None
  print(acceptance.run(study, out, _PROFILE()))


if __name__ == '__main__':
  command_line.run(main, 'acceptance')
