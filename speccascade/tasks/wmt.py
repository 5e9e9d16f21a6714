"""WMT: English to German, scored by BLEU."""

import dataclasses
import functools

from etils import epath

from speccascade.tasks import base, files
from speccascade.tasks.example import Example


@functools.cache
def _sentences(file: epath.Path) -> list[str]:
  sentences = []
  for where, sentence in files.lines(file):
    if not sentence.strip():
      raise ValueError(f'{where} is empty; remove the pair from both files')
    sentences.append(sentence)
  return sentences


@dataclasses.dataclass(frozen=True)
class Source:
  """Official WMT files, aligned line by line: `{path}/{split}.en` and `.de`."""

  path: str

  def example(self, split: str, index: int) -> Example:
    """Returns line `index` of the split's files."""
    folder = epath.Path(self.path)
    file = folder / f'{split}.en'
    english = _sentences(file)
    german = _sentences(folder / f'{split}.de')
    if len(english) != len(german):
      raise ValueError(
        f'{file} has {len(english)} lines and {split}.de has {len(german)}; '
        'line i of one must translate line i of the other'
      )
    return Example(
      id=index,
      prompt=files.item(english, index, file),
      target=german[index],
      reference=(german[index],),
    )


def task(path: str) -> base.Task:
  """Official WMT, read from the folder of `{split}.en` and `{split}.de`."""
  return base.SourceTask(
    name='wmt', metric='bleu', max_new_tokens=80, source=Source(path)
  )
