"""Brings a registry's schema to the one this program knows."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from config.errors import RetryError, StopError
from registry.database import schema
from registry.database.engine import Database

# As Alembic makes it.
_REVISION = sa.Table(
    "alembic_version", sa.MetaData(),
    sa.Column("version_num", sa.String(32), nullable=False), sa.PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)  # fmt: skip


def ensure_current(database: Database) -> None:
    """Create the newest schema, or migrate to it; a read-only registry is only checked.

    Raises `StopError` when a newer program wrote the registry, `RetryError` when it is read-only and not migrated yet,
    `UserError` when there is none and none may be created.
    """
    with database.read() as connection:
        found = _revision(connection)
    if found == schema.HEAD:
        return
    if found is not None and found not in known_revisions():
        message = (
            f"the registry {database.name} has schema {found}, which is newer than this program's ({schema.HEAD}); "
            "nothing was changed. Install the newer Perennial, or point registry.url elsewhere"
        )
        raise StopError(message)
    if found is None and not database.create:
        raise database.nothing_here()
    if database.read_only:
        message = (
            f"the registry {database.name} has schema {found or 'none'}, not {schema.HEAD} yet; start `perennial run` once "
            "to migrate it"
        )
        raise RetryError(message)
    # Two processes may start at once: the second one waits here and finds nothing left to do.
    with database.write() as connection:
        found = _revision(connection)
        if found is None:
            create(connection)
        elif found != schema.HEAD:
            upgrade(connection)


def _revision(connection: Connection) -> str | None:
    if not sa.inspect(connection).has_table(_REVISION.name):
        return None
    return connection.execute(sa.select(_REVISION.c.version_num)).scalar_one_or_none()


def known_revisions() -> frozenset[str]:
    """Return the schemas that this version can migrate from, and its own."""
    return frozenset(path.stem.removeprefix("revision_") for path in (Path(__file__).parent / "versions").glob("revision_*.py"))


def create(connection: Connection) -> None:
    """Build the newest schema in a database without one, within the connection's transaction.

    It is the schema that all migrations one after the other leave; tests hold them alike.
    """
    # Tables of others that happen to bear our names are an error, as in a migration.
    schema.metadata.create_all(connection, checkfirst=False)
    _REVISION.create(connection)
    connection.execute(sa.insert(_REVISION).values(version_num=schema.HEAD))


def upgrade(connection: Connection) -> None:
    """Bring an older schema to this version's, within the connection's transaction."""
    # Alembic is needed on the first start of a newer release only; every other start is quicker without it.
    from alembic import command  # noqa: PLC0415 - see above
    from alembic.config import Config  # noqa: PLC0415 - see above

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
