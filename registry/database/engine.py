"""One database, SQLite or Postgres: read transactions see one moment, write transactions come one at a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.engine import URL, Connection, Engine, make_url

from config.errors import PerennialError, RetryError, RunFailedError, StopError, UserError

T = TypeVar("T")

BUSY_TIMEOUT_S = 30.0
_WRITES = "registry_writes"
# Locked or away, a full disk, no connection free in time.
_MAY_PASS = (exc.OperationalError, exc.InterfaceError, exc.InternalError, exc.TimeoutError, exc.DisconnectionError)
# SQLite calls these operational, too; no waiting fixes them.
_OF_THE_SCHEMA = ("no such table", "no such column")
_SAID_CHARS = 300
# Any constant that nobody else of this database uses: it means "the registry's one writer".
_WRITE_LOCK_KEY = 0x7065_7265_6E6E
# Below the 32,766 variables SQLite allows in one statement.
_PORTION = 10_000


class Database:
    """Hands out transactions; knows the two things in which SQLite and Postgres differ, how to lock and how to sync."""

    def __init__(self, url: str, *, read_only: bool = False, create: bool = True) -> None:
        """Without `create` an SQLite file that is not there is refused (`UserError`)."""
        self.url = _parse(url)
        self.read_only = read_only
        self.create = create
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.is_sqlite and not create and not Path(str(self.url.database)).exists():
            raise self.nothing_here()
        self._engine = _sqlite_engine(self.url, read_only=read_only) if self.is_sqlite else _postgres_engine(self.url)

    @property
    def name(self) -> str:
        """The URL as it may be shown: the password is masked."""
        return self.url.render_as_string(hide_password=True)

    def nothing_here(self) -> UserError:
        """Return the error of who expected a registry and must not create one."""
        message = (
            f"there is no registry at {self.name}, and none was created. If an installation exists, give its settings to this "
            "command too (registry.url or data_dir, for example PERENNIAL_REGISTRY__URL; `perennial config` shows the "
            "current ones). To start a new installation, use `perennial run`"
        )
        return UserError(message)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction in which every query sees the same moment. Raises `RetryError` when the database does not answer."""
        options: dict[str, Any] = {}
        if not self.is_sqlite:
            options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with self._explained(), self._engine.connect() as connection, connection.execution_options(**options).begin():
            yield connection

    @contextmanager
    def write(self, within: Connection | None = None) -> Iterator[Connection]:
        """A transaction that no other writer overlaps, in this process or another: what it reads stays true until it ends.

        `within`: one that is under way and is to be joined.

        Raises `RetryError` when the database does not answer or another writer holds it for too long.
        """
        if within is not None:
            yield within
            return
        if self.read_only:
            message = f"the registry {self.name} is open for reading only; write with `perennial run` or `perennial models`"
            raise StopError(message)
        with self._explained(), self._engine.connect() as connection, connection.execution_options(**{_WRITES: True}).begin():
            if not self.is_sqlite:
                connection.execute(sa.text(f"SET LOCAL lock_timeout = {int(BUSY_TIMEOUT_S * 1000)}"))
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_WRITE_LOCK_KEY)))
            yield connection

    def vacuum(self) -> None:
        """Rewrite an SQLite file, so that nothing that was deleted stays in it; Postgres does it by itself (autovacuum)."""
        if self.is_sqlite:
            # Through the driver: SQLAlchemy would begin a transaction, in which VACUUM is refused.
            with closing(self._engine.raw_connection()) as connection:
                try:
                    connection.cursor().execute("VACUUM")
                except sqlite3.Error as error:
                    message = f"the registry {self.name} could not be rewritten ({error}); it is tried again. Check the disk"
                    raise RetryError(message) from error

    def size_bytes(self) -> int:
        """Return the size of an SQLite file; 0 for Postgres, which keeps itself small."""
        return Path(str(self.url.database)).stat().st_size if self.is_sqlite else 0

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except exc.SQLAlchemyError as error:
            raise self._translated(error) from error

    def _translated(self, error: exc.SQLAlchemyError) -> PerennialError:
        """Return what the caller is to do about an error of the library: try again, let the run fail, or stop."""
        said = " ".join(str(getattr(error, "orig", None) or error).split())[:_SAID_CHARS]
        if isinstance(error, exc.OperationalError) and any(sign in said for sign in _OF_THE_SCHEMA):
            return StopError(f"the registry {self.name} has not the tables this program expects ({said}); restore a backup of it")
        lost = isinstance(error, exc.DBAPIError) and error.connection_invalidated
        if lost or isinstance(error, _MAY_PASS):
            return RetryError(
                f"the registry {self.name} did not answer ({said}); nothing was changed and the step is tried again. "
                "If this persists, check that the database runs, its disk has free space and no other program locks it"
            )
        if isinstance(error, exc.IntegrityError | exc.DataError) or not isinstance(error, exc.DatabaseError):
            # What one run or request would have written; the others continue.
            return RunFailedError(f"the registry {self.name} refused a value ({said}); nothing was changed. Please report this")
        return StopError(f"the registry {self.name} cannot be used ({said}); check the file or database, or restore a backup")


def portions(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """Cut `values` into parts that fit into one statement."""
    return (values[start : start + _PORTION] for start in range(0, len(values), _PORTION))


def insert_many(connection: Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert any number of rows."""
    for some in portions(rows):
        connection.execute(sa.insert(table), some)


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except exc.ArgumentError:
        message = (
            "registry.url is not a database URL; give e.g. sqlite:////var/lib/perennial/registry.db or postgresql://host/name"
        )
        raise UserError(message) from None
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        message = f"registry.url names {parsed.get_backend_name()!r}; the registry runs on sqlite and postgresql"
        raise UserError(message)
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        message = "registry.url names no file; several processes share the registry, so give e.g. sqlite:////var/lib/perennial/registry.db"
        raise UserError(message)
    if parsed.get_backend_name() == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    return parsed


def _postgres_engine(url: URL) -> Engine:
    try:
        return sa.create_engine(url, pool_pre_ping=True)
    except ModuleNotFoundError:
        message = "a Postgres registry needs the driver psycopg; install it with: pip install 'perennial[postgres]'"
        raise UserError(message) from None


def _sqlite_engine(url: URL, *, read_only: bool) -> Engine:
    file = Path(str(url.database))
    if read_only and not file.exists():
        message = f"there is no registry at {file} yet; `perennial run` creates it"
        raise RetryError(message)
    file.parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S})

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: object) -> None:  # noqa: ANN401 - the driver's connection
        # The driver must not begin transactions by itself: it would do so late, and never for DDL.
        connection.isolation_level = None
        # The rollback journal, not WAL: several processes would checkpoint, which SQLite before 3.51.3 is reported to
        # survive badly. Truncated rather than deleted, a commit needs no sync of the folder to be durable.
        connection.execute("PRAGMA journal_mode=TRUNCATE")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        # Deleted content is overwritten: what an erasure removes must not stay in free pages.
        connection.execute("PRAGMA secure_delete=ON")
        if read_only:
            # Not mode=ro: a reader must still be able to roll back what a killed writer left half written.
            connection.execute("PRAGMA query_only=ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A writer locks before it reads; otherwise two could both read the old champion and one would fail at commit.
        writes = connection.get_execution_options().get(_WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
