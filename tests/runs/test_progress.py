import io

import pytest

from speccascade.runs import progress
from tests.timing import fake_clock


def test_plain_lines_show_amount_rate_and_time_left(capsys, monkeypatch):
  clock = fake_clock.install(monkeypatch)
  out = io.StringIO()  # No terminal.
  monkeypatch.setattr(progress.sys, 'stderr', out)
  with progress.Progress(100, 'prompts') as bar:
    bar.describe('chow: outputs')
    clock.advance(10)
    bar.advance(20)
    clock.advance(1)  # Too soon for another line.
    bar.advance(20)
    clock.advance(29)
    bar.advance(40)
    clock.advance(1)  # The last unit gets a line at once.
    bar.advance(20)
  assert out.getvalue().splitlines() == [
    '20/100 prompts  2 prompts/s  40 s left  chow: outputs',
    '80/100 prompts  2 prompts/s  10 s left  chow: outputs',
    '100/100 prompts  2.44 prompts/s  0 s left  chow: outputs',
  ]
  assert not capsys.readouterr().out


def test_a_terminal_gets_a_bar(capsys, monkeypatch):
  bars = []

  class Bar:
    def __init__(self, **kwargs):
      self.calls = [kwargs]
      bars.append(self)

    def set_description(self, text):
      self.calls.append(text)

    def update(self, units):
      self.calls.append(units)

    def close(self):
      self.calls.append('closed')

  monkeypatch.setattr(progress.tqdm, 'tqdm', Bar)
  monkeypatch.setattr(progress.sys.stderr, 'isatty', lambda: True)
  with progress.Progress(3, 'prompts') as bar:
    bar.describe('chow')
    bar.advance(2)
  want = [{'total': 3, 'unit': 'prompts'}, 'chow', 2, 'closed']
  assert [b.calls for b in bars] == [want]
  assert not capsys.readouterr().out


@pytest.mark.parametrize(
  ('total', 'units', 'line'),
  [
    (0, 0, '0/0 units  0 units/s  ? s left  '),
    (5, 0, '0/5 units  0 units/s  ? s left  '),
    (10_000_000, 1, '1/10000000 units  1e+09 units/s  0 s left  '),
    (1e300, 1, '1/1e+300 units  1e+09 units/s  1e+291 s left  '),
    (2, 3, '3/2 units  3e+09 units/s  0 s left  '),
  ],
)
def test_any_total_has_a_line(monkeypatch, total, units, line):
  fake_clock.install(monkeypatch)
  monkeypatch.setattr(progress.sys, 'stderr', out := io.StringIO())
  with progress.Progress(total, 'units') as bar:
    bar.advance(units)
  assert out.getvalue() == line + '\n'


def test_closed_it_is_silent(capsys, monkeypatch):
  monkeypatch.setattr(progress.sys, 'stderr', None)
  with progress.Progress(3, 'units') as bar:
    bar.advance(3)
  assert not capsys.readouterr().out
