"""Alembic's entry: migrate over the connection, and inside the transaction, that `ensure_current` opened."""

from __future__ import annotations

from alembic import context

from registry.database.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
