"""Runs that serve several requests."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table; every run served one request before."""
    op.create_table(
        "run_triggers",
        sa.Column("task", sa.Text, primary_key=True),
        sa.Column("trigger_key", sa.Text, primary_key=True),
        sa.Column("run_id", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_run_triggers_run_id", "run_triggers", ["run_id"])
