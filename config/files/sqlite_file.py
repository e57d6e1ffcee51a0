"""Opening and writing a small durable SQLite file that several processes share.

Rollback journal, not WAL: SQLite before 3.51.3 may corrupt a WAL that several connections checkpoint. In TRUNCATE mode
with `synchronous=FULL` SQLite also fsyncs the emptied journal, so a committed transaction survives a power cut.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from config.errors import RetryError, StopError
from config.files.durable import sync_folder

BUSY_TIMEOUT_S = 10.0
_BROKEN = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_PRIMARY_CODE = 0xFF


def open_file(path: Path, *, schema: str, format_version: int) -> sqlite3.Connection:
    """Open `path`, creating it with `schema` when it is new.

    Raises `StopError` when a newer version wrote it or it is no SQLite file, `RetryError` when it cannot be opened now.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with translated_errors(path):
        # Statements begin their transactions themselves; a lock outside SQLite guards use by several threads.
        connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    try:
        with translated_errors(path):
            connection.execute("PRAGMA journal_mode=TRUNCATE")
            connection.execute("PRAGMA synchronous=FULL")
            # Deleted content is overwritten with zeros. Most builds of SQLite would leave it in the file.
            connection.execute("PRAGMA secure_delete=ON")
            found = _format(connection)
        if found == 0:
            found = _create(connection, path, schema, format_version)
        _refuse_newer(path, found, format_version)
    except BaseException:
        connection.close()
        raise
    return connection


def vacuum(connection: sqlite3.Connection, path: Path) -> None:
    """Rewrite the file: `secure_delete` leaves copies behind where rows moved between pages. Raises as `translated_errors`.

    Others wait meanwhile, and the temporary folder (SQLITE_TMPDIR) needs room for a copy.
    """
    with translated_errors(path):
        connection.execute("VACUUM")


def _format(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _refuse_newer(path: Path, found: int, format_version: int) -> None:
    if found > format_version:
        message = (
            f"{path} has format {found}, this version of Perennial reads up to {format_version}. Nothing was changed. "
            "Install the newer version, or point data_dir at another folder."
        )
        raise StopError(message)


def _create(connection: sqlite3.Connection, path: Path, schema: str, format_version: int) -> int:
    with transaction(connection, path):
        # Another process may have been first while this one waited for the lock.
        found = _format(connection)
        if found == 0:
            for statement in filter(str.strip, schema.split(";")):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {format_version:d}")
            found = format_version
    sync_folder(path.parent)
    return found


@contextmanager
def transaction(connection: sqlite3.Connection, path: Path) -> Iterator[None]:
    """Run the block as one durable write transaction: all of it or nothing. Raises as `translated_errors` does."""
    with translated_errors(path):
        # IMMEDIATE takes the write lock at once: a later upgrade from reading could fail whatever the busy timeout is.
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            connection.execute("COMMIT")
        except BaseException:
            # SQLite has rolled back by itself after some errors (a full disk); only then no transaction is open.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


@contextmanager
def translated_errors(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into `RetryError` (locked, disk full, not readable now) or `StopError` (corrupt)."""
    try:
        yield
    except sqlite3.ProgrammingError:
        raise
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", None)
        if code is not None and code & _PRIMARY_CODE in _BROKEN:
            message = (
                f"{path} cannot be read as an SQLite file ({error}). It was left as it is. "
                "Stop Perennial, keep a copy, and restore the file from a backup or move it away."
            )
            raise StopError(message) from error
        if isinstance(error, sqlite3.OperationalError):
            message = (
                f"{path} cannot be used now ({error}). Nothing was written; the step is tried again. "
                "Check free space and permissions of its folder, and that no other program holds the file locked."
            )
            raise RetryError(message) from error
        raise
