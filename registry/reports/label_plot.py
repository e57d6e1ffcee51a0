"""The plot of a model card where texts have several labels: F1 on each label, of this version beside its opponent."""

from __future__ import annotations

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from registry.reports.plots import FAINT, INK, LINE, OPEN, QUIET, plain, short
from trainers.compare.comparison import Comparison

MOST_LABELS = 20
"""The most frequent; more cannot be read."""
_BAR = 0.38


def plot_labels(name: str, seen: Comparison) -> Figure:
    """Return the figure: two bars of F1 for each of the most frequent labels, from the most frequent down; no name: no title."""
    shown = seen.labels[:MOST_LABELS]
    figure = Figure(figsize=(8, 1.7 + 0.34 * len(shown)), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    if name:
        figure.suptitle(name, x=0.01, ha="left", fontsize=13, fontweight="bold", color=INK)
    axes = figure.add_subplot()
    more = f", the {len(shown)} most frequent" if len(seen.labels) > len(shown) else ""
    plain(axes, f"F1 by label{more}")
    places = range(len(shown))
    sides = (
        ("this version", OPEN, -_BAR / 2, [one.candidate.f1 for one in shown]),
        (seen.opponent, LINE, _BAR / 2, [one.champion.f1 for one in shown]),
    )
    for side, color, offset, scores in sides:
        axes.barh([place + offset for place in places], scores, height=_BAR, color=color, label=side)
        # A bar of nothing would look like a label that was not measured.
        for place, score in zip(places, scores, strict=True):
            axes.annotate(
                f"{score:.2f}", (score, place + offset), xytext=(3, 0), textcoords="offset points", va="center", fontsize=7,
                color=INK if side == "this version" else QUIET,
            )  # fmt: skip
    axes.set_yticks(places, [f"{short(one.name)} ({one.rows})" for one in shown])
    # Names are whatever strangers wrote: a dollar sign begins no formula.
    for tick in axes.get_yticklabels():
        tick.set_parse_math(False)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_xlim(0, 1.06)
    axes.set_xticks([0, 0.2, 0.4, 0.6, 0.8, 1])
    axes.set_xlabel("F1 (behind a label: test rows that have it)", color=QUIET)
    axes.grid(axis="x", color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    figure.legend(loc="outside lower right", ncols=2, frameon=False, fontsize=9)
    return figure
