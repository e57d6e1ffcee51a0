"""RSS and Atom: the items of a feed, as `feedparser` reads them."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from config.foreign.times import read_time
from consumers.collecting import decoding, entities, references
from consumers.collecting.articles import Item
from consumers.collecting.fetching import Fetched

_MOST_ITEMS = 10_000
_ZONES: Mapping[str, str] = {
    "WET": "+0000", "WEST": "+0100", "CET": "+0100", "CEST": "+0200", "MEZ": "+0100", "MESZ": "+0200", "EET": "+0200",
    "EEST": "+0300", "MSK": "+0300", "PKT": "+0500", "WIB": "+0700", "HKT": "+0800", "SGT": "+0800", "JST": "+0900",
    "KST": "+0900", "AEST": "+1000", "AEDT": "+1100", "NZST": "+1200", "NZDT": "+1300", "SAST": "+0200", "HST": "-1000",
}  # fmt: skip
"""Zones that feeds name and RFC 822 does not, each of which is only one."""
_ZONE = re.compile(r"(?<=\d)\s?([A-Z]{3,4})(?=$|\s\d{4}$)")
_ASCTIME = re.compile(
    r"[A-Za-z]{3}\s+(?P<month>[A-Za-z]{3})\s+(?P<day>\d{1,2})\s+(?P<time>\d\d:\d\d:\d\d)(?:\s+(?P<zone>\S{1,6}))?\s+(?P<year>\d{4})",
    re.ASCII,
)
"""As `date` and C write it."""


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
    # Its own reading of times guesses: it takes seconds for days, and leaves out zones that it does not know.
    said = (_text(entry[name]) for name in ("published", "updated") if name in entry)
    return next((moment for one in said if one and (moment := _moment(one)) is not None), None)


def _moment(said: str) -> datetime | None:
    text = _ZONE.sub(lambda found: f" {_ZONES.get(found[1], found[1])}", said)
    if found := _ASCTIME.fullmatch(text):
        text = f"{found['day']} {found['month']} {found['year']} {found['time']} {found['zone'] or '+0000'}"
    try:
        return read_time(text)
    except ValueError:
        return None


def _text(value: object) -> str | None:
    return value.strip() if isinstance(value, str) and value.strip() else None
