"""Names of versions and runs at a glance, without SQLAlchemy, which takes longer to load than a shell's completion may wait."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

_MOST = 200
_WAIT_S = 0.1


def version_names(file: Path) -> list[str]:
    """Return the names of the newest versions in an SQLite registry, newest first; none where it cannot be read at once."""
    return _column(file, "SELECT name FROM versions ORDER BY id DESC LIMIT ?")


def run_ids(file: Path) -> list[str]:
    """Return the ids of the newest runs in an SQLite registry, newest first; none where it cannot be read at once."""
    return _column(file, "SELECT run_id FROM runs ORDER BY id DESC LIMIT ?")


def _column(file: Path, query: str) -> list[str]:
    if not file.exists():
        return []
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True, timeout=_WAIT_S)) as database:
            return [str(row[0]) for row in database.execute(query, (_MOST,))]
    except sqlite3.Error:
        return []
