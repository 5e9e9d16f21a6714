import io

from speccascade import progress


def test_plain_lines_tell_amount_rate_and_time_left(capsys, monkeypatch):
  clock = iter((0.0, 10.0, 11.0, 40.0))
  monkeypatch.setattr(progress.time, 'monotonic', lambda: next(clock))
  monkeypatch.setattr(progress.sys, 'stderr', io.StringIO())  # No terminal.
  with progress.Progress(100, 'prompts') as bar:
    bar.describe('chow: outputs')
    bar.advance(20)  # At 10 s.
    bar.advance(20)  # A second later: too soon for another line.
    bar.advance(40)  # At 40 s.
  lines = capsys.readouterr().out.splitlines()
  assert lines == [
    '20/100 prompts  2 prompts/s  40 s left  chow: outputs',
    '80/100 prompts  2 prompts/s  10 s left  chow: outputs',
  ]
