"""Answers of a sweep where a method and strict deferred differently.

The task's scores are 1 or 0: right or wrong. A sweep keeps the texts of answers
and which of their tokens the drafter wrote. An answer whose text does not give
its tokens back, as of a tokenizer that has several ways to write it, is passed
over.
"""

import itertools
import re
from collections.abc import Mapping
from typing import Any

from etils import epath

from speccascade import tokenizers
from speccascade.reports.render import answers
from speccascade.storage import lines
from speccascade.sweeps import outputs

_STRICT = 'strict'
_SAMPLING = re.compile(r'-t[\d.e+-]+-p[\d.e+-]+-k\d+-s\d+$')  # Of an id.
# What is shown, and of which scores (strict's, the method's): 1 is right.
_KINDS = {
  'both are right, and the method keeps more drafts': (True, True),
  'the method is right where strict is not': (False, True),
  'strict is right where the method is not': (True, False),
}


def compare(
  folder: epath.PathLike,
  id_: str,
  tokenizer: tokenizers.Tokenizer,
  longest: int,
) -> list[answers.Compared]:
  """Returns one example of each kind that there is.

  Args:
    folder: workdir of a sweep of one task.
    id_: of the text of a point, as lines of outputs have it.
    tokenizer: of the pair.
    longest: most tokens of either answer.

  Raises:
    ValueError: there are no such answers, or none that differ.
  """
  folder = epath.Path(folder) / 'outputs'
  method = id_.partition('-')[0]
  sampling = _SAMPLING.search(id_)
  if sampling is None:
    raise ValueError(f'{id_!r} is no id of outputs, as strict-t0-p1-k0-s0')
  strict_id = f'{_STRICT}{sampling[0]}'
  strict = _of(folder, _STRICT, strict_id)
  other = _of(folder, method, id_)
  found = []
  for why, wanted in _KINDS.items():
    shown = (
      answers.Compared(e, why, one, two)
      for e in sorted(strict.keys() & other.keys())
      if (strict[e]['score'] >= 1, other[e]['score'] >= 1) == wanted
      and strict[e]['digest'] != other[e]['digest']
      and max(strict[e]['tokens'], other[e]['tokens']) <= longest
      and (one := _answer(tokenizer, strict[e])) is not None
      and (two := _answer(tokenizer, other[e])) is not None
    )
    best = max(shown, key=_saved, default=None)
    if best is not None:
      found.append(best)
  if not found:
    raise ValueError(
      f'{folder}: no answers of {id_} and {strict_id} with at most {longest} '
      'tokens differ'
    )
  return found


def _of(folder, method, id_):
  """{example: line} of a point's answers."""
  found = lines.read(folder / f'{method}.jsonl')
  own = {x['example']: x for x in found if x['id'] == id_}
  if not own:
    ids = sorted({x['id'] for x in found})
    raise ValueError(
      f'{folder} has no answers of {id_}; of {method} it has '
      f'{", ".join(ids) or "none"}'
    )
  return own


def _saved(compared):
  """The share of strict's tokens that the verifier wrote, less the other's."""
  one, two = compared.strict, compared.other
  return one.corrected / one.tokens - two.corrected / two.tokens


def _answer(
  tokenizer: tokenizers.Tokenizer, line: Mapping[str, Any]
) -> answers.Answer | None:
  """Returns the answer of a line; None if its tokens are not known."""
  kept, text = line['from_drafter'], line['text']
  token_N = _tokens(tokenizer, text, line)
  if token_N is None:
    return None
  spelled = zip(tokenizers.spell(tokenizer, token_N), f'{kept}1', strict=True)
  runs, left = [], len(text)  # A stop string that ended it is cut.
  for drafted, own in itertools.groupby(spelled, lambda x: x[1] == '1'):
    if part := ''.join(x for x, _ in own)[:left]:
      runs.append((part, drafted))
      left -= len(part)
  return answers.Answer(
    line['id'], line['score'], tuple(runs), len(token_N), kept.count('0')
  )


def _tokens(tokenizer, text, line):
  """The tokens that were generated, if the text gives them back."""
  token_N = list(tokenizer.encode(text))
  for ending in ((), *((eos,) for eos in tokenizer.eos_ids)):
    if outputs.digest([*token_N, *ending]) == line['digest']:
      return [*token_N, *ending]
  return None
