"""Labels beside the lines that they name, where they hide nothing."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib import axes as axes_lib
from matplotlib import patheffects, transforms

from speccascade.reports.render import escape

_GAPS = (5, 9, 14, 20, 28)  # Points between a label and what it names.
_SIDES = (
  (1, 0), (1, 1), (1, -1), (-1, 0), (-1, 1), (-1, -1), (0, 1), (0, -1),
)  # fmt: skip
_ALIGNED = {-1: 'right', 0: 'center', 1: 'left'}
_RAISED = {-1: 'top', 0: 'center', 1: 'bottom'}
_STROKE = 2.0  # Points of the white line around letters.
# What is bad of a place, a pixel of a label's box: to be cut is worst, then to
# hide another label.
_CUT, _LABEL, _OUTSIDE, _DOT = 1000.0, 100.0, 10.0, 1.0
_DOT_SIZE = 6.0  # Pixels of a dot, about.


class Label(NamedTuple):
  """A label to be placed.

  Attributes:
    text: plain.
    color: of it.
    anchors: (x, y) of the points that it may stand beside, the best first.
  """

  text: str
  color: str
  anchors: Sequence[tuple[float, float]]


def place(
  ax: axes_lib.Axes,
  labels: Sequence[Label],
  dots: Sequence[tuple[float, float]],
) -> None:
  """Writes labels into a panel, each where it hides least.

  The figure's layout must be settled, as places are found in pixels.

  Args:
    ax: the panel, with its final limits.
    labels: in order: the first has the choice.
    dots: (x, y) of all points of the panel.
  """
  areas = ax.figure.bbox, ax.get_window_extent()
  room = 2 * _STROKE * ax.figure.dpi / 72  # Between two labels, in pixels.
  dot_Nx2 = ax.transData.transform(np.reshape(dots, (-1, 2)))
  taken = []
  for label in labels:
    anchors = [a for a in label.anchors if _is_in(ax, a)] or label.anchors[:1]
    least, best = np.inf, None
    for where in itertools.product(anchors, _GAPS, _SIDES):
      text = _write(ax, label, *where)
      bad = _hidden(text.get_window_extent(), areas, dot_Nx2, taken)
      text.remove()
      if bad < least:
        least, best = bad, where
      if not least:
        break
    text = _write(ax, label, *best)
    taken.append(text.get_window_extent().padded(room))


def _is_in(ax, anchor):
  (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
  return left <= anchor[0] <= right and low <= anchor[1] <= high


def _write(ax, label, anchor, gap, side):
  (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
  x, y = side
  return ax.annotate(
    escape.label(label.text),
    (min(max(anchor[0], left), right), min(max(anchor[1], low), high)),
    xytext=(gap * x, gap * y * (1 if x == 0 else 0.7)),
    textcoords='offset points',
    ha=_ALIGNED[x],
    va=_RAISED[y],
    fontsize='x-small',
    color=label.color,
    annotation_clip=False,
    path_effects=[
      patheffects.withStroke(linewidth=_STROKE, foreground='white')
    ],
    zorder=6,
  )


def _hidden(box, areas, dot_Nx2, taken):
  """How bad a place is; areas are the figure and the panel."""
  bad = _LABEL * sum(_area(box, other) for other in taken)
  for weight, area in zip((_CUT, _OUTSIDE), areas, strict=True):
    bad += weight * (box.width * box.height - _area(box, area))
  near = (
    (dot_Nx2[:, 0] > box.x0 - _DOT_SIZE / 2)
    & (dot_Nx2[:, 0] < box.x1 + _DOT_SIZE / 2)
    & (dot_Nx2[:, 1] > box.y0 - _DOT_SIZE / 2)
    & (dot_Nx2[:, 1] < box.y1 + _DOT_SIZE / 2)
  )
  return bad + _DOT * _DOT_SIZE**2 * int(near.sum())


def _area(box, other):
  common = transforms.Bbox.intersection(box, other)
  return 0.0 if common is None else common.width * common.height
