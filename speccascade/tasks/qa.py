"""What the benchmarks of short answers share: forms of prompts, and scores."""

from collections.abc import Callable

from speccascade.tasks import answers, benchmark, prompts

STOP = ('\n',)


def forms(shots: int, header: str = '', separator: str = '\n\n') -> dict:
  """Returns the forms of prompts of questions without a text.

  Args:
    shots: of base models.
    header: likewise.
    separator: likewise.
  """
  return {
    'few_shot': prompts.Form(
      question='Question: {question}?\nAnswer:',
      header=header,
      separator=separator,
      shots=shots,
      chat=False,
      stop=STOP,
    ),
    'chat': prompts.Form(
      question='{question}?\n\nAnswer with a name, a number or a few words, '
      'and nothing else.',
      chat=True,
      stop=STOP,
    ),
  }


def short(text: str) -> str:
  """Returns the first line of an answer, without the full stop at its end."""
  return answers.first_line(text).strip().removesuffix('.')


def record(
  question: str, right: tuple[str, ...], normalise: Callable[[str], str]
) -> benchmark.Record:
  """Returns a question with its right answers.

  Args:
    question: with or without its question mark.
    right: answers, at least one, the first to be learnt.
    normalise: by which answers are compared.
  """
  reference = tuple(dict.fromkeys(map(normalise, right)))
  question = question.strip().removesuffix('?').rstrip()
  return benchmark.Record({'question': question}, right[0], reference)


def need(where: str, right: tuple[str, ...]) -> tuple[str, ...]:
  """Returns right answers; raises ValueError if there is none."""
  right = tuple(text for text in right if text.strip())
  if not right:
    raise ValueError(f'{where} has no answer')
  return right
