"""`perennial source`: articles from feeds, sitemaps, GDELT and folders, once or again and again."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from config.words import counted
from daemon.cli.output import AsJson, print_json, say
from daemon.cli.settings import load_settings

if TYPE_CHECKING:
    from daemon.flow.collecting import Collected

app = typer.Typer(help="Articles from feeds, sitemaps, GDELT and folders, politely and each once.", no_args_is_help=True)

_Articles = Annotated[int | None, typer.Option(help="Send at most so many articles.", min=1)]
_Every = Annotated[
    float | None, typer.Option("--every", metavar="MINUTES", help="Look again and again, with so many minutes between.", min=0.1)
]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Read, show what there is, and send nothing.")]


_MaxMib = Annotated[float, typer.Option(help="Read at most so much of an answer.", min=0.1)]
_Pause = Annotated[float, typer.Option(metavar="SECONDS", help="Wait between two requests to one host.", min=0.0)]


@app.command()
def rss(  # noqa: PLR0917 - each is an option of the command
    urls: Annotated[list[str], typer.Argument(metavar="URL...", help="Addresses of feeds, RSS or Atom.")],
    articles: _Articles = None,
    every: _Every = None,
    max_mib: _MaxMib = 10.0,
    pause: _Pause = 1.0,
    dry_run: _DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Send the new articles of feeds; robots.txt is kept to, and what has not changed is not read again."""
    from daemon.flow import collecting  # noqa: PLC0415 - heavy

    limits = collecting.Limits(articles, int(max_mib * 2**20), pause)
    _again(partial(collecting.rss, load_settings(), urls, limits), every, as_json=as_json, dry_run=dry_run)


@app.command()
def sitemap(  # noqa: PLR0917 - each is an option of the command
    urls: Annotated[list[str], typer.Argument(metavar="URL...", help="Addresses of news sitemaps, or of indexes of them.")],
    articles: _Articles = None,
    every: _Every = None,
    max_mib: _MaxMib = 10.0,
    pause: _Pause = 1.0,
    dry_run: _DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Send the new articles of news sitemaps: titles and addresses."""
    from daemon.flow import collecting  # noqa: PLC0415 - heavy

    limits = collecting.Limits(articles, int(max_mib * 2**20), pause)
    _again(partial(collecting.sitemap, load_settings(), urls, limits), every, as_json=as_json, dry_run=dry_run)


@app.command()
def gdelt(  # noqa: PLR0917 - each is an option of the command
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[WORDS...]", help="Words, or a query in GDELT's own terms.")
    ] = None,
    country: Annotated[str | None, typer.Option(help="Country of the publisher in one word, such as sweden.")] = None,
    theme: Annotated[str | None, typer.Option(help="A theme of GDELT's, such as ECON_STOCKMARKET.")] = None,
    language: Annotated[str | None, typer.Option(help="Language of the article, such as swedish.")] = None,
    hours: Annotated[float, typer.Option(help="So far back.", min=0.25, max=2_160)] = 24.0,
    articles: _Articles = None,
    every: _Every = None,
    dry_run: _DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Send articles that GDELT knows: titles and addresses, the newest first."""
    from consumers.collecting.gdelt import PAUSE_S, Query  # noqa: PLC0415 - heavy
    from daemon.flow import collecting  # noqa: PLC0415 - heavy

    query, limits = Query(" ".join(words or ()), country, theme, language), collecting.Limits(articles, pause_s=PAUSE_S)
    look = partial(collecting.gdelt, load_settings(), query, limits, span=timedelta(hours=hours))
    _again(look, every, as_json=as_json, dry_run=dry_run)


@app.command()
def jsonl(
    folder: Annotated[Path, typer.Argument(help="Folder of .jsonl files: an object a line, with title, body, url, published.")],
    articles: _Articles = None,
    every: _Every = None,
    dry_run: _DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Send the articles of lines that were added to the files of a folder."""
    from daemon.flow import collecting  # noqa: PLC0415 - heavy

    look = partial(collecting.jsonl, load_settings(), folder, collecting.Limits(articles))
    _again(look, every, as_json=as_json, dry_run=dry_run)


def _again(look: Callable[..., list[Collected]], every: float | None, *, as_json: bool, dry_run: bool) -> None:
    """Look once, or again and again until somebody ends it."""
    from daemon.flow.collecting import Means  # noqa: PLC0415 - heavy

    means = Means(dry_run)
    while True:
        found = look(means=means)
        if as_json:
            print_json(found)
        else:
            _tell(found, dry_run=dry_run)
        if every is None:
            # Where nothing could be read the caller must notice.
            if found and all(one.error for one in found):
                raise typer.Exit(1)
            return
        time.sleep(every * 60)


def _tell(found: list[Collected], *, dry_run: bool) -> None:
    for one in found:
        if one.error:
            say((one.source, "bold"), f": {one.error}")
            continue
        if one.unchanged:
            say((one.source, "bold"), ": nothing has changed")
            continue
        what = f"{counted(one.read, 'item')} read, {one.sent} new, {one.known} known already"
        unusable = f", {one.unusable} unusable ({'; '.join(one.examples)})" if one.unusable else ""
        cut = "; it is larger than --max-mib, and the rest was not read" if one.cut else ""
        say((one.source, "bold"), f": {what}{unusable}{cut}")
    sent = sum(one.sent for one in found)
    if not found:
        say("There is nothing to read.")
    elif dry_run:
        say(f"{counted(sent, 'article')} would be sent. Nothing was sent (--dry-run).")
    else:
        say(f"{counted(sent, 'article')} sent. Follow with `perennial status`.")
