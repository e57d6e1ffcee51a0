"""Sources of articles as commands name them: their kinds, their options, and how one is looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from config.errors import UserError
from daemon.cli import grouped

if TYPE_CHECKING:
    from config.settings import Settings
    from daemon.flow.collecting import Collected, Means

KINDS = ("rss", "sitemap", "gdelt", "jsonl")
ARTICLES = typer.Option("--articles", help="Send at most this many articles.", min=1)
MAX_MIB = typer.Option("--max-mib", help="Read at most this many MiB of an answer.", min=0.1)
PAUSE = typer.Option("--pause", metavar="SECONDS", help="Wait between two requests to one host.", min=0.0)
COUNTRY = typer.Option("--country", help="Country of the publisher in one word, such as sweden.")
THEME = typer.Option("--theme", help="A theme of GDELT's, such as ECON_STOCKMARKET.")
LANGUAGE = typer.Option("--language", help="Language of the article, such as swedish.")
HOURS = typer.Option("--hours", help="How many hours to look back.", min=0.25, max=2_160)
MAX_MIB_BY_DEFAULT, PAUSE_BY_DEFAULT, HOURS_BY_DEFAULT = 10.0, 1.0, 24.0

Look = Callable[["Means"], "list[Collected]"]
"""Reads a source once."""

_OF_ALL = ("--articles",)
_OF = {
    "rss": ("--max-mib", "--pause"),
    "sitemap": ("--max-mib", "--pause"),
    "gdelt": ("--country", "--theme", "--language", "--hours"),
    "jsonl": (),
}


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How a source is read: each field is an option."""

    articles: Annotated[int | None, ARTICLES] = None
    max_mib: Annotated[float, MAX_MIB] = MAX_MIB_BY_DEFAULT
    pause: Annotated[float, PAUSE] = PAUSE_BY_DEFAULT
    country: Annotated[str | None, COUNTRY] = None
    theme: Annotated[str | None, THEME] = None
    language: Annotated[str | None, LANGUAGE] = None
    hours: Annotated[float, HOURS] = HOURS_BY_DEFAULT


def refuse_misfit(kind: str | None, places: Sequence[str], options: SourceOptions) -> None:
    """Raise `UserError` where a kind is unknown, a source of it is named by nothing, or an option is not of it.

    `kind`: None where no source is meant.
    """
    if kind is not None and kind not in KINDS:
        message = f"--source {kind!r} is not known; choose one of {', '.join(KINDS)}"
        raise UserError(message)
    known = (*_OF_ALL, *_OF[kind]) if kind is not None else ()
    for option in grouped.given(options):
        if option not in known:
            of = ", ".join(f"`--source {name}`" for name in KINDS if option in (*_OF_ALL, *_OF[name]))
            message = f"{option} is an option of {of}; leave it out, or name such a source"
            raise UserError(message)
    if kind is not None and kind != "gdelt" and not places:
        message = f"--source {kind} wants {'a folder' if kind == 'jsonl' else 'addresses'} behind the task; name at least one"
        raise UserError(message)
    if kind == "jsonl" and len(places) > 1:
        message = "--source jsonl reads one folder at a time; put the files into one, or run the command once for each"
        raise UserError(message)


def look(settings: Settings, kind: str, places: Sequence[str], options: SourceOptions) -> Look:
    """Return what reads the sources at these addresses or folders (of `gdelt`: words), once a call.

    Called, it raises `UserError` for a folder that cannot be read and a question to GDELT that asks for nothing.
    """
    from consumers.collecting.gdelt import PAUSE_S, Query  # noqa: PLC0415 - heavy
    from daemon.flow import collecting  # noqa: PLC0415 - heavy

    if kind == "gdelt":
        query = Query(" ".join(places), options.country, options.theme, options.language)
        limits = collecting.Limits(options.articles, pause_s=PAUSE_S)
        span = timedelta(hours=options.hours)
        return lambda means: collecting.gdelt(settings, query, limits, span=span, means=means)
    limits = collecting.Limits(options.articles, int(options.max_mib * 2**20), options.pause)
    if kind == "jsonl":
        return partial(collecting.jsonl, settings, Path(places[0]), limits)
    return partial(collecting.rss if kind == "rss" else collecting.sitemap, settings, places, limits)
