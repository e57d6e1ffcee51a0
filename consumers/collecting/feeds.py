"""RSS and Atom: the items of a feed, as `feedparser` reads them."""

from __future__ import annotations

import calendar
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from consumers.collecting import decoding, entities, references
from consumers.collecting.articles import Item
from consumers.collecting.fetching import Fetched

_MOST_ITEMS = 10_000


def items(feed: Fetched) -> Iterator[Item]:
    """Yield the items of a feed, as it orders them. Of one that was cut the last, which may be half, is left out.

    Raises `ValueError`, in words, for what is no feed.
    """
    import feedparser  # noqa: PLC0415 - only this needs it

    text, encoding = decoding.markup_of(feed)
    body = references.joined(entities.without(text, feed.url)).encode(encoding)
    headers = {name: feed.headers[name] for name in ("content-type", "content-language") if name in feed.headers}
    if encoding == "utf-8":
        headers["content-type"] = "application/xml; charset=utf-8"
    try:
        found = feedparser.parse(io.BytesIO(body), response_headers={**headers, "content-location": feed.url})
    except (ValueError, OverflowError) as error:
        message = f"{feed.url} cannot be read as a feed ({error})"
        raise ValueError(message) from None
    entries = found.entries[:-1] if feed.cut else found.entries
    if not found.entries and not found.get("version"):
        why = getattr(found, "bozo_exception", None)
        message = f"{feed.url} is no feed{f' ({why})' if why else ''}"
        raise ValueError(message)
    publisher = _text(found.feed.get("title"))
    for entry in entries[:_MOST_ITEMS]:
        yield Item(
            title=_text(entry.get("title")) or "", body=_body(entry), url=_text(entry.get("link")),
            item_id=_text(entry.get("id")), published=_time(entry), publisher=publisher,
        )  # fmt: skip


def _body(entry: Any) -> str:  # noqa: ANN401 - feedparser ships no types
    """Return the longest text that an item has: the whole article where the feed gives it, else its summary."""
    contents = [_text(one.get("value")) or "" for one in entry.get("content") or ()]
    return max([*contents, _text(entry.get("summary")) or ""], key=len)


def _time(entry: Any) -> datetime | None:  # noqa: ANN401 - feedparser ships no types
    for name in ("published_parsed", "updated_parsed"):
        if (parsed := entry.get(name)) is not None:
            try:
                return datetime.fromtimestamp(calendar.timegm(parsed), UTC)
            except (ValueError, OverflowError, OSError, TypeError):
                continue
    return None


def _text(value: object) -> str | None:
    return value.strip() if isinstance(value, str) and value.strip() else None
