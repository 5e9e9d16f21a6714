"""What a task gives to a model, and what it scores the output against."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Example:
  """One prompt of a task.

  Attributes:
    id: the example's index in its split.
    prompt: the model's input.
    target: the text that a model learns to write after the prompt.
    reference: what the task's metric compares an output with; a tuple where
      several outputs are right.
    document: the part of the prompt that may lose its end where the prompt is
      too long; '' for none.
  """

  id: int
  prompt: str
  target: str
  reference: str | tuple[str, ...]
  document: str = ''
