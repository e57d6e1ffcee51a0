"""Every error of the database library reaches callers as one of ours: try again, let the run fail, or stop."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import exc

from config.errors import PerennialError, RetryError, RunFailedError, StopError
from registry.database import engine as module
from registry.database.engine import Database

LOCKED = sqlite3.OperationalError("database is locked")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database(f"sqlite:///{tmp_path / 'registry.db'}")
    with opened.write() as connection:
        connection.execute(sa.text("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT NOT NULL)"))
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("error", "becomes"),
    [
        (exc.OperationalError("s", {}, LOCKED), RetryError),
        (exc.OperationalError("s", {}, sqlite3.OperationalError("disk I/O error")), RetryError),
        (exc.OperationalError("s", {}, sqlite3.OperationalError("attempt to write a readonly database")), RetryError),
        (exc.OperationalError("s", {}, sqlite3.OperationalError("no such table: runs")), StopError),
        (exc.InterfaceError("s", {}, sqlite3.InterfaceError("the connection is closed")), RetryError),
        (exc.InternalError("s", {}, sqlite3.InternalError("current transaction is aborted")), RetryError),
        (exc.DBAPIError("s", {}, sqlite3.Error("gone"), connection_invalidated=True), RetryError),
        (exc.TimeoutError("QueuePool limit of size 5 overflow 10 reached"), RetryError),
        (exc.DisconnectionError("gone"), RetryError),
        (exc.IntegrityError("s", {}, sqlite3.IntegrityError("UNIQUE constraint failed")), RunFailedError),
        (exc.DataError("s", {}, sqlite3.DataError("cannot contain NUL")), RunFailedError),
        (exc.StatementError("not JSON serializable", "s", {}, TypeError()), RunFailedError),
        (exc.ProgrammingError("s", {}, sqlite3.ProgrammingError("syntax error")), StopError),
        (exc.DatabaseError("s", {}, sqlite3.DatabaseError("database disk image is malformed")), StopError),
        (exc.NotSupportedError("s", {}, sqlite3.NotSupportedError("no")), StopError),
    ],
)
def test_what_the_library_raises_is_translated(database: Database, error: Exception, becomes: type[PerennialError]) -> None:
    for opened in (database.read, database.write):
        with pytest.raises(PerennialError) as caught, opened():
            raise error
        assert type(caught.value) is becomes
        assert database.name in str(caught.value)


def test_no_error_of_the_library_is_left_out() -> None:
    kinds = [kind for kind in vars(exc).values() if isinstance(kind, type) and issubclass(kind, exc.DBAPIError)]
    assert len(kinds) > 8
    opened = Database("sqlite:////tmp/never-opened.db", create=True)
    for kind in kinds:
        assert isinstance(opened._translated(kind("s", {}, sqlite3.Error("x"))), PerennialError), kind


def test_a_row_that_the_registry_does_not_take_costs_no_other(database: Database) -> None:
    with database.write() as connection:
        connection.execute(sa.text("INSERT INTO t VALUES (1, 'one')"))
    with pytest.raises(RunFailedError, match="refused a value"), database.write() as connection:
        connection.execute(sa.text("INSERT INTO t VALUES (2, 'two'), (1, 'again')"))
    with database.read() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM t")).scalar_one() == 1


def test_a_locked_registry_is_tried_again(tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUSY_TIMEOUT_S", 0.01)
    impatient = Database(str(database.url))
    with sqlite3.connect(tmp_path / "registry.db") as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(RetryError, match="database is locked"), impatient.write():
            pass
        other.rollback()
    with impatient.write() as connection:
        connection.execute(sa.text("INSERT INTO t VALUES (1, 'one')"))
    impatient.close()


def test_a_registry_that_is_no_database_stops(tmp_path: Path) -> None:
    file = tmp_path / "registry.db"
    file.write_bytes(os.urandom(8192))
    opened = Database(f"sqlite:///{file}")
    with pytest.raises(StopError, match="cannot be used"), opened.read() as connection:
        connection.execute(sa.text("SELECT 1 FROM sqlite_master"))
    opened.close()
