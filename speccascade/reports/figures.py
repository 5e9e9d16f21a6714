"""The paper's two figures: quality against latency and against rejections."""

from matplotlib import figure, lines

from speccascade.reports import points, styles


def quality_latency(records: list[dict]) -> figure.Figure:
  """Draws quality against latency: a row a sampling, a column a plan."""
  fig, axes = _panels(records, points.plans(records), points.relative_latency)
  for ax in axes[-1]:
    ax.set_xlabel('latency relative to the verifier alone')
  for ax in axes.flat:
    ax.set_xlim(ax.get_xlim())  # the verifier's latency only if in view
    ax.axvline(1, color='0.7', linewidth=1, zorder=0)
  fig.suptitle(_title(records) + ', batch 1', fontsize='large')
  return fig


def quality_rejection(records: list[dict]) -> figure.Figure:
  """Draws quality against rejection rate: a panel a sampling.

  Under one plan: neither quality nor rejections depend on it.
  """
  plans = points.plans(records)
  plans = [plan for plan in plans if plan.isdigit()][-1:] or plans[:1]
  fig, axes = _panels(records, plans, lambda r: r['rejection_rate'])
  axes[-1, 0].set_xlabel('rejection rate (share of emitted tokens)')
  fig.suptitle(_title(records), fontsize='large')
  return fig


def _panels(records, plans, x):
  """Draws a panel for each sampling (rows) and plan of drafts (columns)."""
  plans = plans or [None]  # no rule measured yet: the models' lines alone
  drawn_as = _styles(records)
  rows = points.by_sampling(records)
  fig = figure.Figure(
    figsize=(2.6 + 3.4 * len(plans), 0.9 + 3.1 * len(rows)),
    layout='constrained',
  )
  axes = fig.subplots(
    len(rows), len(plans), sharex='col', sharey='row', squeeze=False
  )
  for row, (sampling, group) in zip(axes, rows.items(), strict=True):
    for ax, plan in zip(row, plans, strict=True):
      _draw(ax, group, plan, x, drawn_as)
      title = f'{sampling}' if plan is None else f'{sampling}, γ = {plan}'
      ax.set_title(title, fontsize='medium')
    row[0].set_ylabel(records[0]['metric'].replace('_', ' '))
    _label_models(row[-1], group)
  handles = [
    lines.Line2D([], [], label=rule, **style)
    for rule, style in drawn_as.items()
  ]
  fig.legend(handles=handles, loc='outside right center', frameon=False)
  return fig, axes


def _draw(ax, group, plan, x, drawn_as):
  """Draws one panel: a line a rule through its alphas, the models dotted."""
  for model in _models(group):
    ax.axhline(model['quality'], color='0.4', linestyle=':', zorder=1)
  for rule, style in drawn_as.items():
    line = [r for r in group if r['rule'] == rule]
    line = [r for r in line if points.plan(r) in (plan, None)]
    line.sort(key=lambda r: r['alpha'] or 0)
    ax.errorbar(
      [x(r) for r in line],
      [r['quality'] for r in line],
      [r['quality_stderr'] for r in line],
      elinewidth=0.6,
      label=rule,
      **style,
    )
  ax.grid(color='0.93')
  ax.set_axisbelow(True)
  ax.spines[['top', 'right']].set_visible(False)


def _label_models(ax, group):
  """Names the dotted lines at the right of a row's last panel."""
  for model in _models(group):
    quality = points.quality_text(model['metric'], model['quality'])
    ax.annotate(
      model['rule'].removesuffix('_alone') + f'\n{quality}',
      (1, model['quality']),
      xycoords=ax.get_yaxis_transform(),
      xytext=(4, 0),
      textcoords='offset points',
      va='center',
      fontsize='small',
      color='0.3',
    )


def _models(group):
  return [r for r in group if r['rule'] in (points.VERIFIER, points.DRAFTER)]


def _styles(records):
  """Gives each rule one look for all panels and both figures."""
  made = styles.lines(styles.drawn(records))
  for rule, group in points.by_rule(records).items():
    if rule in made and all(r['alpha'] is None for r in group):
      made[rule]['linestyle'] = 'none'  # a point, not a line
  return made


def _title(records):
  first = records[0]
  return (
    f'{first["task"]}: {first["num_examples"]} examples, pair {first["pair"]}'
  )
