"""What a task hands to a model, and what it scores the answer against."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Example:
  """One prompt of a task.

  Attributes:
    id: the example's index in its split.
    prompt: the text that is tokenised and fed.
    target: the text to learn after the prompt.
    reference: what the task's `score` compares an output with.
  """

  id: int
  prompt: str
  target: str
  reference: str
