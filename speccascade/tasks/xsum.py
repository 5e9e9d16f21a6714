"""XSum: summaries of one sentence, scored by ROUGE-2.

Source: Narayan et al. 2018, arXiv 1808.08745.
"""

import dataclasses
from typing import Literal

from etils import epath

from speccascade.tasks import base, files, rouge
from speccascade.tasks.example import Example


@dataclasses.dataclass(frozen=True)
class Source:
  """Official XSum files: `{path}/{split}.jsonl` of document and summary."""

  path: str

  def example(self, split: str, index: int) -> Example:
    """Returns line `index` of the split's file."""
    file = epath.Path(self.path) / f'{split}.jsonl'
    rows = files.jsonl(file, ('document', 'summary'))
    _, (document, summary) = files.item(rows, index, file)
    return Example(
      id=index, prompt=document, target=summary, reference=(summary,)
    )


def task(
  path: str, metric: Literal[rouge.Kind, 'rouge2_unstemmed'] = 'rouge2'
) -> base.Task:
  """Official XSum, read from the folder of `{split}.jsonl`.

  Args:
    path: the folder.
    metric: a kind of ROUGE.
  """
  return base.SourceTask(
    name='xsum', metric=metric, max_new_tokens=64, source=Source(path)
  )
