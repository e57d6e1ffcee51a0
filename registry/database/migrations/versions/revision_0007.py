"""How far each channel of notifications has come."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the two tables."""
    op.create_table(
        "notice_channels",
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("outbox_id", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("channel", name="pk_notice_channels"),
    )
    op.create_table(
        "notices_sent",
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("repeats", sa.Text, nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("channel", "repeats", name="pk_notices_sent"),
        sqlite_with_rowid=False,
    )
