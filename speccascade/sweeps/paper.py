"""The grid of the paper's experiments, which its configs share.

Source: arXiv 2405.19261, section 5 and appendix: temperatures, draft lengths,
examples and trials; methods with parameters over their range.
"""

from typing import Any

from speccascade import config as config_lib
from speccascade.sweeps import config

METHODS = {
  'strict': (),
  'chow': (0.02, 0.1, 0.3, 0.6),
  'diff': (-0.2, 0.0, 0.2),
  'opt': (-0.2, 0.1, 0.3, 0.6),
  'token_v1': (0.0, 0.1, 0.3),
  'token_v2': (0.1, 0.3, 0.6),
  'token_v3': (0.1, 0.3, 0.5, 0.8),
  'lossy': (0.1, 0.3, 0.6, 0.9),
  'bild': (0.5, 1.0, 2.0),
  'top_p': (0.8, 0.95),
  'min_p': (0.1,),
  'sequence_mean': (0.1, 0.3),
  'token_cascade': (0.1, 0.3),
  'bild_rollback': (1.0,),
}
_TIMED, _TRIALS = 500, 3


def cell(drafter: str, verifier: str, task: str, **values: Any):
  """Returns the template of a sweep of two models on a task.

  Args:
    drafter: a checkpoint.
    verifier: likewise.
    task: of `tasks.TASKS`.
    **values: of other fields of `config.Sweep`.
  """
  return config_lib.template(
    config.Sweep,
    pair=None,
    drafter=drafter,
    verifier=verifier,
    dtype='bfloat16',
    task=task,
    methods=METHODS,
    temperatures=(0.0, 0.1, 0.5, 1.0),
    latency_examples=_TIMED,
    trials=_TRIALS,
    **values,
  )


def argument(
  arg: str, pairs: dict, tasks: dict, models: str
) -> tuple[str, str, str, str]:
  """Reads pair,task[,folder of models[,folder of data]] of a config's argument.

  Args:
    arg: the argument.
    pairs: {name: (drafter, verifier)}, names of models.
    tasks: whose keys are names of tasks.
    models: what comes before the name of a model, without a folder.

  Returns:
    (drafter, verifier, task, folder of data or '').

  Raises:
    ValueError: it names no such pair or task.
  """
  pair, task, folder, data = [*arg.split(','), '', '', ''][:4]
  if pair not in pairs or task not in tasks or arg.count(',') > 3:
    raise ValueError(
      f'{arg!r}: the argument is pair,task[,models[,data]]; pairs: '
      f'{", ".join(pairs)}; tasks: {", ".join(tasks)}'
    )
  before = f'{folder}/' if folder else models
  drafter, verifier = (before + name for name in pairs[pair])
  return drafter, verifier, task, data
