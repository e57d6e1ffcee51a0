"""Feeds as they are: with halves of characters, and texts about XML."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from consumers.collecting import feeds
from consumers.collecting.articles import Item
from consumers.collecting.fetching import Fetched, Validators

URL = "https://a.example/rss"
RSS = '<?xml version="1.0" encoding="{encoding}"?>{before}<rss version="2.0"><channel><title>Desk</title>{items}</channel></rss>'


def found(body: str | bytes, **headers: str) -> list[Item]:
    written = body if isinstance(body, bytes) else body.encode()
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    return list(feeds.items(Fetched(URL, written, cut=False, validators=Validators(), headers=told)))


def rss(*titles: str, before: str = "", encoding: str = "utf-8", more: str = "") -> str:
    items = "".join(f"<item><title>{title}</title>{more}</item>" for title in titles)
    return RSS.format(items=items, before=before, encoding=encoding)


def titles(body: str | bytes, **headers: str) -> list[str]:
    return [item.title for item in found(body, **headers)]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("cut &#xD83D; x", "cut \ufffd x"), ("cut &#55357; x", "cut \ufffd x"), ("cut &#xDE00; x", "cut \ufffd x"),
        ("&#55357;&#56832; x", "\U0001f600 x"), ("&#xd83d;&#xDE00; x", "\U0001f600 x"), ("&#65;&#55357;&#56832;", "A\U0001f600"),
        ("a &#1114112; x", "a \ufffd x"), (f"a &#{'9' * 5_000}; x", "a \ufffd x"), ("a&#8; x", "a x"), ("5 &#8211; 6", "5 – 6"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1"])
def test_halves_of_characters_cost_no_feed(written: str, read: str, encoding: str) -> None:
    assert titles(rss("Älv", written, "Next", encoding=encoding).encode(encoding)) == ["Älv", read, "Next"]


@pytest.mark.parametrize(
    ("written", "hours"),
    [
        ("1714564800", 12), ("1714564800000", 12), ("20240501120000", 12), ("Wed, 01 May 2024 12:00:00 CEST", 10),
        ("Wed, 01 May 2024 12:00:00 MSK", 9), ("Wed, 01 May 2024 12:00:00 GMT", 12), ("Wed, 01 May 2024 12:00 EST", 17),
        ("Wed May  1 12:00:00 2024", 12), ("Wed May 1 12:00:00 UTC 2024", 12), ("Wed May  1 12:00:00 CEST 2024", 10),
        ("Wed May  1 12:00:00 -0500 2024", 17), ("2024-05-01T12:00:00+02:00", 10), ("2024-05-01 12:00:00 JST", 3),
        ("2024-05-01", 0), ("Wed, 1 May 2024 12:00:00", 12),
        ("2024", None), ("2024年05月01日", None), ("45413", None), ("01/05/2024", None), ("Wed, 01 May 2024 12:00:00 XYZ", None),
        ("Wed May  1 12:00:00 XYZ 2024", None), ("yesterday", None),
    ],
)  # fmt: skip
def test_times_are_read_as_everywhere(written: str, hours: int | None) -> None:
    right = None if hours is None else datetime(2024, 5, 1, hours, tzinfo=UTC)
    for name in ("pubDate", "updated"):
        [item] = found(rss("A", more=f"<{name}>{written}</{name}>"))
        assert item.published == right


def test_of_two_times_the_one_that_can_be_read_counts() -> None:
    [item] = found(rss("A", more="<pubDate>2024</pubDate><updated>2024-05-01T12:00:00Z</updated>"))
    assert item.published == datetime(2024, 5, 1, 12, tzinfo=UTC)
