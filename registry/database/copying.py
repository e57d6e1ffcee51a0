"""A registry copied row by row from one database into another: what a backup of Postgres is, and how it is put back."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from registry.database import schema
from registry.database.engine import Database, insert_many

_ROWS_PER_READ = 5_000


def copy_all(source: Database, target: Database) -> None:
    """Put every row of `source`, as of one moment, in the place of what `target` holds, in one transaction.

    Both must have the newest schema. Raises as `Database.read` and `Database.write` do.
    """
    with source.read() as reading, target.write() as writing:
        for table in reversed(schema.metadata.sorted_tables):
            writing.execute(sa.delete(table))
        for table in schema.metadata.sorted_tables:
            # By key: a version's parent has a lower number than the version.
            rows = reading.execute(sa.select(table).order_by(*table.primary_key.columns)).mappings()
            for part in rows.partitions(_ROWS_PER_READ):
                insert_many(writing, table, [dict(row) for row in part])
            if not target.is_sqlite:
                _go_on_counting(writing, table)


def is_empty(database: Database) -> bool:
    """Return whether no table holds anything; who leads, or led, counts for nothing."""
    tables = [table for table in schema.metadata.sorted_tables if table is not schema.lease]
    with database.read() as connection:
        return all(connection.execute(sa.select(table).limit(1)).first() is None for table in tables)


def forget_leader(database: Database) -> None:
    """Nobody leads a registry that was put back; the token stays, so that a former leader's late writes are still refused."""
    with database.write() as connection:
        connection.execute(sa.update(schema.lease).values(holder=None))


def _go_on_counting(connection: Connection, table: sa.Table) -> None:
    """Let Postgres number new rows behind those that came with their numbers."""
    column = table.autoincrement_column
    if column is None:
        return
    highest = connection.execute(sa.select(sa.func.max(column))).scalar_one()
    sequence = sa.func.pg_get_serial_sequence(table.name, column.name)
    if highest is not None:
        connection.execute(sa.select(sa.func.setval(sequence, highest)))
