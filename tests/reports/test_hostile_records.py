"""Tests of reports of records that others wrote, or that were damaged."""

import copy
import csv
import html.parser
import io
import json
import random
import re

import pytest

from speccascade.reports import load, report
from speccascade.reports.render import page, tables
from speccascade.reports.stats import points
from tests.reports import synthetic

NAMES = [
  '<script>alert(1)</script>',
  '</p></figcaption><img src=x onerror=y>',
  '[a](http://x) ![b](http://x/i.png)',
  '[r]: http://x "t"\n\n[r] <http://x> www.x.org http://x.org',
  'a\n# h\n\n- x\n1. y\n> z\n\n    code\n```\n---\n===',
  '| a | b |\n|---|---|\n| c | d |',
  '**b** _e_ __f__ `c` ~~s~~ a_b &lt; \\',
  '=HYPERLINK("http://x")',
  "-2+3+cmd|' /C calc'!A0",
  r'$\frac{a$ \input{x} %&#{}',
  '\x1b[31m\x9b\x00\u202e\u200b\r\n\t\x85\u2028',
  '../../' + 'x' * 5000,
]


def _records(name):
  """A sweep with a name wherever a record has text."""
  records = [
    synthetic.record('verifier_alone', scores=[1, 0, 1]),
    synthetic.record('strict', None, 5, 0.5, [1, 0, 1]),
    synthetic.record('m' + name, {name: 0.5}, 5, 0.4, [1, 1, 0]),
    synthetic.record('m' + name, {name: 0.9}, 5, 0.3, [0, 1, 0]),
  ]
  foreign = {'pair': name, 'task': name, 'device': name, 'dtype': name}
  foreign |= {'versions': {name: name}, 'git_revision': name, name: name}
  planned = {'schedule': name, 'schedule_parameter': 0.5}
  return [
    *(r | foreign | (planned if r['gamma'] else {}) for r in records),
    *(r | {'id': f'other {r["id"]}', 'pair': 'other'} for r in records[:2]),
  ]


def _read(path, records):
  lines = (json.dumps(record) + '\n' for record in records)
  path.write_text(''.join(lines))
  return load.load([path])


class _Tags(html.parser.HTMLParser):
  def __init__(self, text):
    super().__init__()
    self.tags = []
    self.feed(text)

  def handle_starttag(self, tag, attrs):
    self.tags.append((tag, [name for name, _ in attrs if name != 'class']))


def _markup(text):
  """The elements of a Markdown text, without what they hold."""
  markdown_it = pytest.importorskip('markdown_it')
  parser = markdown_it.MarkdownIt('commonmark', {'html': True})
  parser.enable(['table', 'strikethrough'])
  found = []
  for token in parser.parse(text):
    inside = {child.type for child in token.children or ()}
    found.append((token.type, inside - {'text', 'softbreak'}))
  return found


def _html(sections):
  shown = [
    page.Section(
      s.heading, [x for x in s.body if not isinstance(x, page.Figure)]
    )
    for s in sections
  ]
  return page.html('Report', shown, {})


@pytest.fixture(scope='module')
def plain(tmp_path_factory):
  records = _read(tmp_path_factory.mktemp('plain') / 'r', _records('plain'))
  return report.sections(records)


@pytest.mark.parametrize('name', NAMES)
def test_names_are_no_markup(plain, tmp_path, name):
  records = _read(tmp_path / 'r.jsonl', _records(name))
  sections = report.sections(records)
  text = page.markdown(sections)
  assert all(char.isprintable() or char == '\n' for char in text)
  assert _markup(text) == _markup(page.markdown(plain))
  assert _Tags(_html(sections)).tags == _Tags(_html(plain)).tags
  table = tables.csv(*points.columns_and_rows(records))
  rows = list(csv.reader(io.StringIO(table)))
  assert len(rows) == 1 + len(records)
  assert not any(cell[:1] in tuple('=+-@\t\r') for row in rows for cell in row)
  figures = [
    x.name for s in sections for x in s.body if isinstance(x, page.Figure)
  ]
  assert len(set(figures)) == 6
  for name in figures:
    assert re.fullmatch(r'\w[\w.-]{0,200}\.png', name, re.ASCII)


@pytest.mark.parametrize('name', [r'$\frac{a$ $$', NAMES[-2] + NAMES[-1]])
def test_names_are_drawn(tmp_path, name, recwarn):
  records = _read(tmp_path / 'r.jsonl', _records(name)[:4])
  for section in report.sections(records):
    for block in section.body:
      if isinstance(block, page.Figure):
        assert page.png(block, dpi=20).startswith(b'\x89PNG')
  assert not recwarn.list  # Of a glyph that is missing, or of no room.


# --- Damage.

SWEEP = [
  synthetic.record('verifier_alone', latency=[1.0, 1.1, 0.9], scores=[1, 0, 1]),
  synthetic.record('drafter_alone', None, None, [0.1] * 3, [0, 0, 1]),
  synthetic.record('strict', None, 5, [0.5] * 3, [1, 0, 1]),
  synthetic.record('opt', 0.5, 5, [0.4, 0.3, 0.4], [1, 1, 0]),
  synthetic.record('opt', 0.9, 3, [0.3, 0.2, 0.1], [0, 1, 0]),
]
VALUES = [
  *(0, -1, 17, 2**62, 10**25, 0.0, -0.5, 0.3, 1e300, 1e-300, 5e-324, -1e308),
  *(True, None, '', 'NaN', float('inf'), float('nan'), [], {}, [[]], [0], [1]),
]


def _damaged(seed):
  """The lines of a sweep after one to three accidents."""
  rng = random.Random(seed)
  records = copy.deepcopy(SWEEP)
  for _ in range(rng.choice([1, 1, 2, 3])):
    record = rng.choice(records)
    field = rng.choice(list(record))
    value = record[field]
    inside = isinstance(value, dict | list) and value and rng.random() < 0.6
    parent, key = (
      (value, rng.choice(_keys(value))) if inside else (record, field)
    )
    match rng.randrange(6):
      case 0 | 1 | 2:
        parent[key] = rng.choice(VALUES)
      case 3:
        del parent[key]
      case 4 if isinstance(value, list):
        record[field] = rng.choice([value[:-1], 2 * value, value[::-1]])
      case 5 if isinstance(value, int | float):
        record[field] = value * rng.choice([-1, 1.5, 1e12, 1e-9])
      case _:
        other = rng.choice(records)
        record[field], other[field] = other.get(field), record[field]
  data = ''.join(json.dumps(record) + '\n' for record in records).encode()
  if rng.random() < 0.1:
    start = rng.randrange(len(data))
    data = data[:start] + rng.randbytes(3) + data[start + rng.randrange(40) :]
  return data


def _keys(value):
  return list(value) if isinstance(value, dict) else list(range(len(value)))


def test_a_damaged_file_is_refused_in_a_line_or_reported(tmp_path):
  path, refused = tmp_path / 'r.jsonl', 0
  for seed in range(100):
    path.write_bytes(_damaged(seed))
    error = None
    try:
      records = load.load([path])
    except ValueError as raised:
      error = str(raised)
    if error:
      refused += 1
      assert str(path) in error
      assert '\n' not in error
    else:
      text = page.markdown(report.sections(records))
      assert not re.search(r'\b(nan|inf)\b', text), seed
  assert 40 < refused < 90
