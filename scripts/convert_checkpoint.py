r"""Writes a checkpoint of any format in one that is read faster, or elsewhere.

python scripts/convert_checkpoint.py --checkpoint=DIR --out=model.safetensors
python scripts/convert_checkpoint.py --checkpoint=gs://bucket/gemma2-2b \
  --out=/tmp/gemma2-2b --format=orbax

Checkpoints are folders in the layout of Hugging Face, DeepMind's Gemma in
Orbax, T5X's, and those of this project; see `speccascade.checkpoints.open`.
"""

from speccascade.runs import process  # noqa: F401  It comes first.

# isort: split
from absl import flags

from speccascade.checkpoints import convert
from speccascade.runs import command_line

_CHECKPOINT = flags.DEFINE_string(
  'checkpoint', None, 'File, folder or name on the hub.', required=True
)
_OUT = flags.DEFINE_string(
  'out', None, 'File or folder to write; none may be there.', required=True
)
_FORMAT = flags.DEFINE_enum(
  'format',
  'native',
  list(convert.FORMATS),
  'native: one safetensors file that tells its configuration and its own '
  "SHA-256. orbax: a folder. hugging_face: a folder, for others' libraries.",
)
_DTYPE = flags.DEFINE_enum(
  'dtype',
  None,
  ['bfloat16', 'float32'],
  'Type that is stored; by default bfloat16 if all of the source is.',
)


def main():
  """Writes the checkpoint and says what it holds."""
  told = convert.convert(
    _CHECKPOINT.value, _OUT.value, _FORMAT.value, _DTYPE.value
  )
  print(told)


if __name__ == '__main__':
  command_line.run(main, 'convert_checkpoint')
