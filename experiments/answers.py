r"""Draws answers of a sweep in which a method and strict deferred differently.

python experiments/answers.py --workdir=/tmp/sweep --tokenizer=DIR \
  --id=token_v3-alpha0.3-t0-p1-k0-s0 --out=/tmp/answers.png

The id is that of the lines in `outputs`. The tokenizer is a file, or the folder
of a model that has one.
"""

from speccascade.runs import process  # noqa: F401  It comes first.

# isort: split
from absl import flags
from etils import epath

from speccascade import tokenizers
from speccascade.reports.render import answers as render
from speccascade.reports.render import page
from speccascade.runs import command_line
from speccascade.storage import files
from speccascade.studies import answers

_WORKDIR = flags.DEFINE_string(
  'workdir', None, 'Folder of a sweep of one task.', required=True
)
_TOKENIZER = flags.DEFINE_string(
  'tokenizer', None, "The pair's.", required=True
)
_ID = flags.DEFINE_string('id', None, 'Of the answers.', required=True)
_LONGEST = flags.DEFINE_integer(
  'longest', 200, 'Most tokens of an answer.', lower_bound=1
)
_OUT = flags.DEFINE_string('out', None, 'PNG file.', required=True)


def main() -> None:
  """Chooses one example of each kind and draws them."""
  tokenizer = tokenizers.load(_TOKENIZER.value)
  found = answers.compare(_WORKDIR.value, _ID.value, tokenizer, _LONGEST.value)
  shown = page.Figure('answers', lambda: render.draw(found), '', '')
  files.write(epath.Path(_OUT.value), page.png(shown, dpi=150))
  for compared in found:
    print(f'example {compared.example}: {compared.why}')
  print(f'Written to {_OUT.value}.')


if __name__ == '__main__':
  command_line.run(main, 'answers')
