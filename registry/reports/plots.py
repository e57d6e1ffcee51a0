"""What cards and reports draw of a run: how training went, and what the candidate gained. Drawn without a display."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from trainers.compare.comparison import Comparison
from trainers.compare.metrics.scale import POINTS
from trainers.job.spec import Progress

INK = "#22303c"
QUIET = "#8a97a3"
OPEN = "#4a6fa5"
BETTER, WORSE = "#2a7f62", "#b5483a"
LINE, FAINT = "#c9d1d8", "#e4e8ec"
_MOST_DIMENSIONS = 10
"""More lines cannot be told apart."""
MOST_PARTS = 40
"""Of the test rows; more lines nobody reads, and tables have them."""
_LONGEST_NAME = 40
Losses = Sequence[tuple[int, float]]
"""Steps with the loss there; a step that is not above the one before begins another attempt."""


def plot(name: str, comparison: Comparison | None, history: Sequence[Progress]) -> Figure:
    """Return the figure: training loss over steps, the gain over the opponent with its interval, in the metric's unit.

    Where answers carry probabilities, a reliability diagram stands below the loss; where they are numbers, what is right over
    what was said.
    """
    parts = 0 if comparison is None else 1 + min(len(comparison.slices), MOST_PARTS)
    sure = comparison if comparison is not None and comparison.candidate_probabilities is not None else None
    measured = comparison if comparison is not None and comparison.dimensions else None
    below = sure is not None or measured is not None
    figure = Figure(figsize=(10, max(6.4 if below else 3.8, 1.2 + 0.3 * parts)), layout="constrained", facecolor="white")
    # Agg by hand, not through pyplot: no global state, no display, safe in any thread.
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2 if below else 1, 2, width_ratios=(1, 1.25), height_ratios=(1, 1.6) if below else (1,))
    figure.suptitle(name, x=0.01, ha="left", fontsize=13, fontweight="bold", color=INK)
    draw_loss(figure.add_subplot(grid[0, 0]), losses_of(history))
    draw_gain(figure.add_subplot(grid[:, 1]), comparison)
    if sure is not None:
        draw_reliability(figure.add_subplot(grid[1, 0]), sure)
    elif measured is not None:
        draw_levels(figure.add_subplot(grid[1, 0]), measured)
    return figure


def losses_of(history: Sequence[Progress]) -> Losses:
    """Return the steps of training that a history tells a loss of."""
    return [(line.step, line.loss) for line in history if line.phase == "training" and line.loss is not None]


def draw_loss(axes: Axes, points: Losses, *, judged: Losses = (), title: str = "Training loss") -> None:
    """Draw the loss over steps; `judged` is that of rows which were kept back, at the end of some epochs."""
    plain(axes, title)
    if not points:
        _say(axes, "no training history was kept")
        return
    starts = [0, *(at for at in range(1, len(points)) if points[at][0] <= points[at - 1][0]), len(points)]
    for start, end in pairwise(starts):
        steps, losses = zip(*points[start:end], strict=True)
        color = OPEN if end == len(points) else LINE
        axes.plot(steps, losses, color=color, linewidth=1.8, marker="o" if end - start == 1 else None)
    if judged:
        axes.plot(*zip(*judged, strict=True), color=WORSE, linewidth=1.4, marker="o", markersize=4, linestyle="--")
        axes.annotate(
            "rows kept back", judged[-1], xytext=(-4, 8), textcoords="offset points", ha="right", fontsize=8, color=WORSE
        )
    axes.set_xlabel("step", color=QUIET)
    axes.set_ylim(bottom=0)
    axes.grid(axis="y", color=FAINT, linewidth=0.8)


def draw_gain(axes: Axes, seen: Comparison | None) -> None:
    """Draw what the candidate gained on all test rows, with its interval, and on the first parts of them."""
    plain(axes, "Gain over the opponent")
    if seen is None:
        _say(axes, "no comparison was recorded")
        return
    axes.set_title(f"Gain over {seen.opponent_in_words}", loc="left", fontsize=10, color=INK)
    points = 100 if seen.scale.unit == POINTS else 1
    parts = [*([] if seen.anchor is None else [seen.anchor]), *seen.slices][:MOST_PARTS]
    rows = [
        (f"{seen.metric}, {seen.rows} rows", seen.gain),
        *((f"{short(part.name)}, {part.rows} rows", part.gain) for part in parts),
    ]
    for height, (_label, gain) in enumerate(rows):
        axes.plot(points * gain, height, "o", color=BETTER if gain > 0 else WORSE, markersize=9 if height == 0 else 6)
    bounds = [points * seen.lower_bound, points * seen.upper_bound]
    if all(math.isfinite(bound) for bound in bounds):
        axes.plot(bounds, [0, 0], color=INK, linewidth=2.2, zorder=1, solid_capstyle="round")
    axes.axvline(0, color=QUIET, linewidth=1)
    if math.isfinite(seen.required_gain):
        axes.axvline(points * seen.required_gain, color=BETTER, linewidth=1, linestyle="--")
        axes.annotate(
            "required", (points * seen.required_gain, 1), xycoords=("data", "axes fraction"), xytext=(3, -9),
            textcoords="offset points", fontsize=8, color=BETTER,
        )  # fmt: skip
    axes.set_yticks(range(len(rows)), [label for label, _gain_ in rows])
    # Names are whatever strangers wrote: a dollar sign begins no formula.
    for tick in axes.get_yticklabels():
        tick.set_parse_math(False)
    axes.set_ylim(len(rows) - 0.4, -0.8)
    unit = f"{seen.scale.unit} less" if seen.scale.lower_is_better else seen.scale.unit
    axes.set_xlabel(f"{unit}; bar: {seen.confidence:.0%} bounds, each one-sided", color=QUIET)


def draw_reliability(axes: Axes, seen: Comparison) -> None:
    """Draw accuracy over confidence, bin by bin: on the diagonal answers are right as often as they are sure."""
    plain(axes, "Right as often as sure?")
    axes.plot([0, 1], [0, 1], color=QUIET, linewidth=1, linestyle="--")
    sides = (
        (seen.champion_probabilities, QUIET, "opponent"),
        (seen.candidate_probabilities, OPEN, "this version"),
    )
    for found, color, name in sides:
        if found is None:
            continue
        bins = found.reliability
        axes.plot(
            bins.confidence, bins.accuracy, color=color, linewidth=1.4, label=f"{name}: error {found.calibration_error:.3f}"
        )
        # By area, so that a bin of a few rows is not mistaken for evidence.
        sizes = [8 + 90 * rows / sum(bins.rows) for rows in bins.rows]
        axes.scatter(bins.confidence, bins.accuracy, s=sizes, color=color, zorder=3)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    each = any(found is not None and found.of_each_label for found, _color, _name in sides)
    axes.set_xlabel("probability of a label (dot: labels of texts)" if each else "highest probability (dot: rows)", color=QUIET)
    axes.set_ylabel("share of texts that have it" if each else "share right", color=QUIET)
    axes.grid(color=FAINT, linewidth=0.8)
    axes.legend(frameon=False, fontsize=8, loc="upper left")


def draw_levels(axes: Axes, seen: Comparison) -> None:
    """Draw the mean of the right numbers over that of the answers, in parts by rising answer: on the diagonal they agree."""
    plain(axes, "As high as said?")
    shown = seen.dimensions[:_MOST_DIMENSIONS]
    for found in shown:
        axes.plot(found.levels.said, found.levels.true, marker="o", markersize=3, linewidth=1.4, label=found.name)
    ends = [number for found in shown for number in (*found.levels.said, *found.levels.true)]
    axes.plot([min(ends), max(ends)], [min(ends), max(ends)], color=QUIET, linewidth=1, linestyle="--")
    more = f" ({len(seen.dimensions) - len(shown)} more are not drawn)" if len(seen.dimensions) > len(shown) else ""
    axes.set_xlabel(f"answer, mean of a tenth of the rows{more}", color=QUIET)
    axes.set_ylabel("right number, mean", color=QUIET)
    axes.grid(color=FAINT, linewidth=0.8)
    axes.legend(frameon=False, fontsize=8, loc="upper left")


def plain(axes: Axes, title: str) -> None:
    """Give axes the title and the look of all plots on a card."""
    axes.set_title(title, loc="left", fontsize=10, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(LINE)
    axes.tick_params(colors=INK, labelsize=9, length=0)


def short(name: str) -> str:
    """Return a name that fits beside a plot."""
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def _say(axes: Axes, what: str) -> None:
    axes.text(0.5, 0.5, what, transform=axes.transAxes, ha="center", va="center", color=QUIET)
    axes.set_xticks([])
    axes.set_yticks([])
