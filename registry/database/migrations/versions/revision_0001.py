"""The first schema: runs, versions, aliases with history, looks, outbox, lease."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Build the tables. Spelled out, not taken from `registry.database.schema`: that one moves on, this one stays."""
    op.create_table(
        "runs",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("task", sa.Text, nullable=False),
        sa.Column("trigger_key", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("full", sa.Boolean, nullable=False),
        sa.Column("promote", sa.Boolean, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("parent", sa.Text),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("started_at", _TIME),
        sa.Column("finished_at", _TIME),
        sa.Column("verdict", sa.Text),
        sa.Column("reasons", sa.Text, nullable=False),
        sa.Column("comparison", sa.Text),
        sa.Column("version", sa.Text),
        sa.Column("max_seq", sa.BigInteger, nullable=False),
        sa.Column("training_set_sha256", sa.Text),
        sa.Column("error", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
        sa.UniqueConstraint("run_id", name="uq_runs_run_id"),
        sa.UniqueConstraint("task", "trigger_key", name="uq_runs_task_trigger_key"),
        sa.CheckConstraint(
            "state IN ('queued', 'frozen', 'training', 'trained', 'published', 'decided', 'failed')", name=op.f("ck_runs_state")
        ),
    )
    op.create_index("ix_runs_task", "runs", ["task"])
    op.create_index("ix_runs_state", "runs", ["state"])
    op.create_table(
        "versions",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("task", sa.Text, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("artifact_id", sa.Text, nullable=False),
        sa.Column("manifest_sha256", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("parent_id", sa.Integer),
        sa.Column("lineage", sa.Text, nullable=False),
        sa.Column("metrics", sa.Text, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("collected_at", _TIME),
        sa.PrimaryKeyConstraint("id", name="pk_versions"),
        sa.UniqueConstraint("name", name="uq_versions_name"),
        sa.UniqueConstraint("run_id", name="uq_versions_run_id"),
        sa.UniqueConstraint("artifact_id", name="uq_versions_artifact_id"),
        sa.UniqueConstraint("task", "number", name="uq_versions_task_number"),
        sa.ForeignKeyConstraint(["parent_id"], ["versions.id"], name="fk_versions_parent_id"),
        sa.CheckConstraint("number >= 1", name=op.f("ck_versions_number")),
    )
    op.create_table(
        "learnt",
        sa.Column("version_id", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("example_id", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("version_id", "example_id", name="pk_learnt"),
        sa.ForeignKeyConstraint(["version_id"], ["versions.id"], name="fk_learnt_version_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "aliases",
        sa.Column("task", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("pinned", sa.Boolean, nullable=False),
        sa.Column("moved_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("task", "name", name="pk_aliases"),
        sa.ForeignKeyConstraint(["version"], ["versions.name"], name="fk_aliases_version"),
        sa.CheckConstraint("name IN ('champion', 'previous')", name=op.f("ck_aliases_name")),
    )
    op.create_table(
        "alias_moves",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("task", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("from_version", sa.Text),
        sa.Column("to_version", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("moved_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_alias_moves"),
        sa.ForeignKeyConstraint(["to_version"], ["versions.name"], name="fk_alias_moves_to_version"),
        sa.CheckConstraint("kind IN ('promote', 'rollback', 'pin', 'unpin')", name=op.f("ck_alias_moves_kind")),
    )
    op.create_index("ix_alias_moves_task", "alias_moves", ["task"])
    op.create_table(
        "looks",
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("example_id", sa.Text, nullable=False),
        sa.Column("task", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "example_id", name="pk_looks"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_looks_task_example_id", "looks", ["task", "example_id"])
    op.create_table(
        "outbox",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("sent_at", _TIME),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        sa.UniqueConstraint("event_id", name="uq_outbox_event_id"),
    )
    op.create_index("ix_outbox_sent_at", "outbox", ["sent_at"])
    op.create_table(
        "lease",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("holder", sa.Text),
        sa.Column("token", sa.Integer, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_lease"),
    )
