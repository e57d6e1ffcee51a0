"""What a source gives, and the article event that it becomes: the same content gives the same event, however often it is read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import ValidationError

from config.errors import DeadLetterError
from config.foreign.ids import foreign_id
from consumers.events.errors import explain
from consumers.events.schemas import MAX_TEXT_CHARS, Article
from consumers.events.wire import refuse_surrogates

_MOST_URL, _MOST_PUBLISHER = 2_000, 200
_AHEAD = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Item:
    """One article as a source gives it, unchecked."""

    title: str = ""
    body: str = ""
    url: str | None = None
    item_id: str | None = None
    """What the source calls it, such as a feed's `guid`."""
    published: datetime | None = None
    publisher: str | None = None


@dataclass(frozen=True, slots=True)
class Unusable:
    """An item that gives no article."""

    what: str
    """Its id, its address, or its place."""
    reason: str


def article_of(item: Item, *, source: str, now: datetime) -> Article | Unusable:
    """Return the event of an item. Without a time of its own, or with one that is ahead, it happened `now`.

    Its id follows from what it says, so that an item that is read again is known, and one that was changed is a new revision.
    """
    name = _name(item)
    content = f"{name}\n{item.title}\n{item.body}"
    published = item.published if item.published is not None and item.published <= now + _AHEAD else now
    fields: Mapping[str, object] = {
        "event_id": f"{source}-{hashlib.sha256(content.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}",
        "occurred_at": published, "source": source, "article_id": name,
        "title": item.title[:MAX_TEXT_CHARS], "body": item.body[:MAX_TEXT_CHARS],
        "url": item.url if item.url and len(item.url) <= _MOST_URL else None,
        "publisher": item.publisher[:_MOST_PUBLISHER] if item.publisher else None,
    }  # fmt: skip
    try:
        for part, said in fields.items():
            if isinstance(said, str):
                refuse_surrogates((part,), said)
        return Article.model_validate(fields)
    except DeadLetterError as error:
        return Unusable(name, error.reason)
    except ValidationError as error:
        return Unusable(name, explain(error, noun="item").reason)


def _name(item: Item) -> str:
    """Return the id of an item's article: what its source calls it, else its address; a hash where neither can be one."""
    for said in (item.item_id, item.url):
        if said and said.strip():
            try:
                return foreign_id(said.strip())
            except ValueError:
                return hashlib.sha256(said.strip().encode("utf-8", "surrogatepass")).hexdigest()
    return hashlib.sha256(f"{item.title}\n{item.body}".encode("utf-8", "surrogatepass")).hexdigest()
