"""Which rows of a file are known already: their events have ids that say which file, read in which way, and which row."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from config.errors import RetryError, UserError
from config.settings import Settings
from consumers.buffer import folder as buffer_folder
from consumers.log.open import open_event_log
from consumers.tables.lance import Tables

_TABLES = {"examples": "row_id", "feedback": "event_id", "articles": "event_id"}


def known_rows(settings: Settings, identity: str, groups: Mapping[str, str]) -> frozenset[int]:
    """Return the rows of an import that the buffer holds, or that wait in the embedded log to be stored.

    `identity` is the import's; `groups` are the consumer groups that store events, with their topics. What waits in Kafka is not
    looked for: it is stored once all the same. Raises `RetryError` when the log cannot be read now.
    """
    prefix = f"import-{identity}-"
    ids = _stored(settings.buffer_dir, prefix)
    if settings.events.backend == "embedded" and settings.event_log_file.exists():
        ids |= _waiting(settings, prefix, groups)
    return frozenset(int(found[1]) for one in ids if (found := re.fullmatch(re.escape(prefix) + r"(\d+)", one)))


def _stored(folder: Path, prefix: str) -> set[str]:
    try:
        buffer_folder.check(folder)
    except UserError:
        # No daemon has run here yet.
        return set()
    tables = Tables(folder, writer=False)
    # The prefix is our own: letters, digits and dashes.
    return {
        value
        for table, column in _TABLES.items()
        for value in tables.scan(table, [column], f"starts_with({column}, '{prefix}')")[column].to_pylist()
    }


def _waiting(settings: Settings, prefix: str, groups: Mapping[str, str]) -> set[str]:
    begins = f'"event_id":"{prefix}'.encode()
    found: set[str] = set()
    with closing(open_event_log(settings)) as event_log:
        read = {topic: min(event_log.committed(group, topic).values(), default=0) for group, topic in groups.items()}
    query = "SELECT value FROM events WHERE topic = ? AND event_offset >= ? AND instr(value, ?)"
    try:
        with closing(
            sqlite3.connect(f"{settings.event_log_file.absolute().as_uri()}?mode=ro", uri=True, timeout=5)
        ) as connection:
            for topic, offset in read.items():
                for (value,) in connection.execute(query, (topic, offset, begins)):
                    start = value.index(begins) + len('"event_id":"')
                    found.add(value[start : value.index(b'"', start)].decode("ascii", "replace"))
    except sqlite3.Error as error:
        message = f"{settings.event_log_file} cannot be read now ({error}); nothing was imported. Try again"
        raise RetryError(message) from None
    return found
