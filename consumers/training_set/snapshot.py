"""A training set: one immutable folder of `rows.parquet` and `manifest.json`, known by a hash of its content."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError

from config.errors import RunFailedError
from config.files import durable
from config.task_files.sections.must_not_break import still_asked
from config.tasks import TaskSpec
from config.words import named

ROWS_FILE = "rows.parquet"
MANIFEST_FILE = "manifest.json"
FORMAT_VERSION = 1
_ROWS_PER_DIGEST = 1_000
ROLES = ("train", "test", "anchor", "corrections")
UNLABELLED = "unlabelled"
"""The role of articles without a label of the task, which a teacher labels; their target is empty."""

SCHEMA = pa.schema(
    [
        pa.field("example_id", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        # The target's wire form, as JSON.
        pa.field("target", pa.string(), nullable=False),
        pa.field("weight", pa.float32(), nullable=False),
        pa.field("origin", pa.string(), nullable=False),
        pa.field("selected_by", pa.string(), nullable=False),
        pa.field("story_id", pa.string(), nullable=False),
        pa.field("event_time", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("language", pa.string(), nullable=False),
        pa.field("is_new", pa.bool_(), nullable=False),
        pa.field("role", pa.string(), nullable=False),
        # Numbers the users of this set; null for rows that no user gave. Sets frozen by earlier versions lack the column, and
        # have no value in it when they are read.
        pa.field("contributor", pa.int32()),
        # The document that a text belongs to; null for a text of its own. Likewise.
        pa.field("document_id", pa.string()),
        # The labels that whoever gave the target knew (consumers/training_set/scopes.py); null where that is not known. Likewise.
        pa.field("scope", pa.list_(pa.string())),
        # Who sent the label or the answer; null where it does not say. Likewise.
        pa.field("source", pa.string()),
        pa.field("embedding", pa.list_(pa.float32())),
        # What made the embedding. Likewise.
        pa.field("encoder_id", pa.string()),
    ]
)


class Manifest(BaseModel):
    """The content of a training set and its origin."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: int = FORMAT_VERSION
    run_id: str
    task: str
    created_at: datetime
    rows_sha256: str
    """Over the rows' values in order, embeddings included where they were frozen; the same buffer content gives the same hash."""
    file_sha256: str
    """Of rows.parquet, checked when it is read."""
    counts: Mapping[str, int]
    """Rows per role."""
    new_rows: int
    """Training rows that the champion has not learnt."""
    max_seq: int
    """Highest enrichment number seen: later rows are new to the next trigger."""
    table_versions: Mapping[str, int]
    """The buffer's tables as they were read."""
    labels: Mapping[str, int]
    """Training rows that carry each label."""
    left_out: Mapping[str, int] = {}
    """Training rows not used, by reason."""
    waiting: Mapping[str, int] = {}
    """Rows of each label that joins no model yet, because users alone carry it."""
    renames: Mapping[str, str] = {}
    """Old label -> the name in force; the targets carry the names in force."""
    gone: tuple[str, ...] = ()
    """Labels that were retired or split: no target carries them, and no model is to answer them."""
    declared: tuple[str, ...] | None = None
    """Labels that need no row to be known; None: as the task file says (sets of earlier versions)."""

    def in_force(self, task: TaskSpec) -> TaskSpec:
        """Return the task as whoever learns from this set must know it: with the labels that its targets carry."""
        labels = {} if self.declared is None else {"label_names": self.declared}
        known = task.model_copy(update={"renames": dict(self.renames), "retired": self.gone, "splits": {}, **labels})
        return known.model_copy(update={"must_not_break": still_asked(known)})

    @property
    def left_out_told(self) -> str:
        """Which rows were left out, for the end of a sentence; empty where none was."""
        told = named([f"{rows} rows: {reason}" for reason, rows in self.left_out.items()])
        return f". Left out: {told}" if told else ""


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """A training set on disk."""

    folder: Path
    manifest: Manifest

    def rows(self, *roles: str, embeddings: bool = True) -> pa.Table:
        """Return the rows of these roles (train, test, anchor, corrections, unlabelled), one role after the other.

        Within a role they are in order of event time and id. Without `embeddings` that column is null, and is not read: where it
        was frozen it is most of the file.
        """
        # By one thread: near a memory limit Arrow waits for ever for threads that could not be started.
        with pq.ParquetFile(self.folder / ROWS_FILE) as file:
            stored = [name for name in file.schema_arrow.names if embeddings or name != "embedding"]
            found = file.read(columns=stored, use_threads=False)
        rows = pa.concat_tables([found.filter(pc.equal(found["role"], role)) for role in roles])
        for field in SCHEMA:
            if field.name not in rows.column_names:
                rows = rows.append_column(field, pa.nulls(rows.num_rows, field.type))
        return rows.select(SCHEMA.names)


def write_training_set(
    folder: Path,
    table: pa.Table,
    *,
    run_id: str,
    task: str,
    created_at: datetime,
    max_seq: int,
    table_versions: Mapping[str, int],
    labels: Mapping[str, int],
    left_out: Mapping[str, int] | None = None,
    waiting: Mapping[str, int] | None = None,
    renames: Mapping[str, str] | None = None,
    gone: Sequence[str] = (),
    declared: Sequence[str] | None = None,
) -> TrainingSet:
    """Write `table` (columns of `SCHEMA`) as a new training set in `folder`, atomically and durably.

    Killed at any point it leaves the whole folder or only a temporary one beside it, which the next write removes. Raises
    OSError when `folder` is there already: a training set is immutable.
    """
    ordered = table.select(SCHEMA.names).cast(SCHEMA).sort_by([("event_time", "ascending"), ("example_id", "ascending")])
    temporary = _begun(folder)
    pq.write_table(ordered, temporary / ROWS_FILE)
    roles = ordered["role"].to_pylist()
    manifest = Manifest(
        run_id=run_id,
        task=task,
        created_at=created_at,
        rows_sha256=content_hash(ordered),
        file_sha256=durable.sha256_of_file(temporary / ROWS_FILE),
        counts={role: roles.count(role) for role in (*ROLES, *sorted(set(roles).difference(ROLES)))},
        new_rows=pc.sum(pc.and_(pc.equal(ordered["role"], "train"), ordered["is_new"])).as_py() or 0,
        max_seq=max_seq,
        table_versions=table_versions,
        labels=labels,
        left_out=left_out or {},
        waiting=waiting or {},
        renames=renames or {},
        gone=tuple(gone),
        declared=None if declared is None else tuple(declared),
    )
    _write_manifest(manifest, temporary)
    _finish(temporary, folder)
    return TrainingSet(folder, manifest)


def _begun(folder: Path) -> Path:
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    return temporary


def _write_manifest(manifest: Manifest, folder: Path) -> None:
    (folder / MANIFEST_FILE).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")


def _finish(temporary: Path, folder: Path) -> None:
    durable.sync_tree(temporary)
    temporary.rename(folder)
    durable.sync_folder(folder.parent)


def load_training_set(folder: Path) -> TrainingSet:
    """Return the training set in `folder`. Raises `RunFailedError` when it is missing, torn, changed or of a newer format."""
    again = "The run fails; the next one freezes a new set."
    try:
        content = json.loads((folder / MANIFEST_FILE).read_bytes())
        written = content.get("format_version", 0)
        if written > FORMAT_VERSION:
            message = f"the training set in {folder} has format {written}; this version reads up to {FORMAT_VERSION}. {again}"
            raise RunFailedError(message)
        manifest = Manifest.model_validate(content)
        found = durable.sha256_of_file(folder / ROWS_FILE)
    except (OSError, ValueError, TypeError, AttributeError, ValidationError) as error:
        message = f"the training set in {folder} cannot be read ({error}). {again}"
        raise RunFailedError(message) from None
    if found != manifest.file_sha256:
        message = f"{folder / ROWS_FILE} has changed since it was frozen (its SHA-256 differs). {again}"
        raise RunFailedError(message)
    return TrainingSet(folder, manifest)


def content_hash(table: pa.Table) -> str:
    """Return the SHA-256 over the rows' values in order; how the file lays them out does not matter."""
    digest = hashlib.sha256()
    plain = [name for name in SCHEMA.names if name not in ("embedding", "encoder_id")]
    times = SCHEMA.get_field_index("event_time")
    numbered = table.set_column(times, "event_time", table["event_time"].cast(pa.int64()))
    for start in range(0, table.num_rows, _ROWS_PER_DIGEST):
        # By columns: row by row it took two thirds of a large freeze.
        part = numbered.slice(start, _ROWS_PER_DIGEST)
        digest.update(json.dumps(part.select(plain).to_pydict(), sort_keys=True).encode() + b"\n")
        embeddings = part["embedding"].combine_chunks()
        digest.update(json.dumps(pc.list_value_length(embeddings).to_pylist()).encode() + b"\n")
        # As bytes: spelt out as text, the numbers took nine tenths of the time.
        digest.update(embeddings.flatten().to_numpy(zero_copy_only=False).tobytes())
    return digest.hexdigest()
