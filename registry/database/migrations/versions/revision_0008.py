"""Audit entries, paused tasks, gaps in the log, and what runs cost in processor time."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the three tables, and a column that is empty for the runs before."""
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("task", sa.Text),
        sa.Column("subject", sa.Text),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("details", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_index("ix_audit_task", "audit", ["task"])
    op.create_table(
        "paused_tasks",
        sa.Column("task", sa.Text, nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("task", name="pk_paused_tasks"),
    )
    op.create_table(
        "log_gaps",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("missing", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_log_gaps"),
    )
    op.add_column("runs", sa.Column("cpu_s", sa.Float))
