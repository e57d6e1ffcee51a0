"""The plot of a simulation: quality and cost over time, a line for each policy, as an SVG file for light and dark screens."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from config.files.durable import write_atomic
from daemon.views.models.simulation import Period, PolicyPlayed, Simulation
from registry.reports import plots
from registry.reports.run import charts

_LINES = ((plots.OPEN, "-"), (plots.WORSE, "--"), (plots.BETTER, "-."), (plots.QUIET, ":"))
"""Colour and dashes of each policy: both, so that no two look alike in grey."""
_DAY_S = 86_400.0
_BEGINS = re.compile(r"<svg[^>]*>")
_STYLE = """
<style>
svg { color-scheme: light dark; --ground: #fff; --ink: #18222d; --quiet: #566371; --line: #e4e8ec; --line-strong: #c9d1d8;
  --accent: #3f6cb0; --good: #1a6e4a; --bad: #ab2119; background: var(--ground); }
@media (prefers-color-scheme: dark) {
  svg { --ground: #171e26; --ink: #e3e9f0; --quiet: #9ba9b8; --line: #2b3642; --line-strong: #445361; --accent: #82b4ff;
    --good: #6fd3a6; --bad: #ff938a; }
}
text { fill: var(--ink); }
</style>
"""
"""The colours of the reports."""


def write(found: Simulation, path: Path) -> None:
    """Draw a simulation into the file `path`. Raises `OSError` where it cannot be written."""
    write_atomic(path, drawn(found).encode())


def drawn(found: Simulation) -> str:
    """Return the plot as a whole SVG file."""
    element = charts.svg(lambda: _figure(found))
    return _BEGINS.sub(lambda begin: begin[0] + _STYLE, element, count=1) + "\n"


def _figure(found: Simulation) -> Figure:
    figure = Figure(figsize=(8.4, 5.6), layout="constrained")
    FigureCanvasAgg(figure)
    quality, cost = figure.subplots(2, 1, sharex=True, height_ratios=(1.4, 1))
    plots.plain(quality, f"{found.task}: {found.scale.title} of the champion on what came next ({found.training} training)")
    plots.plain(cost, "CPU seconds of all runs so far (dot: a promotion)")
    for (color, dashes), policy in zip(_LINES, found.policies, strict=False):
        _draw_quality(quality, policy, color, dashes)
        _draw_cost(cost, policy, color, dashes, ends=(found.since, found.until))
    if not quality.lines:
        quality.text(0.5, 0.5, "not measured", transform=quality.transAxes, ha="center", color=plots.QUIET)
    quality.set_ylabel(found.scale.title, color=plots.QUIET)
    # Costs add up, so that corner stays empty; no corner of the other plot does for sure.
    cost.legend(frameon=False, fontsize=8, loc="upper left")
    for axes in (quality, cost):
        axes.grid(axis="y", color=plots.FAINT, linewidth=0.8)
    cost.set_ylim(bottom=0)
    cost.xaxis_date()
    cost.tick_params(axis="x", rotation=20)
    return figure


def _draw_quality(axes: Axes, policy: PolicyPlayed, color: str, dashes: str) -> None:
    """Draw each period's score over the whole period; a gap where there is none."""
    first = True
    for stretch in _stretches(policy):
        times = [_day(at) for period in stretch for at in (period.since, period.until)]
        scores = [period.score or 0.0 for period in stretch for _end in range(2)]
        axes.plot(times, scores, color=color, linestyle=dashes, linewidth=1.8, label=policy.name if first else None)
        first = False


def _stretches(policy: PolicyPlayed) -> Iterator[list[Period]]:
    held: list[Period] = []
    for period in policy.periods:
        if period.score is not None:
            held.append(period)
        elif held:
            yield held
            held = []
    if held:
        yield held


def _day(at: datetime) -> float:
    """Return a moment as matplotlib counts it: in days since 1970."""
    return at.timestamp() / _DAY_S


def _draw_cost(axes: Axes, policy: PolicyPlayed, color: str, dashes: str, *, ends: Sequence[datetime]) -> None:
    total, times, sums = 0.0, [_day(ends[0])], [0.0]
    promoted: list[tuple[float, float]] = []
    for run in policy.runs:
        total += run.cpu_s
        times.append(_day(run.at))
        sums.append(total)
        if run.verdict == "promote":
            promoted.append((times[-1], total))
    times.append(max(times[-1], _day(ends[1])))
    sums.append(total)
    axes.step(times, sums, where="post", color=color, linestyle=dashes, linewidth=1.6, label=policy.name)
    if promoted:
        axes.plot(*zip(*promoted, strict=True), "o", color=color, markersize=5)
