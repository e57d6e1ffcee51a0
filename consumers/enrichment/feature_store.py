"""Features of texts by encoder version: a cache beside the buffer, never the only copy of anything.

A file of its own, because it may go at any time: what is missing, damaged or of another encoder is computed anew.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import structlog

from config.errors import StopError
from config.files.sqlite_file import open_file, transaction, translated_errors, vacuum

FILE_NAME = "features.db"
FORMAT_VERSION = 1
_SCHEMA = """
CREATE TABLE encoders (number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE);
CREATE TABLE features (
    encoder INTEGER NOT NULL, text_sha256 TEXT NOT NULL, vector BLOB NOT NULL, PRIMARY KEY (encoder, text_sha256)
) WITHOUT ROWID
"""
_PER_QUERY = 500
_SCAN_FROM = 5_000
"""From so many texts on all of an encoder's are read in one go."""

Vector = npt.NDArray[np.float32]

_log = structlog.get_logger(__name__)


class FeatureStore:
    """The file. Thread-safe. Raises `RetryError` when it is locked or the disk is full."""

    def __init__(self, data_dir: Path) -> None:
        """Open it; a file that is damaged is removed and begun anew. Raises `StopError` for one of a newer version."""
        self._path = data_dir / FILE_NAME
        self._lock = threading.Lock()
        self._connection = self._opened()

    def get(self, encoder: str, text_sha256s: Collection[str]) -> dict[str, Vector]:
        """Return the stored vectors of texts (by SHA-256) from one encoder; a vector cut short counts as not stored."""
        with self._lock:
            number = self._number(encoder)
            if number is None:
                return {}
            try:
                found = dict(self._read(number, list(text_sha256s)))
            except StopError as error:
                self._begin_anew(error)
                return {}
        widths = [len(vector) for vector in found.values()]
        width = max(set(widths), key=widths.count, default=0)
        vectors = {
            text: np.frombuffer(vector, dtype=np.float32)
            for text, vector in found.items()
            if len(vector) == width and width % 4 == 0
        }
        return {text: vector for text, vector in vectors.items() if np.isfinite(vector).all()}

    def put(self, encoder: str, vectors: Mapping[str, Vector]) -> None:
        """Store vectors by the SHA-256 of their texts, durably; those that are there are replaced."""
        with self._lock, transaction(self._connection, self._path):
            self._connection.execute("INSERT OR IGNORE INTO encoders (name) VALUES (?)", (encoder,))
            number = self._number(encoder)
            self._connection.executemany(
                "INSERT OR REPLACE INTO features VALUES (?, ?, ?)",
                [(number, text, np.asarray(vector, dtype=np.float32).tobytes()) for text, vector in vectors.items()],
            )

    def drop(self, encoder: str) -> None:
        """Forget all vectors of an encoder."""
        with self._lock, transaction(self._connection, self._path):
            self._connection.execute(
                "DELETE FROM features WHERE encoder IN (SELECT number FROM encoders WHERE name = ?)", (encoder,)
            )
            self._connection.execute("DELETE FROM encoders WHERE name = ?", (encoder,))

    def keep_encoders(self, encoders: Collection[str]) -> list[str]:
        """Forget the vectors of all other encoders; return which these were."""
        with self._lock, translated_errors(self._path):
            names = [name for (name,) in self._connection.execute("SELECT name FROM encoders").fetchall()]
        gone = sorted(set(names) - set(encoders))
        for name in gone:
            self.drop(name)
        return gone

    def keep_texts(self, text_sha256s: Collection[str]) -> int:
        """Forget, down to the bytes in the file, the vectors of all other texts: of erased ones, say. Returns how many went."""
        kept = text_sha256s if isinstance(text_sha256s, set | frozenset) else set(text_sha256s)
        with self._lock:
            with transaction(self._connection, self._path):
                stored = self._connection.execute("SELECT DISTINCT text_sha256 FROM features").fetchall()
                gone = [row for row in stored if row[0] not in kept]
                self._connection.executemany("DELETE FROM features WHERE text_sha256 = ?", gone)
            if gone:
                vacuum(self._connection, self._path)
        return len(gone)

    def close(self) -> None:
        """Release the file."""
        with self._lock:
            self._connection.close()

    def _opened(self) -> sqlite3.Connection:
        try:
            return open_file(self._path, schema=_SCHEMA, format_version=FORMAT_VERSION)
        except StopError as error:
            if not isinstance(error.__cause__, sqlite3.DatabaseError):
                raise
            return self._removed(error)

    def _begin_anew(self, error: StopError) -> None:
        self._connection.close()
        self._connection = self._removed(error)

    def _removed(self, error: StopError) -> sqlite3.Connection:
        _log.error("features.store_dropped", path=str(self._path), reason=str(error), next="features are computed anew")
        for name in (FILE_NAME, f"{FILE_NAME}-journal"):
            self._path.with_name(name).unlink(missing_ok=True)
        return open_file(self._path, schema=_SCHEMA, format_version=FORMAT_VERSION)

    def _number(self, encoder: str) -> int | None:
        with translated_errors(self._path):
            row = self._connection.execute("SELECT number FROM encoders WHERE name = ?", (encoder,)).fetchone()
        return None if row is None else int(row[0])

    def _read(self, encoder: int, texts: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        with translated_errors(self._path):
            if len(texts) >= _SCAN_FROM:
                wanted = set(texts)
                rows = self._connection.execute("SELECT text_sha256, vector FROM features WHERE encoder = ?", (encoder,))
                yield from (row for row in rows if row[0] in wanted)
                return
            for start in range(0, len(texts), _PER_QUERY):
                some = texts[start : start + _PER_QUERY]
                marks = ", ".join("?" * len(some))
                query = f"SELECT text_sha256, vector FROM features WHERE encoder = ? AND text_sha256 IN ({marks})"  # noqa: S608 - marks
                yield from self._connection.execute(query, (encoder, *some)).fetchall()
