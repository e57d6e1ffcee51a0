"""`perennial source`: articles from feeds, sitemaps, GDELT and folders, once or again and again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from config.words import counted
from daemon.cli import sources
from daemon.cli.output import AsJson, print_json, say
from daemon.cli.settings import load_settings
from daemon.cli.sources import SourceOptions

if TYPE_CHECKING:
    from daemon.flow.collecting import Collected

app = typer.Typer(help="Articles from feeds, sitemaps, GDELT and folders, politely and each once.", no_args_is_help=True)

_Articles = Annotated[int | None, sources.ARTICLES]
_Every = Annotated[float | None, typer.Option("--every", metavar="MINUTES", help="Look again and again, every MINUTES.", min=0.1)]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Read, show what there is, and send nothing.")]
_MaxMib = Annotated[float, sources.MAX_MIB]
_Pause = Annotated[float, sources.PAUSE]


@app.command()
def rss(  # noqa: PLR0917 - each is an option of the command
    urls: Annotated[list[str], typer.Argument(metavar="URL...", help="Addresses of feeds, RSS or Atom.")],
    articles: _Articles = None,
    every: _Every = None,
    max_mib: _MaxMib = sources.MAX_MIB_BY_DEFAULT,
    pause: _Pause = sources.PAUSE_BY_DEFAULT,
    dry_run: _DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Send the new articles of feeds; robots.txt is kept to, and what has not changed is not read again."""
    look = sources.look(load_settings(), "rss", urls, SourceOptions(articles, max_mib, pause))
    _again(look, every, as_json=as_json, dry_run=dry_run)


@app.command()
def sitemap(  # noqa: PLR0917 - each is an option of the command
    urls: Annotated[list[str], typer.Argument(metavar="URL...", help="Addresses of news sitemaps, or of indexes of them.")],
    articles: _Articles = None,
    every: _Every = None,
    max_mib: _MaxMib = sources.MAX_MIB_BY_DEFAULT,
    pause: _Pause = sources.PAUSE_BY_DEFAULT,
    dry_run: _DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Send the new articles of news sitemaps: titles and addresses."""
    look = sources.look(load_settings(), "sitemap", urls, SourceOptions(articles, max_mib, pause))
    _again(look, every, as_json=as_json, dry_run=dry_run)


@app.command()
def gdelt(  # noqa: PLR0917 - each is an option of the command
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[WORDS...]", help="Words, or a query in GDELT's own terms.")
    ] = None,
    country: Annotated[str | None, sources.COUNTRY] = None,
    theme: Annotated[str | None, sources.THEME] = None,
    language: Annotated[str | None, sources.LANGUAGE] = None,
    hours: Annotated[float, sources.HOURS] = sources.HOURS_BY_DEFAULT,
    articles: _Articles = None,
    every: _Every = None,
    dry_run: _DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Send articles that GDELT knows: titles and addresses, the newest first."""
    options = SourceOptions(articles, country=country, theme=theme, language=language, hours=hours)
    _again(sources.look(load_settings(), "gdelt", words or (), options), every, as_json=as_json, dry_run=dry_run)


@app.command()
def jsonl(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Folder of .jsonl files: an object a line, with title, body, url, published.")
    ],
    articles: _Articles = None,
    every: _Every = None,
    dry_run: _DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Send the articles of lines that were added to the files of a folder."""
    look = sources.look(load_settings(), "jsonl", [str(folder)], SourceOptions(articles))
    _again(look, every, as_json=as_json, dry_run=dry_run)


def _again(look: sources.Look, every: float | None, *, as_json: bool, dry_run: bool) -> None:
    """Look once, or again and again until somebody ends it."""
    from consumers.collecting.manners import Manners  # noqa: PLC0415 - as below
    from daemon.flow.collecting import Means  # noqa: PLC0415 - heavy

    means = Means(dry_run, manners=Manners())
    while True:
        found = look(means)
        if as_json:
            print_json(found)
        else:
            tell(found)
            _tell_sum(found, dry_run=dry_run)
        if every is None:
            # Where nothing could be read the caller must notice.
            if found and all(one.error for one in found):
                raise typer.Exit(1)
            return
        time.sleep(every * 60)


def tell(found: Sequence[Collected]) -> None:
    """Print what each source gave."""
    for one in found:
        what = f"{counted(one.read, 'item')} read, {one.sent} new, {one.known} known already"
        if one.error:
            before = f" ({what} before that, and kept)" if one.sent else ""
            say((one.source, "bold"), f": {one.error}{before}")
            continue
        if one.unchanged:
            say((one.source, "bold"), ": nothing has changed")
            continue
        unusable = f", {one.unusable} unusable ({'; '.join(one.examples)})" if one.unusable else ""
        cut = "; it is larger than --max-mib, and the rest was not read" if one.cut else ""
        lost = f"; {counted(len(one.unread), 'sitemap')} could not be read whole ({'; '.join(one.unread[:3])})"
        unread = lost if one.unread else ""
        say((one.source, "bold"), f": {what}{unusable}{cut}{unread}")


def _tell_sum(found: Sequence[Collected], *, dry_run: bool) -> None:
    sent = sum(one.sent for one in found)
    if not found:
        say("There is nothing to read.")
    elif dry_run:
        say(f"{counted(sent, 'article')} would be sent. Nothing was sent (--dry-run).")
    else:
        say(f"{counted(sent, 'article')} sent. Follow with `perennial status`.")
