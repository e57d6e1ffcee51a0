"""Stacked bars, one for each week: how often each label was given."""

from __future__ import annotations

from typing import NamedTuple

from daemon.views.task.labels_over_time import LabelsOverTime

WIDTH, HEIGHT = 560.0, 150.0
_LEFT, _TOP, _BAR = 44.0, 8.0, 0.72


class Piece(NamedTuple):
    """One label in one week, in the coordinates of the plot."""

    series: int
    """Which label, from 0; the last are the others."""
    x: float
    y: float
    width: float
    height: float
    told: str


class BarPlot(NamedTuple):
    """All that the template draws."""

    names: tuple[str, ...]
    """Of the series, the others at the end."""
    pieces: tuple[Piece, ...]
    weeks: tuple[tuple[float, str], ...]
    """Where the name of each week stands, and the name."""
    most: int
    """What the height stands for."""


def bar_plot(seen: LabelsOverTime | None) -> BarPlot | None:
    """Return the plot; None where there is nothing to draw."""
    if seen is None or not seen.weeks or not (most := max(week.total for week in seen.weeks)):
        return None
    names = (*seen.names, *([f"{seen.others} more"] if seen.others else []))
    step = (WIDTH - _LEFT) / len(seen.weeks)
    pieces: list[Piece] = []
    for place, week in enumerate(seen.weeks):
        x, y = _LEFT + step * (place + (1 - _BAR) / 2), _TOP + HEIGHT
        for series, (name, count) in enumerate(zip(names, week.labels, strict=False)):
            height = HEIGHT * count / most
            y -= height
            if count:
                told = f"{name}, week of {week.begins:%Y-%m-%d}: {count:,}"
                pieces.append(Piece(series, round(x, 1), round(y, 1), round(step * _BAR, 1), round(height, 1), told))
    every = 1 + len(seen.weeks) // 7
    weeks = tuple(
        (round(_LEFT + step * (place + 0.5), 1), f"{week.begins:%m-%d}")
        for place, week in enumerate(seen.weeks)
        if place % every == 0
    )
    return BarPlot(names, tuple(pieces), weeks, most)
