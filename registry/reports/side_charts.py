"""Charts of a data report: rows by side, for names and for months."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from registry.reports import plots
from registry.reports.run.charts import alone

MOST_NAMES = 25
"""More bars nobody reads, and tables have them."""
_MOST_TICKS = 12


class Sides(NamedTuple):
    """The rows of one name by side."""

    name: str
    train: int
    test: int


def by_name(title: str, found: Sequence[Sides]) -> Figure:
    """Return bars for the names with most rows, from the most down."""
    shown = found[:MOST_NAMES]

    def draw(axes: Axes) -> None:
        more = f", the {len(shown)} with most rows" if len(found) > len(shown) else ""
        plots.plain(axes, f"{title}{more}")
        places = range(len(shown))
        axes.barh(places, [one.train for one in shown], height=0.7, color=plots.OPEN, label="train")
        axes.barh(
            places, [one.test for one in shown], left=[one.train for one in shown], height=0.7, color=plots.BETTER, label="test"
        )
        axes.set_yticks(places, [plots.short(one.name) for one in shown])
        # Names are whatever strangers wrote: a dollar sign begins no formula.
        for tick in axes.get_yticklabels():
            tick.set_parse_math(False)
        axes.set_ylim(len(shown) - 0.5, -0.5)
        axes.set_xlabel("rows", color=plots.QUIET)
        axes.grid(axis="x", color=plots.FAINT, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.legend(frameon=False, fontsize=8, loc="lower right")

    return alone(draw, 7.2, 1.3 + 0.26 * len(shown))


def by_month(found: Sequence[Sides]) -> Figure:
    """Return bars of rows by month, oldest first; a month without rows is a gap."""
    first = _number(found[0].name)

    def draw(axes: Axes) -> None:
        plots.plain(axes, "Rows by month")
        places = [_number(one.name) - first for one in found]
        train = [one.train for one in found]
        axes.bar(places, train, width=0.8, color=plots.OPEN, label="train")
        axes.bar(places, [one.test for one in found], bottom=train, width=0.8, color=plots.BETTER, label="test")
        every = 1 + len(found) // _MOST_TICKS
        axes.set_xticks(places[::every], [one.name for one in found][::every], rotation=35, ha="right")
        axes.set_ylabel("rows", color=plots.QUIET)
        axes.grid(axis="y", color=plots.FAINT, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.legend(frameon=False, fontsize=8, loc="upper left")

    return alone(draw, 7.2, 2.8)


def _number(month: str) -> int:
    year, _, of_year = month.partition("-")
    return 12 * int(year) + int(of_year)
