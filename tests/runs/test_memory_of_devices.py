"""What is told of the memory of devices."""

from speccascade.runs import memory

_GIB = 2**30


class _Device:
  def __init__(self, name, stats):
    self._name, self._stats = name, stats

  def __str__(self):
    return self._name

  def memory_stats(self):
    return self._stats


def _stats(used, **more):
  return {
    'num_allocs': 7, 'bytes_in_use': used * _GIB,
    'peak_bytes_in_use': 3 * _GIB, 'bytes_limit': 16 * _GIB,
  } | more  # fmt: skip


def _told(capsys, *devices):
  memory.tell('by now', devices)
  out, error = capsys.readouterr()
  assert not out
  return error.splitlines()


def test_a_device_is_a_line(capsys):
  assert _told(capsys, _Device('a', _stats(1.5))) == [
    'memory by now, a: 1.50 GiB in use, 3.00 GiB at the peak, 16.00 GiB at most'
  ]


def test_devices_that_differ_have_a_line_each(capsys):
  few = {'bytes_in_use': _GIB}
  assert _told(capsys, _Device('a', _stats(2)), _Device('b', few)) == [
    'memory by now, a: 2.00 GiB in use, 3.00 GiB at the peak, 16.00 GiB at '
    'most',
    'memory by now, b: 1.00 GiB in use',
  ]


def test_devices_that_agree_share_one(capsys):
  same = [_Device(name, _stats(2)) for name in 'abcd']
  (line,) = _told(capsys, *same)
  assert line.startswith('memory by now, each of 4 devices: 2.00 GiB in use')


def test_a_device_that_tells_nothing_is_passed_over(capsys):
  assert not _told(capsys, _Device('a', None), _Device('b', {}))
  (line,) = _told(capsys, _Device('a', None), _Device('b', _stats(2)))
  assert line.startswith('memory by now, b: 2.00')


def test_the_devices_of_this_process_are_meant(capsys, monkeypatch):
  one = [_Device('mine', _stats(2))]
  monkeypatch.setattr(memory.jax, 'local_devices', lambda: one)
  memory.tell('by now')
  assert 'mine: 2.00 GiB' in capsys.readouterr().err
