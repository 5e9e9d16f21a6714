r"""Decodes one prompt and shows which model wrote each token.

python experiments/generate.py --config.example=7 --config.method=strict
python experiments/generate.py --config.prompt='Tom has 3 pens ...' \
  --config.method=token_v3 --config.values=0.3

`studies.show.Show` documents the fields of the config.
"""

from speccascade.runs import process  # noqa: F401  It comes first.

# isort: split
from speccascade import config
from speccascade.runs import command_line, job, profiling
from speccascade.studies import flags as studies_flags
from speccascade.studies import show

_CONFIG = studies_flags.define_config(__file__)
_PROFILE = profiling.define_flags()
_JOIN = job.define_flags()


def main():
  """Decodes with the method and with the verifier alone, and prints both."""
  _JOIN()
  show.run(config.parse(show.Show, _CONFIG.value), _PROFILE())


if __name__ == '__main__':
  command_line.run(main, 'generate')
