"""Frozen pools of pairs of models, and what people are asked where these disagree."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add both tables."""
    time = sa.DateTime(timezone=True)
    op.create_table(
        "pools",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("pool_id", sa.Text, nullable=False),
        sa.Column("task", sa.Text, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("candidate", sa.Text, nullable=False),
        sa.Column("champion", sa.Text, nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("created_at", time, nullable=False),
        sa.Column("opened_at", time),
        sa.Column("asked_at", time),
        sa.Column("closed_at", time),
        sa.Column("outcome", sa.Text),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.Column("differ", sa.Integer, nullable=False),
        sa.Column("sizes", sa.Text, nullable=False),
        sa.Column("bounds", sa.Text, nullable=False),
        sa.Column("batches", sa.Integer, nullable=False),
        sa.Column("looks", sa.Integer, nullable=False),
        sa.CheckConstraint("state IN ('answering', 'open', 'closed')", name=op.f("ck_pools_state")),
        sa.PrimaryKeyConstraint("id", name="pk_pools"),
        sa.UniqueConstraint("pool_id", name="uq_pools_pool_id"),
        sa.UniqueConstraint("run_id", name="uq_pools_run_id"),
    )
    op.create_index("ix_pools_task", "pools", ["task"])
    op.create_index("ix_pools_state", "pools", ["state"])
    op.create_table(
        "review_requests",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("pool_id", sa.Text, nullable=False),
        sa.Column("task", sa.Text, nullable=False),
        sa.Column("text_sha256", sa.Text),
        sa.Column("stratum", sa.Integer, nullable=False),
        sa.Column("inclusion", sa.Float, nullable=False),
        sa.Column("batch", sa.Integer, nullable=False),
        sa.Column("asked_at", time),
        sa.Column("skips", sa.Integer, nullable=False),
        sa.Column("cannot_tell", sa.Integer, nullable=False),
        sa.Column("gone", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_review_requests"),
        sa.ForeignKeyConstraint(["pool_id"], ["pools.pool_id"], name="fk_review_requests_pool_id"),
        sa.UniqueConstraint("request_id", name="uq_review_requests_request_id"),
    )
    op.create_index("ix_review_requests_pool_id", "review_requests", ["pool_id"])
