"""The schema that a new registry is created with is the one that all migrations leave, on SQLite and on Postgres."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

import registry.database.migrations
from registry.database import schema
from registry.database.engine import Database
from registry.store import Registry
from tests.support import postgres


def described(database: Database) -> dict[str, Any]:
    """Return what Alembic's comparison leaves out too: checks, keys, names, the order of columns, Alembic's own table."""
    with database.read() as connection:
        inspector = sa.inspect(connection)
        return {
            name: {
                "checks": sorted((check["name"], check["sqltext"]) for check in inspector.get_check_constraints(name)),
                "key": inspector.get_pk_constraint(name),
                "foreign": sorted(map(str, inspector.get_foreign_keys(name))),
                "unique": sorted(map(str, inspector.get_unique_constraints(name))),
                "indexes": sorted(map(str, inspector.get_indexes(name))),
                "columns": [
                    (column["name"], str(column["type"]), column["nullable"], column["default"])
                    for column in inspector.get_columns(name)
                ],
            }
            for name in sorted(inspector.get_table_names())
        }


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_migrations_give_the_schema_that_a_new_registry_is_created_with(kind: str, tmp_path: Path) -> None:
    def empty(name: str) -> str:
        if kind == "sqlite":
            return f"sqlite:///{tmp_path / name}"
        return postgres.shared().empty_database()

    migrated = Database(empty("migrated.db"))
    with migrated.write() as connection:
        registry.database.migrations.upgrade(connection)
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, schema.metadata) == []
    expected = described(migrated)
    migrated.close()
    with Registry.open(empty("created.db")) as created:
        assert described(created.database) == expected
    assert expected.keys() == schema.metadata.tables.keys() | {"alembic_version"}
