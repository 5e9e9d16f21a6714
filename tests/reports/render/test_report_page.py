"""Tests of the page."""

import base64
import html.parser
import io
import json
import re

import pytest
from matplotlib import figure, image

from speccascade.reports.render import page, panels, plots, tables

_VOID = {'meta', 'img'}


class _Reader(html.parser.HTMLParser):
  """Checks that tags match, and keeps them with their text."""

  def __init__(self, text):
    super().__init__()
    self.tags, self.text, self._open = [], [], []
    self.feed(text)
    self.close()
    assert self._open == []

  def handle_starttag(self, tag, attrs):
    self.tags.append((tag, dict(attrs)))
    if tag not in _VOID:
      self._open.append(tag)

  def handle_endtag(self, tag):
    assert self._open.pop() == tag

  def handle_data(self, data):
    if self._open:
      self.text.append((self._open[-1], data))

  def all(self, wanted):
    return [attrs for tag, attrs in self.tags if tag == wanted]

  def texts(self, wanted):
    return [text for tag, text in self.text if tag == wanted]


@pytest.fixture(scope='module')
def drawn():
  def draw():
    fig = figure.Figure(figsize=(1, 1))
    fig.subplots().plot([0, 1])
    return fig

  return page.Figure('a.png', draw, 'Two panels.', 'A "dot"')


@pytest.fixture(scope='module')
def png(drawn):
  return page.png(drawn, dpi=50)


@pytest.fixture(scope='module')
def reader(drawn, png):
  table = tables.Table(['rule', 'speed-up'], [['opt', '2.00×']], 'Of <rules>.')
  sections = [
    page.Section('Quality <&> latency', ['Pair <a>.', table, 'After it.']),
    page.Section('Calibration', [drawn]),
    page.Section('Nothing yet', []),
  ]
  return _Reader(page.html('Report <1>', sections, {'a.png': png}))


def test_text_is_escaped_and_in_order(reader):
  assert reader.texts('title') == reader.texts('h1') == ['Report <1>']
  headings = ['Quality <&> latency', 'Calibration', 'Nothing yet']
  assert reader.texts('h2') == reader.texts('a') == headings
  assert reader.texts('p') == ['Pair <a>.', 'After it.']
  assert reader.texts('figcaption') == ['Of <rules>.', 'Two panels.']
  body = [tag for tag, _ in reader.tags if tag in ('p', 'table', 'img')]
  assert body == ['p', 'table', 'p', 'img']


def test_contents_lead_to_sections(reader):
  links = [attrs['href'] for attrs in reader.all('a')]
  ids = [attrs['id'] for attrs in reader.all('section')]
  assert links == [f'#{id_}' for id_ in ids]
  assert len(set(ids)) == 3


def test_images_are_inside_and_described(reader, png):
  (attrs,) = reader.all('img')
  kind, data = attrs['src'].split(',')
  assert kind == 'data:image/png;base64'
  assert base64.b64decode(data) == png
  pixels = image.imread(io.BytesIO(base64.b64decode(data)))
  assert pixels.shape[:2] == (50, 50)
  assert attrs['alt'] == 'A "dot"'


def test_nothing_is_fetched(reader):
  assert not reader.all('script') + reader.all('link')
  for tag, attrs in reader.tags:
    for name in ('src', 'href'):
      assert attrs.get(name, '#').startswith(('#', 'data:')), tag
  (style,) = reader.texts('style')
  for fetched in ('url(', '@import', 'http://', 'https://'):
    assert fetched not in style


def test_layout_for_phones_print_and_the_dark(reader):
  (style,) = reader.texts('style')
  assert '@media print' in style
  assert '@media (prefers-color-scheme: dark)' in style
  assert style.count('{') == style.count('}')
  assert {
    'name': 'viewport',
    'content': 'width=device-width, initial-scale=1',
  } in (reader.all('meta'))
  # A wide table scrolls in its own box.
  tags = [tag for tag, _ in reader.tags]
  assert tags[tags.index('table') - 1] == 'div'
  assert reader.all('div')[0]['class'] == 'wide'
  assert '.wide { overflow-x: auto; }' in style
  # Numbers are right-aligned, digits of one width.
  assert reader.all('td') == [{}, {'class': 'number'}]
  assert (
    '.number { text-align: right; font-variant-numeric: tabular-nums; }'
    in style
  )


def test_plots_run_and_nothing_else_does(drawn, png, sweep):
  chart = panels.latency(sweep)
  figure_ = drawn._replace(chart=chart)
  sections = [page.Section(name, [figure_]) for name in 'ab']
  text = page.html('Report', sections, {'a.png': png})
  policy = re.search(r'Security-Policy" content="(.*?)"', text)[1]
  scripts = re.findall(r'<script>(.*?)</script>', text, re.DOTALL)
  allowed = policy.partition('script-src ')[2].split()
  assert allowed == [f"'{plots._digest(source)}'" for source in scripts]
  assert policy.startswith("default-src 'none';")
  places = re.findall(r'<div class="plot" data-plot="(\d+)">', text)
  assert places == ['0', '1', '2', '3']  # Two samplings in each figure.
  (data,) = re.findall(r'id="plots">(.*?)</script>', text)
  assert len(json.loads(data)) == 4
  assert text.count('<img src="data:image/png') == 2
  assert not re.search(r'<script[^>]* src=|<link|<iframe', text)
