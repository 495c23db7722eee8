"""Charts: what a page shows as bars, differences and lines, drawn by matplotlib."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Sequence
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from .drawing import COLORS, COLUMN, Drawing
from .page import Bars, Chart, Differences, Lines
from .texts import excerpt, width

# Pixels.
BAR, GAP, ROW = 20.0, 18.0, 26.0
LINES = 300.0
AXIS, LEGEND, LEADING = 44.0, 20.0, 15.0
# A label takes at most this share of the width; the rest of it goes to further lines.
MOST_LABEL, MOST_LABEL_LINES = 0.36, 3

_LOOKS: tuple[dict[str, Any], ...] = (
    {"facecolor": "none", "edgecolor": COLORS["old"], "hatch": "////"},
    {"facecolor": COLORS["new"], "edgecolor": COLORS["new"]},
)
_DASHES = ("-", (0, (6, 2)), (0, (2, 2)), (0, (6, 2, 1, 2)), (0, (1, 3)), (0, (10, 3)))
_MARKS = "os^Dvx"


def chart(asked: Chart, name: str, pixels: int) -> str:
    """An inline SVG.

    Args:
        asked: What to draw.
        name: What the ids of its elements begin with.
        pixels: How wide it is where there is room for all of it.
    """
    drawing = Drawing(pixels)
    match asked:
        case Bars():
            _bars(drawing, asked)
        case Differences():
            _differences(drawing, asked)
        case Lines():
            _lines(drawing, asked)
    return drawing.svg(name, asked.title, asked.summary)


def _bars(drawing: Drawing, asked: Bars) -> None:
    labels = _wrapped(drawing, [label for label, _ in asked.groups])
    names = [*asked.series, *([asked.mark[0]] if asked.mark else [])]
    pitch = max(len(asked.series) * BAR + GAP, _height(labels))
    legend = _legend_height(drawing, names)
    ends = [end for _, bars in asked.groups for bar in bars for end in (bar.value, bar.end)]
    with drawing.axes(pitch * len(labels) + legend + AXIS / 2, _margin(labels), legend, AXIS / 2) as axes:
        for place, (_, bars) in enumerate(asked.groups):
            for row, bar in enumerate(bars):
                at = place + (row - (len(bars) - 1) / 2) * BAR / pitch
                axes.barh(at, bar.value, 0.8 * BAR / pitch, **_look(row, len(bars)))
                _interval(axes, bar.interval, at, COLORS["ink"])
                shown = drawing.say(bar.shown)
                axes.annotate(shown, (bar.end, at), (6, 0), textcoords="offset points", va="center_baseline")
        axes.set_xlim(min(0.0, *ends), 1.18 * max(ends) or 1.0)
        _rows(axes, drawing, labels)
        axes.grid(axis="x")
        handles: list[Artist] = [Patch(**_look(row, len(asked.series))) for row in range(len(asked.series))]
        if asked.mark:
            handles.append(axes.axvline(asked.mark[1], color=COLORS["bad"], linestyle=_DASHES[1], linewidth=1.6))
        _legend(axes, drawing, handles, names)


def _look(row: int, rows: int) -> dict[str, Any]:
    """Of two bars the first one is the old model's; a single one is the new model's."""
    return _LOOKS[row + 2 - rows]


def _differences(drawing: Drawing, asked: Differences) -> None:
    labels = _wrapped(drawing, [row.label for row in asked.rows])
    kinds = (("better", ">", "good"), ("worse", "<", "bad"), ("may be chance", "o", "muted"))
    pitch = max(ROW, _height(labels))
    legend = _legend_height(drawing, [kind for kind, _, _ in kinds])
    with drawing.axes(pitch * len(labels) + legend + AXIS, _margin(labels), legend, AXIS) as axes:
        axes.axvline(0.0, color=COLORS["muted"], linewidth=1.2)
        for place, row in enumerate(asked.rows):
            mark, color = ("o", "muted") if not row.sure else (">", "good") if row.value > 0 else ("<", "bad")
            _interval(axes, row.interval, place, COLORS[color])
            axes.plot(
                [row.value],
                [place],
                marker=mark,
                markersize=8,
                color=COLORS[color],
                markerfacecolor=COLORS[color] if row.sure else "none",
            )
        _rows(axes, drawing, labels)
        axes.margins(x=0.08)
        axes.grid(axis="x")
        axes.set_xlabel(drawing.say(asked.axis))
        handles: list[Artist] = [
            Line2D([], [], marker=mark, color=COLORS[color], markerfacecolor="none" if mark == "o" else COLORS[color])
            for _, mark, color in kinds
        ]
        _legend(axes, drawing, handles, [kind for kind, _, _ in kinds])


def _lines(drawing: Drawing, asked: Lines) -> None:
    legend = _legend_height(drawing, [line.label for line in asked.lines])
    with drawing.axes(LINES + legend + AXIS, 52.0, legend, AXIS, right=18.0) as axes:
        _levels(axes, drawing, asked)
        handles: list[Artist] = []
        for place, (line, dashes, mark) in enumerate(
            zip(asked.lines, itertools.cycle(_DASHES), itertools.cycle(_MARKS))
        ):
            color = COLORS[f"line-{place % 6 + 1}"]
            if place == 0:
                low, high = zip(*line.bounds, strict=True)
                axes.fill_between(line.shares, low, high, color=color, alpha=0.16, linewidth=0)
            handles += axes.plot(
                line.shares,
                line.values,
                color=color,
                linestyle=dashes,
                marker=mark,
                markersize=5,
                linewidth=2.4 if place == 0 else 1.6,
                zorder=2.5 + (place > 0),
            )
        axes.set_xlim(0.0, 1.0)
        axes.set_xticks([0.0, 0.25, 0.5, 0.75, 1.0], ["0", "25%", "50%", "75%", "100%"])
        axes.tick_params(length=0, pad=6)
        axes.tick_params(axis="y", labelcolor=COLORS["muted"])
        axes.margins(y=0.08)
        axes.grid(axis="both")
        axes.set_xlabel("share of the documents that is re-embedded")
        _legend(axes, drawing, handles, [line.label for line in asked.lines])


def _levels(axes: Axes, drawing: Drawing, asked: Lines) -> None:
    """The first one is named on the right and the second one on the left: no line from one to the other runs there."""
    for (label, level), (at, side) in zip(asked.levels, ((1.0, "right"), (0.0, "left")), strict=True):
        axes.axhline(level, color=COLORS["muted"], linewidth=1.0, linestyle=_DASHES[2])
        shift = (4 if side == "left" else -4, 4)
        axes.annotate(
            drawing.say(label), (at, level), shift, textcoords="offset points", ha=side, color=COLORS["muted"]
        )


def _interval(axes: Axes, bounds: tuple[float, float] | None, at: float, color: str) -> None:
    if bounds is not None:
        axes.plot(bounds, [at, at], color=color, linewidth=1.6, marker="|", markersize=8, markeredgewidth=1.6)


def _rows(axes: Axes, drawing: Drawing, labels: Sequence[list[str]]) -> None:
    """Labels beside their rows, the first one on top."""
    axes.set_yticks([])
    axes.tick_params(length=0, pad=6)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    for place, label in enumerate(labels):
        for number, line in enumerate(label):
            up = ((len(label) - 1) / 2 - number) * LEADING
            axes.annotate(
                drawing.say(line),
                (0, place),
                (-8, up),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                ha="right",
                va="center_baseline",
            )


def _wrapped(drawing: Drawing, labels: Sequence[str]) -> list[list[str]]:
    columns = int(drawing.pixels * MOST_LABEL / COLUMN)
    return [textwrap.wrap(label, columns, max_lines=MOST_LABEL_LINES, placeholder="…") or [""] for label in labels]


def _margin(labels: Sequence[list[str]]) -> float:
    return COLUMN * max(width(line) for label in labels for line in label) + 10.0


def _height(labels: Sequence[list[str]]) -> float:
    return LEADING * max(len(label) for label in labels) + 8.0


def _legend_height(drawing: Drawing, names: Sequence[str]) -> float:
    return LEGEND * -(-len(names) // _legend_columns(drawing, names)) + 10.0


def _legend_columns(drawing: Drawing, names: Sequence[str]) -> int:
    """As many as there is room for."""
    each = COLUMN * max(map(width, names)) + 50.0
    return min(max(int(drawing.pixels // each), 1), len(names))


def _legend(axes: Axes, drawing: Drawing, handles: Sequence[Artist], names: Sequence[str]) -> None:
    most = int((drawing.pixels - 50.0) / COLUMN)
    left = axes.get_position().x0 * drawing.pixels
    axes.figure.legend(
        list(handles),
        [drawing.say(excerpt(name, most)) for name in names],
        loc="upper left",
        bbox_to_anchor=(min(left, 8.0) / drawing.pixels, 1.0),
        ncols=_legend_columns(drawing, names),
        handlelength=2.2,
        columnspacing=1.4,
        labelcolor=COLORS["ink"],
    )
