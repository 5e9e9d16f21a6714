"""Whether SIGTERM has come, which several processes agree on now and then."""

from collections.abc import Callable

from speccascade import hosts
from speccascade.timing import clock

_ASK = 5.0  # Seconds after which processes ask each other.


def agreed(is_terminated: Callable[[], bool]) -> Callable[[bool], bool]:
  """Returns whether SIGTERM has come, to any process of the job.

  Several processes call it as often, each at the same place: they wait for each
  other where they ask, and so do not ask each time.

  Args:
    is_terminated: of this process.

  Returns:
    (whether they wait for each other there anyway) -> whether it has come.
  """
  calls, gap, due, asked = 0, 1, 1, clock.now()

  def ask(waits: bool = False) -> bool:
    nonlocal calls, gap, due, asked
    if not hosts.is_several():
      return is_terminated()
    calls += 1
    if calls < due and not waits:
      return False
    if calls >= due:
      took = hosts.number_of_first(clock.now() - asked)
      gap = 2 * gap if took < _ASK else max(1, gap // 2)
      due, asked = calls + gap, clock.now()
    return bool(hosts.which(is_terminated()))

  return ask
