"""What people decided at the desk, until it is stored; and what they skipped."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "desk",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("task", sa.Text, nullable=False),
        sa.Column("lane", sa.Text, nullable=False),
        sa.Column("text_sha256", sa.Text, nullable=False),
        sa.Column("annotator", sa.Text, nullable=False),
        sa.Column("did", sa.Text, nullable=False),
        sa.Column("event_id", sa.Text),
        sa.Column("said", sa.Text),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("did IN ('label', 'decide', 'skip')", name=op.f("ck_desk_did")),
        sa.PrimaryKeyConstraint("id", name="pk_desk"),
    )
    op.create_index("ix_desk_task_at", "desk", ["task", "at"])
    op.create_index("ix_desk_event_id", "desk", ["event_id"])
