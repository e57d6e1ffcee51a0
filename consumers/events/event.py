"""What every event carries, and the fields that several have."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from config.foreign.ids import ForeignId
from config.foreign.times import Moment
from config.kinds.values import Frozen

SCHEMA_VERSION = 1
EventId = Annotated[ForeignId, Field(description="Unique id of this event; a redelivery carries the same one.")]
ArticleId = Annotated[ForeignId, Field(description="The publisher's stable id of the article, such as its URL or guid.")]
MAX_NOTE_CHARS = 1_000
Note = Annotated[str | None, Field(min_length=1, max_length=MAX_NOTE_CHARS, description="What whoever decided adds for people.")]
TaskName = Annotated[str, Field(min_length=1, max_length=63)]


class EventFields(Frozen):
    """The fields of every event."""

    schema_version: Literal[1] = 1
    event_id: EventId
    occurred_at: Annotated[Moment, Field(description="When it happened (event time), with a zone.")]
    source: Annotated[str | None, Field(max_length=200, description="Who sent it.")] = None
