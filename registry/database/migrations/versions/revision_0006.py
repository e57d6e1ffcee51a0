"""Corrections that answer for their own texts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the three tables; the daemon fills them from the buffer."""
    op.create_table(
        "corrections",
        sa.Column("task", sa.Text, nullable=False),
        sa.Column("text_sha256", sa.Text, nullable=False),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("accepted", sa.Boolean, nullable=False),
        sa.Column("answers_since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("task", "text_sha256", name="pk_corrections"),
    )
    op.create_index("ix_corrections_event_id", "corrections", ["event_id"])
    op.create_index("ix_corrections_generation", "corrections", ["generation"])
    op.create_table(
        "correction_examples",
        sa.Column("task", sa.Text, nullable=False),
        sa.Column("text_sha256", sa.Text, nullable=False),
        sa.Column("example_id", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("task", "text_sha256", "example_id", name="pk_correction_examples"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_correction_examples_example_id", "correction_examples", ["example_id"])
    op.create_table(
        "correction_generations",
        sa.Column("task", sa.Text, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("taken_away", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("task", name="pk_correction_generations"),
    )
