"""What crawlers, news services and feeds call the fields of an article: one table for folders and for imports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

_NAMES: Mapping[str, tuple[str, ...]] = {
    "title": ("title", "headline"),
    "body": (
        "body", "text", "content", "maintext", "fulltext", "articlebody", "contenttext", "contenthtml", "description", "summary",
    ),
    "url": ("url", "link"),
    "id": ("articleid", "id", "guid"),
    "time": (
        "published", "publishedat", "pubdate", "datepublished", "datepublish", "publicationdate", "occurredat", "date", "time",
        "seendate",
    ),
    "publisher": ("publisher", "source", "sourcedomain", "domain", "site"),
}  # fmt: skip
"""The names of each field, as `_plain` writes them; the first that is there counts."""
_OF_IMPORTS = ("title", "body", "time")


def named(names: Iterable[str], field: str) -> str | None:
    """Return which of the names is the one of an article's field; None where none is."""
    written: dict[str, str] = {}
    for name in names:
        written.setdefault(_plain(name), name)
    return next((written[one] for one in _NAMES[field] if one in written), None)


def unnamed(columns: Iterable[str], known: Mapping[str, str]) -> dict[str, str]:
    """Return field -> column of an article's fields that have no column yet. A text is a body."""
    free = [column for column in columns if column not in known.values()]
    wanted = [one for one in _OF_IMPORTS if one not in known and not (one == "body" and "text" in known)]
    return {field: column for field in wanted if (column := named(free, field)) is not None}


def _plain(name: str) -> str:
    """Return a name in one spelling: `publishedAt` and `published_at` are the same."""
    return name.replace("_", "").replace("-", "").lower()
