"""The registry's tables (SQLAlchemy Core), the same for SQLite and Postgres; `migrations/` builds them."""

from __future__ import annotations

import sqlalchemy as sa

from registry.database.types import JsonText, UtcTime

HEAD = "0012"
"""The newest migration: the schema this program reads and writes."""

CHAMPION = "champion"
PREVIOUS = "previous"
RUN_STATES = ("queued", "frozen", "training", "trained", "published", "decided", "failed")
FINISHED_STATES = ("decided", "failed")

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

runs = sa.Table(
    "runs",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("run_id", sa.Text, nullable=False, unique=True),
    sa.Column("task", sa.Text, nullable=False, index=True),
    sa.Column("trigger_key", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("full", sa.Boolean, nullable=False),
    sa.Column("promote", sa.Boolean, nullable=False),
    sa.Column("state", sa.Text, nullable=False, index=True),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("parent", sa.Text),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("started_at", UtcTime),
    sa.Column("finished_at", UtcTime),
    sa.Column("verdict", sa.Text),
    sa.Column("reasons", JsonText, nullable=False),
    sa.Column("comparison", JsonText),
    sa.Column("version", sa.Text),
    sa.Column("max_seq", sa.BigInteger, nullable=False),
    sa.Column("training_set_sha256", sa.Text),
    sa.Column("error", sa.Text),
    sa.Column("erased_at", UtcTime),
    sa.Column("failures", sa.Integer, nullable=False, server_default="0"),
    sa.Column("retry_at", UtcTime),
    # Of its children, over all attempts; NULL: the version of the program that ran it did not count.
    sa.Column("cpu_s", sa.Float),
    sa.UniqueConstraint("task", "trigger_key"),
    sa.CheckConstraint(sa.column("state").in_(RUN_STATES), name="state"),
)

run_triggers = sa.Table(
    "run_triggers",  # what a run serves beside its own trigger key: requests that waited when it began
    metadata,
    sa.Column("task", sa.Text, primary_key=True),
    sa.Column("trigger_key", sa.Text, primary_key=True),
    sa.Column("run_id", sa.Text, nullable=False, index=True),
    sqlite_with_rowid=False,
)

versions = sa.Table(
    "versions",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("task", sa.Text, nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    # No foreign key: a version outlives the record of its run.
    sa.Column("run_id", sa.Text, nullable=False, unique=True),
    sa.Column("artifact_id", sa.Text, nullable=False, unique=True),
    sa.Column("manifest_sha256", sa.Text, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("parent_id", sa.Integer, sa.ForeignKey("versions.id")),
    sa.Column("lineage", JsonText, nullable=False),
    sa.Column("metrics", JsonText, nullable=False),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("collected_at", UtcTime),
    sa.Column("affected_at", UtcTime),
    sa.UniqueConstraint("task", "number"),
    sa.CheckConstraint(sa.column("number") >= 1, name="number"),
)

# What a version learnt itself; its parents' rows are found through parent_id. SQLite: the key is the table.
learnt = sa.Table(
    "learnt",
    metadata,
    sa.Column("version_id", sa.Integer, sa.ForeignKey("versions.id"), primary_key=True, autoincrement=False),
    sa.Column("example_id", sa.Text, primary_key=True),
    sqlite_with_rowid=False,
)

aliases = sa.Table(
    "aliases",
    metadata,
    sa.Column("task", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("version", sa.Text, sa.ForeignKey("versions.name"), nullable=False),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("pinned", sa.Boolean, nullable=False),
    sa.Column("moved_at", UtcTime, nullable=False),
    sa.CheckConstraint(sa.column("name").in_((CHAMPION, PREVIOUS)), name="name"),
)

alias_moves = sa.Table(
    "alias_moves",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("task", sa.Text, nullable=False, index=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("from_version", sa.Text),
    sa.Column("to_version", sa.Text, sa.ForeignKey("versions.name"), nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("moved_at", UtcTime, nullable=False),
    sa.CheckConstraint(sa.column("kind").in_(("promote", "rollback", "pin", "unpin")), name="kind"),
)

looks = sa.Table(
    "looks",
    metadata,
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("example_id", sa.Text, primary_key=True),
    sa.Column("task", sa.Text, nullable=False),
    sa.Index(None, "task", "example_id"),
    sqlite_with_rowid=False,
)

outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("event_id", sa.Text, nullable=False, unique=True),
    sa.Column("event", JsonText, nullable=False),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("sent_at", UtcTime, index=True),
)

notice_channels = sa.Table(
    "notice_channels",
    metadata,
    sa.Column("channel", sa.Text, primary_key=True),
    # The last outgoing event that the channel has done with.
    sa.Column("outbox_id", sa.Integer, nullable=False),
)

notices_sent = sa.Table(
    "notices_sent",
    metadata,
    sa.Column("channel", sa.Text, primary_key=True),
    # A hash of what another notice like it would share.
    sa.Column("repeats", sa.Text, primary_key=True),
    sa.Column("sent_at", UtcTime, nullable=False),
    sqlite_with_rowid=False,
)

lease = sa.Table(
    "lease",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    # None: released. The token stays and only ever grows.
    sa.Column("holder", sa.Text),
    sa.Column("token", sa.Integer, nullable=False),
    sa.Column("expires_at", UtcTime, nullable=False),
)

api_keys = sa.Table(
    "api_keys",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("key_id", sa.Text, nullable=False, unique=True),
    # Unique for ever, revoked keys included: feedback is recorded under the name.
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("scopes", JsonText, nullable=False),
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("expires_at", UtcTime),
    sa.Column("revoked_at", UtcTime),
    sa.Column("last_used_at", UtcTime),
)

# The corrections that answer for their own texts; the daemon derives them from the buffer.
corrections = sa.Table(
    "corrections",
    metadata,
    sa.Column("task", sa.Text, primary_key=True),
    sa.Column("text_sha256", sa.Text, primary_key=True),
    sa.Column("event_id", sa.Text, nullable=False, index=True),
    sa.Column("target", JsonText, nullable=False),
    sa.Column("accepted", sa.Boolean, nullable=False),
    sa.Column("answers_since", UtcTime, nullable=False),
    # The task's generation at which it came: serving reads only what is newer than what it holds.
    sa.Column("generation", sa.BigInteger, nullable=False, index=True),
)

# The examples that teach what a correction says: a model that learnt one of them answers by itself.
correction_examples = sa.Table(
    "correction_examples",
    metadata,
    sa.Column("task", sa.Text, primary_key=True),
    sa.Column("text_sha256", sa.Text, primary_key=True),
    sa.Column("example_id", sa.Text, primary_key=True),
    sa.Index(None, "example_id"),
    sqlite_with_rowid=False,
)

correction_generations = sa.Table(
    "correction_generations",
    metadata,
    sa.Column("task", sa.Text, primary_key=True),
    # Grows with every change of the task's corrections, and never shrinks.
    sa.Column("generation", sa.BigInteger, nullable=False),
    # The last generation at which a correction was taken away or replaced: who holds an older one reads all anew.
    sa.Column("taken_away", sa.BigInteger, nullable=False),
)

# What people did that neither a move nor an event tells.
audit = sa.Table(
    "audit",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("at", UtcTime, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("task", sa.Text, index=True),
    sa.Column("subject", sa.Text),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("details", JsonText, nullable=False),
)

paused_tasks = sa.Table(
    "paused_tasks",
    metadata,
    sa.Column("task", sa.Text, primary_key=True),
    sa.Column("since", UtcTime, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
)

# Events that the log removed before they were read.
log_gaps = sa.Table(
    "log_gaps",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("topic", sa.Text, nullable=False),
    sa.Column("at", UtcTime, nullable=False),
    sa.Column("missing", sa.BigInteger, nullable=False),
)

# What people did at the desk and what they skipped; the events that they sent are in the log and the buffer.
desk = sa.Table(
    "desk",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("task", sa.Text, nullable=False),
    sa.Column("lane", sa.Text, nullable=False),
    sa.Column("text_sha256", sa.Text, nullable=False),
    sa.Column("annotator", sa.Text, nullable=False),
    sa.Column("did", sa.Text, nullable=False),
    sa.Column("event_id", sa.Text, index=True),
    sa.Column("said", JsonText),
    sa.Column("at", UtcTime, nullable=False),
    sa.Index(None, "task", "at"),
    sa.CheckConstraint(sa.column("did").in_(("label", "decide", "skip")), name="did"),
)

# Articles without a label that two models answered, because there was too little evidence to choose between them.
pools = sa.Table(
    "pools",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("pool_id", sa.Text, nullable=False, unique=True),
    sa.Column("task", sa.Text, nullable=False, index=True),
    # Of the candidate; its record outlasts the pool.
    sa.Column("run_id", sa.Text, nullable=False, unique=True),
    sa.Column("candidate", sa.Text, nullable=False),
    sa.Column("champion", sa.Text, nullable=False),
    sa.Column("seed", sa.BigInteger, nullable=False),
    sa.Column("state", sa.Text, nullable=False, index=True),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("opened_at", UtcTime),
    sa.Column("asked_at", UtcTime),
    sa.Column("closed_at", UtcTime),
    sa.Column("outcome", sa.Text),
    sa.Column("reason", sa.Text, nullable=False),
    # Articles that both models answered, and those of them that they answer differently.
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("differ", sa.Integer, nullable=False),
    # Per stratum its rows, and from which difference on answers fall into it; empty: alike, or not.
    sa.Column("sizes", JsonText, nullable=False),
    sa.Column("bounds", JsonText, nullable=False),
    sa.Column("batches", sa.Integer, nullable=False),
    sa.Column("looks", sa.Integer, nullable=False),
    # The pair's own test: its level, what was left of the task's allowance, its plan and its looks; NULL before the first look.
    sa.Column("test", JsonText),
    sa.CheckConstraint(sa.column("state").in_(("answering", "open", "closed")), name="state"),
)

review_requests = sa.Table(
    "review_requests",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("request_id", sa.Text, nullable=False, unique=True),
    sa.Column("pool_id", sa.Text, sa.ForeignKey("pools.pool_id"), nullable=False, index=True),
    sa.Column("task", sa.Text, nullable=False),
    # NULL: the text was erased, or the pair is decided.
    sa.Column("text_sha256", sa.Text),
    sa.Column("stratum", sa.Integer, nullable=False),
    # The probability with which the draw of all batches took this row.
    sa.Column("inclusion", sa.Float, nullable=False),
    sa.Column("batch", sa.Integer, nullable=False),
    sa.Column("asked_at", UtcTime),
    sa.Column("skips", sa.Integer, nullable=False),
    sa.Column("cannot_tell", sa.Integer, nullable=False),
    sa.Column("gone", sa.Boolean, nullable=False),
)

# Hashes of the evidence bundles, which lie in files. No foreign key: a run's record and its bundle go in two steps.
evidence = sa.Table(
    "evidence",
    metadata,
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    # Rows that were taken out since, because they were erased.
    sa.Column("erased", sa.BigInteger, nullable=False),
    sa.Column("written_at", UtcTime, nullable=False),
    sa.Column("erased_at", UtcTime),
)
