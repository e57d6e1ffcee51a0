"""A report as one HTML file: charts and style are inside, nothing is loaded, and there is no script."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from pathlib import Path

import structlog
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from registry.reports.run.blocks import Block, Picture, Section
from registry.reports.run.told import Told
from registry.runs import Level

_TEMPLATES = Path(__file__).parent / "templates"
_MOST_ROWS = 30
"""A longer table is folded."""
_SHOWN_OPEN = 3
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufff9-\ufffb\ufffe\uffff]")
_MOST_CHARS = 4_000
"""Of one text in a report."""

log = structlog.get_logger(__name__)


def inert(text: str) -> str:
    """Return a text of bounded length without what controls a screen, turns its surroundings around or is no character of XML."""
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text if len(text) <= _MOST_CHARS else f"{text[:_MOST_CHARS]} …")


def html(told: Told, sections: Sequence[Section]) -> str:
    """Return the report of a run."""
    run = told.run
    begun = f", begun {run.started_at:%Y-%m-%d %H:%M} UTC" if run.started_at else ""
    lead = Markup('Report of run <span class="mono">{}</span> ({}) of <bdi>{}</bdi>{}.').format(
        run.run_id, run.kind, run.task, begun
    )
    return page(title_of(told), lead, sections, made_at=told.made_at, level=told.level)


def page(title: str, lead: Markup, sections: Sequence[Section], *, made_at: datetime, level: Level | None = None) -> str:
    """Return sections as a page that loads nothing; `lead` stands below its title."""
    return _template().render(
        title=title, lead=lead, level=level, made_at=made_at, sections=sections, sort_of=_sort_of,
        drawn=_drawn, coded=_coded, most_rows=_MOST_ROWS, shown_open=_SHOWN_OPEN,
    )  # fmt: skip


@cache
def _template() -> Template:
    """Return the template, compiled once."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        finalize=_finalized,
    )  # fmt: skip
    return environment.get_template("report.html")


def title_of(told: Told) -> str:
    """Return what a report is called: the version, or the task of a run that made none."""
    return told.version.name if told.version is not None else f"{told.run.task}, run without a version"


def _coded(text: str) -> Markup:
    """Return a sentence of which what stands between two backticks is code."""
    parts = inert(text).split("`")
    if len(parts) % 2 == 0:
        return escape(inert(text))
    return Markup("").join(Markup("<code>{}</code>").format(part) if at % 2 else part for at, part in enumerate(parts))


def _sort_of(block: Block) -> str:
    return type(block).__name__


def _drawn(picture: Picture) -> Markup:
    from registry.reports.run import charts  # noqa: PLC0415 - matplotlib takes half a second to import

    try:
        return Markup(inert_markup(charts.svg(picture.draw)))  # noqa: S704 - matplotlib escapes what it writes
    except Exception:  # a chart that cannot be drawn leaves the rest of the report as it is
        log.exception("report.chart_failed", chart=picture.alt)
        return Markup('<p class="quiet">This chart could not be drawn.</p>')


def inert_markup(markup: str) -> str:
    """Return markup of any length without characters that control a screen."""
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", markup)


def _finalized(value: object) -> object:
    return inert(value) if isinstance(value, str) and not isinstance(value, Markup) else "" if value is None else value
