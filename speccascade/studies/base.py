"""What the configs of all studies have."""

from speccascade import config, pairs, tasks
from speccascade.pairs import config as pairs_config
from speccascade.sweeps import batches
from speccascade.sweeps import config as sweeps_config
from speccascade.tasks import base


class Study(pairs_config.Models):
  """A pair on a task; see `pairs.config.Models` for the models.

  Attributes:
    pair: shipped, or a folder.
    task: a name of `tasks.TASKS`; None is the pair's own name.
    task_args: arguments of the task.
    split: of the task's examples.
    seed: of all draws.
  """

  pair: str | None = 'word_problems'
  task: config.Task | None = None
  task_args: config.TaskArgs = {}
  split: str = 'test'
  seed: config.Seed = 0

  def load(self) -> tuple[pairs.Pair, base.Task]:
    """Loads the pair and the task.

    Raises:
      ValueError: either is missing, or a draft is longer than any answer.
    """
    pair = self.load_pair()
    task = tasks.load(self.task or pair.name, self.task_args)
    sweeps_config.check_gammas(self, task)
    return pair, task

  def workload(self, num_examples: int) -> batches.Workload:
    """Loads and tokenises examples; raises ValueError as `batches.load`."""
    return batches.load(*self.load(), self.split, num_examples)
