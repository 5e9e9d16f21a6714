import pytest

from speccascade import tasks


def test_a_task_is_made_with_its_arguments():
  one, other = (tasks.load('word_problems', {'seed': s}) for s in (0, 1))
  assert one.example('test', 0) != other.example('test', 0)


@pytest.mark.parametrize(
  ('name', 'args', 'complaint'),
  [
    ('wordproblems', {}, "unknown task 'wordproblems'"),
    ('word_problems', {'sed': 1}, "argument 'sed'; word_problems takes .seed"),
    ('gsm8k', {}, "argument: 'path'; gsm8k takes .path"),
  ],
)
def test_a_mistake_is_named(name, args, complaint):
  with pytest.raises(ValueError, match=complaint):
    tasks.load(name, args)
