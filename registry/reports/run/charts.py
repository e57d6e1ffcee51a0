"""The charts of a report: each as a picture of its own, as SVG in the colours of the page around it or as PNG."""

from __future__ import annotations

import io
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from registry.reports import plots
from registry.reports.confusion import Confusion
from registry.reports.label_plot import plot_labels
from registry.reports.plots import Losses
from trainers.compare.comparison import Comparison

_COLORS = {
    plots.INK: "--ink", plots.QUIET: "--quiet", plots.OPEN: "--accent", plots.BETTER: "--good", plots.WORSE: "--bad",
    plots.LINE: "--line-strong", plots.FAINT: "--line",
}  # fmt: skip
"""What stands for each colour in the style of the page, which knows a light and a dark one."""
_PROLOGUE = re.compile(r"^.*?(?=<svg)", re.DOTALL)
_METADATA = re.compile(r"<metadata>.*?</metadata>", re.DOTALL)
# Of several pictures in one page; what is referred to (paths and clips) is no group.
_GROUP_IDS = re.compile(r'<g id="[^"]*"')
_FONT = re.compile(r"(font: (?:[a-z0-9]+ )*[0-9.]+px |font-family: )[^;\"]+")
_HEIGHT = re.compile(r'(<svg[^>]*?) height="[^"]*"')
_WIDTH = re.compile(r'(<svg[^>]*?) width="([0-9.]+)pt"')
_PX_PER_PT = 1.3
# Its settings are global, and other threads may draw.
_DRAWING = threading.Lock()


def loss(points: Losses, judged: Losses) -> Figure:
    """Return the curve of the loss, and that of rows which were kept back."""
    return alone(lambda axes: plots.draw_loss(axes, points, judged=judged), 7.2, 2.8)


def gain(seen: Comparison) -> Figure:
    """Return what the candidate gained on all test rows and on parts of them."""
    parts = min(len(seen.slices) + (seen.anchor is not None), plots.MOST_PARTS)
    return alone(lambda axes: plots.draw_gain(axes, seen), 7.2, 1.5 + 0.3 * parts)


def reliability(seen: Comparison) -> Figure:
    """Return the reliability diagram of both models."""
    return alone(lambda axes: plots.draw_reliability(axes, seen), 5.0, 3.8)


def levels(seen: Comparison) -> Figure:
    """Return right numbers over answers."""
    return alone(lambda axes: plots.draw_levels(axes, seen), 5.4, 4.0)


def labels(seen: Comparison) -> Figure:
    """Return F1 of the most frequent labels."""
    return plot_labels("", seen)


def confusion(found: Confusion) -> Figure:
    """Return the candidate's answers by what is right, each line as shares of it."""
    count = len(found.labels)

    def draw(axes: Axes) -> None:
        plots.plain(axes, "What was taken for what: rows by right label and answer")
        for line, counts in enumerate(found.candidate):
            whole = sum(counts) or 1
            for column, rows in enumerate(counts):
                color = plots.BETTER if line == column else plots.WORSE
                # As much colour as no figure on it becomes hard to read by.
                axes.add_patch(Rectangle((column - 0.5, line - 0.5), 1, 1, color=color, alpha=0.5 * rows / whole, linewidth=0))
                if rows:
                    axes.text(column, line, f"{rows:,}", ha="center", va="center", fontsize=8, color=plots.INK)
        names = [plots.short(name) or "(none)" for name in found.labels]
        axes.set_xticks(range(count), names, rotation=35, ha="right")
        axes.set_yticks(range(count), names)
        axes.set_xlim(-0.5, count - 0.5)
        axes.set_ylim(count - 0.5, -0.5)
        axes.spines[["left", "bottom"]].set_visible(False)

    return alone(draw, 3.0 + 0.48 * count, 1.8 + 0.36 * count)


def svg(draw: Callable[[], Figure]) -> str:
    """Return a chart as an SVG element for a page that defines the colours; its texts are texts, in the font of the page."""
    drawn = io.StringIO()
    with _settings():
        draw().savefig(drawn, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    found = _METADATA.sub("", _PROLOGUE.sub("", drawn.getvalue()))
    found = _GROUP_IDS.sub("<g", found)
    found = _FONT.sub(r"\1system-ui, sans-serif", found)
    found = _HEIGHT.sub(r"\1", found, count=1)
    found = _WIDTH.sub(lambda match: f'{match[1]} style="width: {float(match[2]) * _PX_PER_PT:.0f}px"', found, count=1)
    for color, variable in _COLORS.items():
        found = found.replace(color, f"var({variable})")
    return found.strip()


def png(draw: Callable[[], Figure]) -> bytes:
    """Return a chart as a picture on white."""
    drawn = io.BytesIO()
    with _settings():
        draw().savefig(drawn, format="png", dpi=150, facecolor="white")
    return drawn.getvalue()


@contextmanager
def _settings() -> Iterator[None]:
    """While it lasts, texts are texts, a dollar sign begins no formula, and nobody else draws."""
    with (
        _DRAWING,
        rc_context({"svg.fonttype": "none", "svg.hashsalt": "perennial", "text.parse_math": False}),
        warnings.catch_warnings(),
    ):
        # Of characters that the measuring font lacks; the page's fonts have them.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def alone(draw: Callable[[Axes], None], width: float, height: float) -> Figure:
    """Return a figure of one pair of axes; width and height in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    draw(figure.add_subplot())
    return figure
