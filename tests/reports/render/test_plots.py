"""Panels for a page."""

import base64
import hashlib
import json
import re

import pytest

from speccascade.reports.render import panels, plots


@pytest.fixture(scope='module')
def chart(sweep):
  return panels.latency(sweep)


def _lines(plot):
  return {x['name']: x for x in plot['data'] if x.get('showlegend', True)}


def test_values_on_hover_are_the_panel_s(chart):
  rows = plots.of_chart(chart)
  assert [title for title, _ in rows] == [row.title for row in chart.rows]
  for row, (_, own) in zip(chart.rows, rows, strict=True):
    for panel, plot in zip(row.panels, own, strict=True):
      lines = _lines(plot)
      assert list(lines) == [line.label for line in panel.lines]
      for line in panel.lines:
        data = lines[line.label]
        assert data['x'] == [p.x for p in line.points]
        assert data['y'] == [p.y for p in line.points]
        assert data['text'] == ['<br>'.join(p.told) for p in line.points]
      colors = [x['line']['color'] for x in lines.values()]
      assert len(set(colors)) == len(colors)
      assert tuple(plot['layout']['xaxis']['range']) == panel.view.x


def test_names_are_no_markup(make_record):
  hostile = '<img src=x onerror=alert(1)></script>'
  record = make_record(hostile, 0.5, 3, 0.5, 0.5, family=hostile)
  rows = plots.of_chart(panels.latency([record]))
  html, _ = plots.scripts([plot for _, row in rows for plot in row])
  data = html.partition('</script>')[0]
  assert '<img' not in html.partition('>')[2]
  (told,) = json.loads(data.partition('>')[2])[0]['data'][1]['text']
  assert told.startswith('&lt;img src=x')


def test_the_policy_s_digests_are_of_the_scripts(chart):
  ((_, row), *_) = plots.of_chart(chart)
  html, digests = plots.scripts(row)
  sources = re.findall(r'<script>(.*?)</script>', html, re.DOTALL)
  assert len(sources) == 2
  for source, digest in zip(sources, digests, strict=True):
    own = hashlib.sha256(source.encode()).digest()
    assert digest == 'sha256-' + base64.b64encode(own).decode()
  ((data),) = re.findall(
    r'<script type="application/json" id="plots">(.*?)</script>', html
  )
  assert json.loads(data) == json.loads(json.dumps(row))
