"""GDELT's DOC API: articles of the world's news by country, theme and words; titles and addresses, no bodies.

https://blog.gdeltproject.org/gdelt-doc-2-0-api-debuts/
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from consumers.collecting.articles import Item
from consumers.collecting.fetching import Fetched

ENDPOINT = "https://api.gdeltproject.org/api/v2/doc/doc"
MOST_RECORDS = 250
"""Of one answer."""
PAUSE_S = 5.0
"""GDELT asks for no more than a request in five seconds."""
_SEEN = "%Y%m%dT%H%M%SZ"
_ASKED = "%Y%m%d%H%M%S"


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked for."""

    words: str = ""
    country: str | None = None
    """Of the publisher, in one word as GDELT has it: `sweden`, `unitedkingdom`."""
    theme: str | None = None
    """Such as `TERROR` or `ECON_STOCKMARKET`."""
    language: str | None = None

    @property
    def text(self) -> str:
        """Return it as GDELT reads it."""
        said = {"sourcecountry": self.country, "theme": self.theme, "sourcelang": self.language}
        return " ".join(filter(None, (self.words.strip(), *(f"{name}:{value}" for name, value in said.items() if value))))


def url_of(query: Query, since: datetime, until: datetime, endpoint: str = ENDPOINT) -> str:
    """Return the address that gives the articles of a span of time, the newest first."""
    asked: Mapping[str, str | int] = {
        "query": query.text, "mode": "artlist", "format": "json", "maxrecords": MOST_RECORDS, "sort": "datedesc",
        "startdatetime": since.astimezone(UTC).strftime(_ASKED), "enddatetime": until.astimezone(UTC).strftime(_ASKED),
    }  # fmt: skip
    return f"{endpoint}?{urlencode(asked)}"


def items(found: Fetched) -> Iterator[Item]:
    """Yield the articles of an answer, JSON or CSV. Raises `ValueError` with GDELT's own words where it is neither."""
    text = found.body.decode("utf-8-sig", "replace").strip()
    if not text or text == "{}":
        return
    if text.startswith("{"):
        try:
            articles = json.loads(text, strict=False).get("articles") or []
        except (ValueError, RecursionError) as error:
            message = f"GDELT's answer cannot be read ({str(error)[:100]})"
            raise ValueError(message) from None
        if not isinstance(articles, list):
            message = f"GDELT's answer cannot be read (articles are {str(articles)[:100]})"
            raise ValueError(message)
        for one in articles:
            if isinstance(one, dict):
                yield _item(one, "url", "title", "seendate")
    elif text.lower().startswith("url,"):
        try:
            for one in csv.DictReader(io.StringIO(text)):
                yield _item(one, "URL", "Title", "Date")
        except csv.Error as error:
            message = f"GDELT's answer cannot be read ({error})"
            raise ValueError(message) from None
    else:
        message = f"GDELT says: {' '.join(text.split())[:200]}"
        raise ValueError(message)


def _item(one: Mapping[str, Any], url: str, title: str, date: str) -> Item:
    found = {name: one.get(name) for name in (url, title, date, "domain")}
    texts = {name: value.strip() if isinstance(value, str) and value.strip() else None for name, value in found.items()}
    return Item(title=texts[title] or "", url=texts[url], published=_time(texts[date]), publisher=texts["domain"])


def _time(said: str | None) -> datetime | None:
    for layout in (_SEEN, "%Y-%m-%d %H:%M:%S", _ASKED):
        try:
            return datetime.strptime(said or "", layout).replace(tzinfo=UTC)
        except ValueError:
            continue
    return None


def before(oldest: datetime) -> datetime:
    """Return until when the next answer is asked for, once the oldest article of one is known."""
    return oldest - timedelta(seconds=1)
