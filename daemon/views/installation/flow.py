"""The flow of data at one moment: what waits in the log, what the buffer holds, and what is not enriched yet."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from config.errors import RetryError
from daemon.views.view import View

if TYPE_CHECKING:
    from consumers.buffer.reader import BufferReader
    from consumers.dead_letters.store import DeadLetters
    from consumers.log.protocols import EventSource

TextTable = Literal["articles", "examples"]
_TEXTS: tuple[TextTable, ...] = ("articles", "examples")


class Backlog(View):
    """Stored texts of one table that are not enriched yet."""

    texts: int
    since: datetime | None
    """When the oldest of them was stored."""


class Flow(View):
    """How far ingest and enrichment have come."""

    lag: dict[str, int]
    """Events per topic that are not yet buffered; empty when the log does not answer."""
    log_problem: str | None
    tables: dict[str, int]
    """Rows of each table that events arrive in."""
    backlog: dict[TextTable, Backlog]
    stored_per_s: float | None = None
    """Rows of the tables that events arrive in that were stored a second of late; None when none was."""
    enriched_per_s: float | None
    """Examples of all tasks that were enriched a second of late; None when none was."""
    dead_letters: int
    set_aside: int
    """Texts and answers that the program failed on; `perennial dlq set-aside` lists them."""


def read(buffer: BufferReader, sources: Mapping[str, EventSource], dead_letters: DeadLetters) -> Flow:
    """Return the flow now; `sources` are the consumers' views of the log, by topic."""
    lag: dict[str, int] = {}
    log_problem = None
    try:
        lag = {topic: sum(source.lag().values()) for topic, source in sources.items()}
    except RetryError as error:
        log_problem = str(error)
    return Flow(
        lag=lag,
        log_problem=log_problem,
        tables=buffer.table_counts(),
        backlog={table: Backlog.model_validate(buffer.behind(table)) for table in _TEXTS},
        stored_per_s=buffer.stored_per_s(),
        enriched_per_s=buffer.enriched_per_s(),
        dead_letters=dead_letters.count(),
        set_aside=buffer.count_put_aside(),
    )
