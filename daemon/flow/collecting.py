"""Reads sources of articles once, and publishes what is new: feeds and sitemaps of others, GDELT, and folders of JSON Lines."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import metadata
from pathlib import Path
from typing import Protocol

import structlog

from config.clock import Clock, utc_now
from config.errors import DeadLetterError, RetryError, UserError
from config.files.private import prepare
from config.settings import Settings
from consumers.collecting import feeds, folders, sitemaps
from consumers.collecting import gdelt as gdelts
from consumers.collecting.articles import Item, Unusable, article_of
from consumers.collecting.fetching import Fetched, Fetcher, Validators, client
from consumers.collecting.kept import Kept, Place
from consumers.collecting.manners import Manners
from consumers.events.schemas import ARTICLES_TOPIC, Article, key_of, to_bytes
from consumers.faults import in_words, of_the_machine
from consumers.log.open import open_event_log
from consumers.log.protocols import EventSink

log = structlog.get_logger(__name__)

_SHOWN_CHARS = 500
"""Of what others may have written into an error, such as an address."""


@dataclass(slots=True)
class Collected:
    """What one source gave."""

    source: str
    """Its address, or its path."""
    read: int = 0
    """Items that it gave."""
    sent: int = 0
    known: int = 0
    """Items that it had given before."""
    unusable: int = 0
    examples: list[str] = field(default_factory=list)
    """The first of those, with the reason."""
    unread: list[str] = field(default_factory=list)
    """Sitemaps that could not be read, or not to their end, with the reason; the others of an index were."""
    unchanged: bool = False
    """Whether it said that nothing has changed."""
    cut: bool = False
    """Whether it was larger than the limit."""
    late: bool = False
    """Whether time ran out before its end: the rest comes at the next reading."""
    error: str = ""
    """Why it could not be read; empty where it was."""

    def refuse(self, one: Unusable) -> None:
        """Count an item that gives no article."""
        self.unusable += 1
        if len(self.examples) < 3:  # noqa: PLR2004 - a few are enough to see what is wrong
            self.examples.append(f"{one.what}: {one.reason}")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is read, and how quickly."""

    articles: int | None = None
    """At most so many are sent."""
    most_bytes: int = 10 * 2**20
    """Of one answer."""
    pause_s: float = 1.0
    """Between two requests to one host."""


@dataclass(frozen=True, slots=True)
class Means:
    """What is not to be sent, what goes from reading to reading, and what stands in the place of time."""

    dry_run: bool = False
    clock: Clock = utc_now
    sleep: Callable[[float], object] = time.sleep
    manners: Manners | None = None
    """What earlier readings have learnt of hosts; None: nothing."""
    over: Callable[[], bool] = lambda: False
    """Whether to end: what was not read comes at the next reading."""


Given = Iterator[tuple[Item | Unusable, Place]]
"""Each item, and how far the source is read once it is sent."""


class _Source(Protocol):
    """Something that gives items."""

    name: str

    def items(self, place: Place, told: Collected) -> Given:
        """Yield what is new since `place`. Raises `UserError`, `RetryError`, `ValueError` and OSError where it cannot be read."""
        ...


def rss(settings: Settings, urls: Sequence[str], limits: Limits, means: Means = Means()) -> list[Collected]:
    """Publish the new articles of feeds (RSS or Atom). What is wrong with one holds up no other; it is told in its result."""
    with _fetcher(limits, means) as fetcher:
        return _collect(settings, [_Page(url, fetcher, feeds.items) for url in dict.fromkeys(urls)], limits, "rss", means)


def sitemap(settings: Settings, urls: Sequence[str], limits: Limits, means: Means = Means()) -> list[Collected]:
    """Publish the new articles, by title and address, of news sitemaps and of the newest sitemaps of indexes."""
    with _fetcher(limits, means) as fetcher:
        found = [_Sitemap(url, fetcher, limits.most_bytes, means.over) for url in dict.fromkeys(urls)]
        return _collect(settings, found, limits, "sitemap", means)


def gdelt(
    settings: Settings, query: gdelts.Query, limits: Limits, *, span: timedelta, endpoint: str = gdelts.ENDPOINT,
    means: Means = Means(),
) -> list[Collected]:  # fmt: skip
    """Publish the articles, by title and address, that GDELT has of the last `span`, the newest first.

    Raises `UserError` for a query that asks for nothing.
    """
    if not query.text:
        message = "ask for something: --country, --theme, --language or words"
        raise UserError(message)
    with _fetcher(limits, means) as fetcher:
        return _collect(settings, [_Gdelt(query, fetcher, span, endpoint, means.clock)], limits, "gdelt", means)


def jsonl(settings: Settings, folder: Path, limits: Limits, means: Means = Means()) -> list[Collected]:
    """Publish the articles of lines that were added to the files of a folder. Raises `UserError` where it is none."""
    try:
        found = folders.files(folder)
    except OSError as error:
        message = f"{folder} cannot be read: {error.strerror or error}; name a folder of .jsonl files"
        raise UserError(message) from None
    return _collect(settings, [_Lines(path) for path in found], limits, "jsonl", means)


class _Page:
    """One address whose whole content is items."""

    def __init__(self, url: str, fetcher: Fetcher, read: Callable[[Fetched], Iterator[Item]]) -> None:
        self.name = url
        self._fetcher = fetcher
        self._read = read

    def items(self, place: Place, told: Collected) -> Given:
        found = self._fetcher.get(self.name, Validators(place.etag, place.last_modified))
        if found is None:
            told.unchanged = True
            return
        told.cut = found.cut
        items = list(self._read(found))
        after = Place(etag=found.validators.etag, last_modified=found.validators.last_modified)
        for at, item in enumerate(items, start=1):
            # Remembered with the last item alone: what was not sent must come again.
            yield item, after if at == len(items) else place


class _Sitemap:
    """One sitemap, or an index of some."""

    def __init__(self, url: str, fetcher: Fetcher, most_bytes: int, over: Callable[[], bool]) -> None:
        self.name = url
        self._fetcher = fetcher
        self._most_bytes = most_bytes
        self._over = over

    def items(self, place: Place, told: Collected) -> Given:
        found = self._fetcher.get(self.name, Validators(place.etag, place.last_modified))
        if found is None:
            told.unchanged = True
            return
        read = list(self._of(found, told))
        maps = sorted(
            (one for one in read if isinstance(one, sitemaps.Map)),
            key=lambda one: one.changed.timestamp() if one.changed else 0.0, reverse=True,
        )  # fmt: skip
        # Of an index nothing is remembered: a map in it may have changed though the index has not. Nor of what came in part.
        after = (
            Place() if maps or told.unread else Place(etag=found.validators.etag, last_modified=found.validators.last_modified)
        )
        items = [one for one in read if isinstance(one, Item)]
        for at, item in enumerate(items, start=1):
            yield item, after if at == len(items) else place
        yield from ((item, after) for item in self._below(maps[: sitemaps.MOST_MAPS], told))

    def _below(self, maps: Sequence[sitemaps.Map], told: Collected) -> Iterator[Item]:
        """Yield what the maps of an index list. One that cannot be read holds up no other. Raises as `items` where none can."""
        failed = 0
        for one in maps:
            if self._over():
                told.late = True
                return
            try:
                found = self._fetcher.get(one.url)
                items = [item for item in self._of(found, told) if isinstance(item, Item)] if found else []
            except (UserError, RetryError, ValueError) as error:
                told.unread.append(str(error)[:_SHOWN_CHARS])
                failed += 1
                if failed == len(maps):
                    raise
                continue
            yield from items

    def _of(self, found: Fetched, told: Collected) -> Iterator[Item | sitemaps.Map]:
        told.cut = told.cut or found.cut
        for one in sitemaps.read(found, self._most_bytes):
            if isinstance(one, sitemaps.Damage):
                told.unread.append(one.reason[:_SHOWN_CHARS])
            else:
                yield one


class _Gdelt:
    """One query, in as many answers as it takes."""

    def __init__(self, query: gdelts.Query, fetcher: Fetcher, span: timedelta, endpoint: str, clock: Clock) -> None:
        self.name = f"gdelt {query.text}"
        self._query = query
        self._fetcher = fetcher
        self._span = span
        self._endpoint = endpoint
        self._clock = clock

    def items(self, place: Place, told: Collected) -> Given:
        until = self._clock()
        since = until - self._span
        while until > since:
            found = self._fetcher.get(gdelts.url_of(self._query, since, until, self._endpoint))
            items = list(gdelts.items(found)) if found else []
            told.cut = told.cut or (found is not None and found.cut)
            for item in items:
                yield item, place
            seen = [item.published for item in items if item.published is not None]
            if len(items) < gdelts.MOST_RECORDS or not seen:
                return
            until = min(*seen, gdelts.before(until))


class _Lines:
    """One file."""

    def __init__(self, path: Path) -> None:
        self.name = str(path.resolve())
        self._path = path

    def items(self, place: Place, told: Collected) -> Given:
        # A file that was replaced by a shorter one is read from its beginning.
        size = self._path.stat().st_size
        start = place.offset if place.offset <= size else 0
        told.unchanged = 0 < start == size
        for line in folders.lines(self._path, start):
            yield line.found, Place(offset=line.ends)


@contextmanager
def _fetcher(limits: Limits, means: Means) -> Iterator[Fetcher]:
    agent = f"perennial/{metadata.version('perennial')} (news collector)"
    with client() as opened:
        yield Fetcher(
            opened, agent=agent, most_bytes=limits.most_bytes, pause_s=limits.pause_s, manners=means.manners, clock=means.clock,
            sleep=means.sleep,
        )  # fmt: skip


def _collect(settings: Settings, sources: Iterable[_Source], limits: Limits, kind: str, means: Means) -> list[Collected]:
    prepare(settings.data_dir)
    kept, found = Kept.read(settings.data_dir), []
    with closing(open_event_log(settings)) as event_log, closing(event_log.sink()) as sink:
        sending = _Sending(kind, None if means.dry_run else sink, means.clock, limits.articles, means.over)
        for source in sources:
            told = Collected(source.name)
            found.append(told)
            try:
                after = sending.send(source, kept.of(source.name), told)
            except Exception as error:
                foreseen = isinstance(error, UserError | RetryError | ValueError | OSError)
                if not foreseen and of_the_machine(error):
                    raise
                # Whatever an address answers, the others are read.
                told.error = (str(error) if foreseen else in_words(error))[:_SHOWN_CHARS]
                log.warning(
                    "source.failed", source=source.name, reason=told.error, exc_info=None if foreseen else error,
                    next="the others are read; it is tried again",
                )  # fmt: skip
                continue
            if not means.dry_run:
                # The log first: what is remembered as read must be there.
                sink.flush()
                kept.keep(source.name, after)
                kept.write(settings.data_dir)
    return found


@dataclass(slots=True)
class _Sending:
    """Publishes articles, each of a source once."""

    kind: str
    sink: EventSink | None
    """None: nothing is sent."""
    clock: Clock
    left: int | None
    """How many more may be sent; None: any number."""
    over: Callable[[], bool]
    """As `Means.over`."""

    def send(self, source: _Source, place: Place, told: Collected) -> Place:
        """Publish the articles that a source has not given before; return how far it is read."""
        seen, after, given = set(place.seen), place, list[str]()
        for item, here in source.items(place, told):
            told.late = told.late or self.over()
            if told.late or (self.left is not None and self.left <= 0):
                return after.model_copy(update={"seen": (*place.seen, *given)})
            told.read += 1
            article = article_of(item, source=self.kind, now=self.clock()) if isinstance(item, Item) else item
            if isinstance(article, Article) and article.event_id not in seen:
                article = self._published(article)
                told.sent += isinstance(article, Article)
            elif isinstance(article, Article):
                told.known += 1
            if isinstance(article, Unusable):
                told.refuse(article)
            else:
                seen.add(article.event_id)
                given.append(article.event_id)
            after = here
        # What was not read now may have been sent before.
        whole = given and not told.late and not told.unread
        return after.model_copy(update={"seen": tuple(given) if whole else (*place.seen, *given)})

    def _published(self, article: Article) -> Article | Unusable:
        """Publish an article and return it. One that cannot be written, or that the log never takes, holds up no other."""
        try:
            value = to_bytes(article)
            if self.sink is not None:
                self.sink.publish(ARTICLES_TOPIC, value, key=key_of(article))
        except (DeadLetterError, ValueError) as error:
            return Unusable(article.article_id, str(error)[:_SHOWN_CHARS])
        self.left = None if self.left is None else self.left - 1
        return article
