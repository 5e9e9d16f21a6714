"""How the prompt of a benchmark is written: a template, shots, a chat or not.

A base model reads examples with their answers, then the question. A model that
is tuned to chat reads an instruction, in the template of its tokenizer.
"""

import dataclasses
import string
from collections.abc import Mapping, Sequence


@dataclasses.dataclass(frozen=True)
class Form:
  """A form of prompts; all of it can be set in a config.

  Attributes:
    question: template of an example, with names of its fields in braces, up to
      where the answer begins.
    answer: template of what follows it in a shot.
    header: text before all.
    separator: text between examples.
    shots: examples with answers that come before the question.
    chat: whether it is what a user says, to be put into the chat template of
      the tokenizer; None is if there is one.
    stop: strings that an answer ends before.
    shots_split: the split of the shots.
    max_input_tokens: the most of a prompt, to which its document is cut; None
      cuts none.
  """

  question: str
  answer: str = ' {target}'
  header: str = ''
  separator: str = '\n\n'
  shots: int = 0
  chat: bool | None = None
  stop: tuple[str, ...] = ()
  shots_split: str = 'train'
  max_input_tokens: int | None = None

  def __post_init__(self):
    if self.shots < 0:
      raise ValueError(f'shots={self.shots} must not be negative')
    if not isinstance(self.stop, tuple) or not all(self.stop):
      raise ValueError(
        f'stop={self.stop!r} must be a tuple of texts that are not empty'
      )
    for name in ('question', 'answer'):
      try:
        list(string.Formatter().parse(getattr(self, name)))
      except ValueError as error:
        raise ValueError(
          f'{name}={getattr(self, name)!r:.80} is no template: {error}; write '
          '{{ for a brace'
        ) from None

  def write(
    self, fields: Mapping[str, str], shots: Sequence[Mapping[str, str]] = ()
  ) -> str:
    """Returns the prompt of an example.

    Args:
      fields: of the example.
      shots: fields of `shots` examples, their 'target' among them.

    Raises:
      ValueError: there are too few shots, or a template names a field that an
        example lacks.
    """
    if len(shots) < self.shots:
      raise ValueError(
        f'shots={self.shots}, but there are only {len(shots)} examples to take '
        'them from'
      )
    parts = [
      _fill('question', self.question, shot)
      + _fill('answer', self.answer, shot)
      for shot in shots[: self.shots]
    ]
    parts.append(_fill('question', self.question, fields))
    return self.header + self.separator.join(parts)


def changed(form: Form, **changes) -> Form:
  """Returns a form with the settings that are not None replaced."""
  given = {name: x for name, x in changes.items() if x is not None}
  return dataclasses.replace(form, **given)


def _fill(name, template, fields):
  try:
    return template.format_map(fields)
  except (KeyError, IndexError) as error:
    raise ValueError(
      f'{name}={template!r:.80} names the field {error.args[0]!r}; the '
      f'examples have {", ".join(sorted(fields))}'
    ) from None
