"""The interval plot: each part of the test rows as a line of its own, with what the candidate gained there."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from daemon.views.models.comparison import Comparison, Part

WIDTH, LINE, TOP = 640, 26, 10
_LABELS, _ROOM = 230, 24
_MOST_PARTS = 40
_POINTS = 100


class Line(NamedTuple):
    """One line of the plot, in its coordinates."""

    name: str
    rows: int
    y: float
    x: float
    gain: str
    side: Literal["up", "down", "flat"]
    """Whether the candidate is better there, worse, or neither."""
    bounds: tuple[float, float] | None


class IntervalPlot(NamedTuple):
    """All that the template draws."""

    height: float
    lines: tuple[Line, ...]
    zero: float
    needed: float | None
    unit: str
    parts_left_out: int


def interval_plot(seen: Comparison | None) -> IntervalPlot | None:
    """Return the plot of a comparison; None where there was nothing to compare."""
    if seen is None or not seen.rows or seen.gain is None:
        return None
    lower_is_better = seen.scale is not None and seen.scale.better == "lower"
    in_points = seen.scale is None or seen.scale.unit == "points"
    factor = _POINTS if in_points else 1
    parts = [*([seen.anchor] if seen.anchor else []), *seen.slices]
    gains = [(f"all {seen.metric or 'rows'}", seen.rows, factor * seen.gain)]
    gains += [(part.name, part.rows, factor * _gain(part, lower_is_better=lower_is_better)) for part in parts[:_MOST_PARTS]]
    bounds = _finite(seen.lower_bound, seen.upper_bound, factor)
    needed = factor * seen.required_gain if seen.required_gain is not None and math.isfinite(seen.required_gain) else None
    reach = [0.0, *(gain for _name, _rows, gain in gains if math.isfinite(gain)), *(bounds or ()), *([needed] if needed else [])]
    low, high = min(reach), max(reach)
    room = (high - low) * 0.08 or 1.0

    def across(value: float) -> float:
        share: float = (min(max(value, low), high) - low + room) / (high - low + 2 * room)
        return round(_LABELS + share * (WIDTH - _LABELS - _ROOM), 1)

    def line(number: int, name: str, rows: int, gain: float) -> Line:
        side: Literal["up", "down", "flat"] = "up" if gain > 0 else "down" if gain < 0 else "flat"
        ends = (across(bounds[0]), across(bounds[1])) if number == 0 and bounds else None
        told = f"{gain:+.1f}" if in_points else f"{gain:+.3g}"
        return Line(name, rows, TOP + LINE * (number + 0.5), across(gain), told, side, ends)

    lines = tuple(line(number, *one) for number, one in enumerate(gains))
    unit = "points" if in_points or seen.scale is None else seen.scale.unit
    return IntervalPlot(
        TOP + LINE * len(lines) + TOP, lines, across(0.0), None if needed is None else across(needed), unit,
        max(0, len(parts) - _MOST_PARTS),
    )  # fmt: skip


def _gain(part: Part, *, lower_is_better: bool) -> float:
    gain = part.candidate_score - part.champion_score
    return -gain if lower_is_better else gain


def _finite(lower: float | None, upper: float | None, factor: float) -> tuple[float, float] | None:
    if lower is None or upper is None or not (math.isfinite(lower) and math.isfinite(upper)):
        return None
    return factor * lower, factor * upper
