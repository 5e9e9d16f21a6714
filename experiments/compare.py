r"""Times decoding here beside that of transformers, on the same models.

pip install -e '.[compare]'
python experiments/compare.py --config.pair=translation
python experiments/compare.py --config.drafter=DIR --config.verifier=DIR \
  --config.task=gsm8k --config.task_args="{'path': 'DIR'}"

Both libraries decode the same tokens, in turns. Folders in the layout of
Hugging Face are read by both; other models are written as such for
transformers. It runs as its users run it: its own threads, attention and cache,
in inference mode, assisted generation under its default settings and at fixed
draft lengths. `studies.compare.config.Compare` documents the fields of the
config.
"""

from speccascade.runs import process  # noqa: F401  It comes first.

# isort: split
from speccascade import config
from speccascade.runs import command_line
from speccascade.studies import flags as studies_flags
from speccascade.studies.compare import config as compare
from speccascade.studies.compare import run

_CONFIG = studies_flags.define_config(__file__)


def main():
  """Decodes by all methods of both libraries and prints the table."""
  for lines in run.run(config.parse(compare.Compare, _CONFIG.value)):
    print(lines, flush=True)


if __name__ == '__main__':
  command_line.run(main, 'compare')
