"""A copy of the embedded log's file that holds up nobody who publishes meanwhile.

SQLite's own online backup would either lock the file for as long as the copy takes, or begin again at every write. Events never
change and only the oldest are removed, so they are copied in many short reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from config.files.sqlite_file import transaction, translated_errors
from consumers.log.embedded.file import CHUNK_BYTES, CHUNK_EVENTS, bounds_of, open_log, portion, topics_of


def copy_log(source: Path, target: Path) -> Mapping[str, int]:
    """Copy all events logged before this call into the new file `target`; return the first offset kept of each topic.

    The groups' positions are those of the moment. The caller makes the file durable. Raises `RetryError`, `StopError`.
    """
    with closing(open_log(source)) as reader, closing(open_log(target)) as writer:
        # Whoever finds the file finds all of it: it is not in its place before it is whole.
        writer.execute("PRAGMA synchronous=OFF")
        with translated_errors(source):
            ends = {topic: bounds_of(reader, topic)[1] for topic in topics_of(reader)}
            positions = reader.execute("SELECT consumer_group, topic, next_offset FROM positions").fetchall()
        with transaction(writer, target):
            writer.executemany("INSERT INTO topics VALUES (?, ?)", list(ends.items()))
            writer.executemany("INSERT INTO positions VALUES (?, ?, ?)", positions)
        for topic, end in ends.items():
            at = 0
            query = (
                "SELECT topic, event_offset, logged_at_us, key, headers, value FROM events "
                "WHERE topic = ? AND event_offset >= ? AND event_offset < ? ORDER BY event_offset LIMIT ?"
            )
            while True:
                with translated_errors(source):
                    rows = portion(reader, query, (topic, at, end, CHUNK_EVENTS), value_at=5, max_bytes=CHUNK_BYTES)
                if not rows:
                    break
                with transaction(writer, target):
                    writer.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", rows)
                at = rows[-1][1] + 1
        with translated_errors(target):
            return {topic: bounds_of(writer, topic)[0] for topic in ends}
