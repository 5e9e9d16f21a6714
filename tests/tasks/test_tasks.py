import importlib
import pkgutil

import pytest

from speccascade import tasks


def test_a_task_is_made_with_its_arguments():
  one, other = (tasks.load('word_problems', {'seed': s}) for s in (0, 1))
  assert one.example('test', 0) != other.example('test', 0)


@pytest.mark.parametrize(
  ('name', 'args', 'complaint'),
  [
    ('wordproblems', {}, "unknown task 'wordproblems'; known: gsm8k, summ"),
    ('example', {}, "unknown task 'example'; known: gsm8k, summaries, tran"),
    ('tokenizer.load', {}, "unknown task 'tokenizer.load'; known: gsm8k"),
    ('', {}, "unknown task ''; known: gsm8k"),
    ('word_problems', {'sed': 1}, "argument 'sed'; word_problems takes .seed"),
    ('gsm8k', {}, "argument: 'path'; gsm8k takes .path"),
  ],
)
def test_a_mistake_is_named(name, args, complaint):
  with pytest.raises(ValueError, match=complaint):
    tasks.load(name, args)


def test_every_module_that_makes_a_task_is_known():
  names = [module.name for module in pkgutil.iter_modules(tasks.__path__)]
  makers = [
    name
    for name in names
    if hasattr(importlib.import_module(f'speccascade.tasks.{name}'), 'task')
  ]
  assert sorted(makers) == sorted(tasks.TASKS)
