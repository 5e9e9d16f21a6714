"""The paper's two figures: quality against latency and against rejections."""

import collections

from matplotlib import figure, lines

from speccascade.reports.render import styles
from speccascade.reports.stats import points
from speccascade.tasks import metrics

# Of the lines of one method.
_DASHES = ('-', '--', ':', '-.', (0, (8, 3)), (0, (5, 1, 1, 1, 1, 1)))


def quality_latency(records: list[dict]) -> figure.Figure:
  """Draws quality against latency: a row a sampling, a column a draft plan.

  A line runs through the values of a method's first parameter; a method with
  more has a line for each combination of the others.

  Args:
    records: of one pair and task.
  """
  plans = points.plans(records) or [None]  # None: the models' lines alone.
  curves = _curves(records, lambda r: points.parameters_text(_later(r)))
  drawn = [
    (plan, {label: _under(own, plan) for label, own in curves.items()})
    for plan in plans
  ]
  fig, axes = _panels(records, drawn, points.relative_latency)
  for ax in axes[-1]:
    ax.set_xlabel('latency relative to the verifier alone')
  for ax in axes.flat:
    ax.set_xlim(ax.get_xlim())  # The verifier's latency only if in view.
    ax.axvline(1, color='0.7', linewidth=1, zorder=0)
  fig.suptitle(_title(records) + ', batch 1', fontsize='large')
  return fig


def quality_rejection(records: list[dict]) -> figure.Figure:
  """Draws quality against rejection rate: a panel a sampling.

  Points of one draft plan stand for all where plans share a text. A method
  whose text depends on the plan has a line for each plan.

  Args:
    records: of one pair and task.
  """
  plans = points.plans(records)
  plan = next(iter([p for p in plans if p.isdigit()][-1:] or plans), None)
  curves = _curves(records, _later_and_plan)
  drawn = {
    label: own
    if any(r['traits']['plan_changes_text'] for r in own)
    else _under(own, plan)
    for label, own in curves.items()
  }
  fig, axes = _panels(records, [(plan, drawn)], lambda r: r['rejection_rate'])
  axes[-1, 0].set_xlabel('rejection rate (share of emitted tokens)')
  fig.suptitle(_title(records), fontsize='large')
  return fig


def _later(record):
  """The parameters after the first."""
  return dict(list(record['parameters'].items())[1:])


def _later_and_plan(record):
  """The parameters after the first, and the plan if the text depends on it."""
  parts = [points.parameters_text(_later(record))]
  if record['traits']['plan_changes_text'] and record['gamma'] is not None:
    parts.append(f'γ = {points.plan(record)}')
  return ', '.join(filter(None, parts))


def _curves(records, tail):
  """{(method, tail): records} of the methods drawn, a curve's tail a text."""
  curves = collections.defaultdict(list)
  groups = points.by_method(records)
  for method in styles.drawn(records):
    # In the order of the later parameters, whatever the order of the records.
    for record in sorted(groups[method], key=lambda r: points.values(r)[1:]):
      curves[method, tail(record)].append(record)
  return dict(curves)


def _under(group, plan):
  """The records of a plan, and those that have none."""
  return [r for r in group if points.plan(r) in (plan, None)]


def _panels(records, drawn, x):
  """Draws a panel for each sampling (rows) and plan (columns).

  Args:
    records: of one pair and task.
    drawn: (plan, {curve: its records}) of each column.
    x: a function of a record.
  """
  looks = _styles(records, [*drawn[0][1]])
  rows = points.by_sampling(records)
  fig = figure.Figure(
    # As high as the panels need, and the legend beside them.
    figsize=(
      2.6 + 3.4 * len(drawn),
      max(0.9 + 3.1 * len(rows), 0.5 + 0.22 * len(looks)),
    ),
    layout='constrained',
  )
  axes = fig.subplots(
    len(rows), len(drawn), sharex='col', sharey='row', squeeze=False
  )
  for row, (sampling, group) in zip(axes, rows.items(), strict=True):
    for ax, (plan, curves) in zip(row, drawn, strict=True):
      for model in _models(group):
        ax.axhline(model['quality'], color='0.4', linestyle=':', zorder=1)
      for curve, own in curves.items():
        own = [r for r in own if points.sampling(r) == sampling]
        _line(ax, own, x, label=_label(curve), **looks[curve])
      ax.grid(color='0.93')
      ax.set_axisbelow(True)
      ax.spines[['top', 'right']].set_visible(False)
      title = f'{sampling}' if plan is None else f'{sampling}, γ = {plan}'
      ax.set_title(title, fontsize='medium')
    row[0].set_ylabel(records[0]['metric'].replace('_', ' '))
    _label_models(row[-1], group)
  handles = [
    lines.Line2D([], [], label=_label(curve), **look)
    for curve, look in looks.items()
  ]
  fig.legend(handles=handles, loc='outside right center', frameon=False)
  return fig, axes


def _line(ax, group, x, **style):
  """Draws a curve through the values of the parameters, in order."""
  group = sorted(group, key=points.values)
  ax.errorbar(
    [x(r) for r in group],
    [r['quality'] for r in group],
    [r['quality_stderr'] for r in group],
    elinewidth=0.6,
    **style,
  )


def _label_models(ax, group):
  """Names the models' lines at the right of a row's last panel."""
  for model in _models(group):
    quality = metrics.get(model['metric']).text(model['quality'])
    ax.annotate(
      model['method'].removesuffix('_alone') + f'\n{quality}',
      (1, model['quality']),
      xycoords=ax.get_yaxis_transform(),
      xytext=(4, 0),
      textcoords='offset points',
      va='center',
      fontsize='small',
      color='0.3',
    )


def _models(group):
  return [r for r in group if r['method'] in points.MODELS]


def _label(curve):
  """A curve's name: 'opt', 'lossy_beta, β 2'."""
  return ', '.join(filter(None, curve))


def _styles(records, curves):
  """The look of each curve: its method's, with dashes of its own."""
  looks = styles.lines(styles.drawn(records))
  groups = points.by_method(records)
  seen = collections.Counter()
  made = {}
  for curve in curves:
    method = curve[0]
    dashes = _DASHES[seen[method] % len(_DASHES)]
    if not any(r['parameters'] for r in groups[method]):
      dashes = 'none'  # A point, not a line.
    made[curve] = looks[method] | dict(linestyle=dashes)
    seen[method] += 1
  return made


def _title(records):
  first = records[0]
  return (
    f'{first["task"]}: {first["num_examples"]} examples, pair {first["pair"]}'
  )
