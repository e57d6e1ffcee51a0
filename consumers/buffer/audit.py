"""Audit at start: what a power cut tore is taken back to the last good version, and doubled rows are removed.

LanceDB syncs nothing by itself. Whatever was written after the last `syncfs` may be torn, and that is at most the last few
manifests and fragments of each table. Events that are lost this way are still in the log: `Audit.rewind` says from where it
must be read again.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from config.errors import StopError
from config.files import durable
from config.words import counted
from consumers.events.schemas import TOPIC_OF_TYPE, content_sha256
from consumers.log.protocols import TopicPartition
from consumers.tables.columns import ARRIVED, ENRICHMENT_OF, KEYS, SCHEMAS, is_one_of
from consumers.tables.lance import Tables
from consumers.tables.library import lancedb

TORN_FOLDER = "torn"
RESTORED_FILE = "restored.json"
_MANIFEST_END = b"LANC"
# Ingest, enrichment and upkeep may each have written some when the power went.
_NEWEST_FRAGMENTS = 6
_ROWS_PER_READ = 10_000
_ROWS_PER_FRAGMENT_ID = 1 << 32
# LanceDB 0.40 reports unreadable files by any of these.
_UNREADABLE = (RuntimeError, OSError, ValueError, KeyError, pa.ArrowException)
_TYPES_IN: Mapping[str, tuple[str, ...]] = {
    "articles": ("article",),
    "examples": ("label", "feedback"),
    "feedback": ("label", "feedback"),
    "predictions": ("prediction",),
    "requests": (
        "retrain",
        "task_schema",
        "import_undo",
        "weak_labels_withdrawn",
        "erase",
        "feedback_review",
        "label_correction",
    ),
}


RemovedEvents = Callable[[Collection[str]], str | None]
"""Tells, for some topics, which events the log holds no more, in words; None: it holds all."""


@dataclass(frozen=True, slots=True)
class Audit:
    """What was fixed, in words, and from which offsets the log must be read again."""

    repairs: tuple[str, ...]
    rewind: Mapping[TopicPartition, int]


def open_repaired(
    folder: Path, removed_events: RemovedEvents | None = None, *, before_write: Callable[[], None] = lambda: None
) -> tuple[Tables, Audit]:
    """Open the tables for writing, fixed; one that cannot be read in any version is rebuilt from the event log.

    Raises `StopError` when the log does not hold all that such a table held, or, without `removed_events`, was not asked.
    """
    repairs: list[str] = []
    # A crash between a repair and the rewind of the log must not make the rows that were lost be forgotten.
    restored, offsets = _not_yet_read_again(folder)
    for name in SCHEMAS:
        fixed = [
            *_note_removed(folder, name), *_set_aside_torn_manifests(folder, name),
            *_restore_last_good_version(folder, name, removed_events),
        ]  # fmt: skip
        if fixed:
            repairs += fixed
            restored.add(name)
    restored |= _not_yet_read_again(folder)[0]
    tables = Tables(folder, writer=True, before_write=before_write)
    repairs += _remove_doubled_rows(tables)
    if "examples" in restored:
        _let_wait_again(tables)
    for name, enrichment in ENRICHMENT_OF.items():
        if name in restored:
            _forget_orphans(tables, name, enrichment)
    if restored & {"examples", "example_enrichment", "feedback_judgements"}:
        # Numbers of enrichments that are gone are given again; a judgement must not be taken for that of another row.
        _forget_orphans(tables, "example_enrichment", "feedback_judgements")
    rewind = _earliest(_rewind(tables, restored), offsets)
    if repairs:
        durable.sync_filesystem(folder)
    return tables, Audit(tuple(repairs), rewind)


def log_was_rewound(folder: Path) -> None:
    """Record that the log's groups stand where `Audit.rewind` said; the next start does not say so again."""
    (folder / RESTORED_FILE).unlink(missing_ok=True)
    durable.sync_folder(folder)


def read_again_from(folder: Path, offsets: Mapping[TopicPartition, int]) -> None:
    """Record, durably, that the log must be read again from `offsets`: the tables come from a backup that was taken there."""
    names, known = _not_yet_read_again(folder)
    _write_restored(folder, names, _earliest(known, offsets))


def _not_yet_read_again(folder: Path) -> tuple[set[str], dict[TopicPartition, int]]:
    """Return the tables that were taken back and the offsets that were given from outside."""
    path = folder / RESTORED_FILE
    content = json.loads(path.read_text()) if path.exists() else []
    if isinstance(content, list):  # as earlier versions wrote it
        return set(content), {}
    return set(content["tables"]), {TopicPartition(topic, part): offset for topic, part, offset in content["offsets"]}


def _note_restoring(folder: Path, name: str) -> None:
    names, offsets = _not_yet_read_again(folder)
    _write_restored(folder, names | {name}, offsets)


def _write_restored(folder: Path, names: set[str], offsets: Mapping[TopicPartition, int]) -> None:
    content = {"tables": sorted(names), "offsets": [[*part, offset] for part, offset in sorted(offsets.items())]}
    durable.write_atomic(folder / RESTORED_FILE, json.dumps(content).encode())


def _earliest(one: Mapping[TopicPartition, int], other: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
    return {part: min(offsets[part] for offsets in (one, other) if part in offsets) for part in one.keys() | other.keys()}


def _set_aside_torn_manifests(folder: Path, name: str) -> list[str]:
    table = folder / f"{name}.lance"
    # The number in a manifest's name counts down: the newest sorts first.
    manifests = sorted((table / "_versions").glob("*.manifest"))
    torn = []
    while manifests and not manifests[0].read_bytes().endswith(_MANIFEST_END):
        torn.append(manifests.pop(0))
    if torn:
        _note_restoring(folder, name)
    for manifest in torn:
        (folder / TORN_FOLDER).mkdir(exist_ok=True)
        manifest.rename(folder / TORN_FOLDER / f"{name}-{manifest.name}")
    if table.exists() and not manifests:
        # Nothing of this table ever became durable; it is rebuilt.
        shutil.rmtree(table)
        return [f"{name}: the table was never completely written and was rebuilt"]
    return [f"{name}: {counted(len(torn), 'torn manifest')} moved aside; the table is as it was before"] if torn else []


def forget_unreadable(folder: Path) -> None:
    """Remove the tables that were moved aside: what is erased must not stay in them."""
    for table in (folder / TORN_FOLDER).glob("*.lance-*"):
        shutil.rmtree(table)


def _note_removed(folder: Path, name: str) -> list[str]:
    """Note a table that somebody has moved away while the others stayed, so that the log is read again for it."""
    # Also of a first start that was killed, which left some tables out and the others empty: there is nothing to read again then.
    others = [other for other in ARRIVED if other != name and (folder / f"{other}.lance").exists()]
    if name not in ARRIVED or (folder / f"{name}.lance").exists() or not others:
        return []
    _note_restoring(folder, name)
    try:
        if not any(lancedb.connect(folder).open_table(other).count_rows() for other in others):
            return []
    except _UNREADABLE:
        pass  # told where that table has its turn
    return [f"{name}: the table is gone; it is rebuilt from what the event log still holds"]


def _make_anew(folder: Path, name: str, problem: object, removed_events: RemovedEvents | None) -> list[str]:
    """Move a table aside that cannot be read in any version. Raises `StopError` when what it held cannot be had again."""
    if name in ARRIVED:
        topics = sorted({TOPIC_OF_TYPE[kind] for kind in _TYPES_IN[name]})
        if removed_events is None:
            raise StopError(_unreadable(folder, name, problem))
        if (gone := removed_events(topics)) is not None:
            raise StopError(_unreadable(folder, name, problem, gone))
    _note_restoring(folder, name)
    aside = folder / TORN_FOLDER / f"{name}.lance-{secrets.token_hex(4)}"
    aside.parent.mkdir(exist_ok=True)
    (folder / f"{name}.lance").rename(aside)
    durable.sync_folder(folder)
    again = "it is rebuilt from the event log" if name in ARRIVED else "its content is computed again"
    return [f"{name}: it could not be read in any version ({problem}); it was moved to {aside}, and {again}"]


def _restore_last_good_version(folder: Path, name: str, removed_events: RemovedEvents | None) -> list[str]:
    if not (folder / f"{name}.lance").exists():
        return []
    try:
        table = lancedb.connect(folder).open_table(name)
        newest = table.version
        problem = _problem(table, name)
        versions = sorted((entry["version"] for entry in table.list_versions()), reverse=True) if problem else []
    except _UNREADABLE as error:
        return _make_anew(folder, name, _first_line(error), removed_events)
    if problem is None:
        return []
    for version in versions:
        if version < newest and _is_good(table, name, version):
            _note_restoring(folder, name)
            table.restore()
            return [f"{name}: version {newest} could not be read ({problem}); version {version} was restored"]
    return _make_anew(folder, name, problem, removed_events)


def _is_good(table: Any, name: str, version: int) -> bool:  # noqa: ANN401 - LanceDB ships no types
    try:
        table.checkout(version)
    except _UNREADABLE:
        # Cleaned up, or as torn as the newest.
        return False
    return _problem(table, name) is None


def _problem(table: Any, name: str) -> str | None:  # noqa: ANN401 - LanceDB ships no types
    """Read the newest fragments completely; return what is wrong with them."""
    try:
        held = table.schema.names
        if missing := [field.name for field in SCHEMAS[name] if not field.nullable and field.name not in held]:
            return f"it lacks the columns {', '.join(missing[:3])}"
        if not table.count_rows():
            return None
        row_ids = table.search().select([KEYS[name]]).with_row_id(with_row_id=True).limit(None).to_arrow()["_rowid"].to_numpy()
        fragments = np.unique(row_ids // _ROWS_PER_FRAGMENT_ID)[-_NEWEST_FRAGMENTS:]
        newest = row_ids[np.isin(row_ids // _ROWS_PER_FRAGMENT_ID, fragments)]
        for start in range(0, len(newest), _ROWS_PER_READ):
            rows = table.take_row_ids(newest[start : start + _ROWS_PER_READ].tolist()).to_arrow()
            rows.validate(full=True)
            if "text_sha256" in rows.column_names and "text" in rows.column_names:
                for text, sha256 in zip(rows["text"].to_pylist(), rows["text_sha256"].to_pylist(), strict=True):
                    if content_sha256(text) != sha256:
                        return "a text differs from what was stored"
    except _UNREADABLE as error:
        return _first_line(error)
    return None


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]


def _remove_doubled_rows(tables: Tables) -> list[str]:
    """Keep the first of rows with the same key: two writers at once, in spite of the lock, are the only way to get them."""
    repairs = []
    for name, key in KEYS.items():
        order = "stored_seq" if name in ARRIVED else "enriched_seq"
        rows = tables.scan(name, [key, order], row_ids=True)
        if pc.count_distinct(rows[key]).as_py() == rows.num_rows:
            continue
        kept: set[str] = set()
        doubled = []
        for value, row_id in zip(*(rows.sort_by(order)[column].to_pylist() for column in (key, "_rowid")), strict=True):
            if value in kept:
                doubled.append(row_id)
            kept.add(value)
        tables.delete_rows(name, doubled)
        repairs.append(f"{name}: {counted(len(doubled), 'duplicate row')} removed")
    return repairs


def _let_wait_again(tables: Tables) -> None:
    """Answers that were joined to an example which is gone wait again."""
    examples = tables.scan("examples", ["row_id"])["row_id"].combine_chunks()
    joined = tables.scan("feedback", SCHEMAS["feedback"].names, "status = 'joined'")
    lost = joined.filter(pc.invert(pc.is_in(joined["event_id"], value_set=examples)))
    place = lost.schema.get_field_index("status")
    tables.replace("feedback", lost.set_column(place, "status", pa.array(["waiting"] * lost.num_rows, pa.string())))


def _forget_orphans(tables: Tables, name: str, enrichment: str) -> None:
    """Rows that are gone come again and are enriched again."""
    present = tables.scan(name, ["row_id"])["row_id"].combine_chunks()
    enriched = tables.scan(enrichment, ["row_id"])
    orphans = enriched.filter(pc.invert(pc.is_in(enriched["row_id"], value_set=present)))["row_id"].to_pylist()
    if orphans:
        tables.delete(enrichment, is_one_of("row_id", orphans))


def _rewind(tables: Tables, restored: set[str]) -> dict[TopicPartition, int]:
    """Return the offset after the last event that each restored table still holds, per partition that feeds it."""
    if not restored:
        return {}
    stored = {name: _highest_offsets(tables, name) for name in ARRIVED}
    rewind: dict[TopicPartition, int] = {}
    for name in restored.intersection(ARRIVED):
        topics = {TOPIC_OF_TYPE[kind] for kind in _TYPES_IN[name]}
        fed_by = {part for offsets in stored.values() for part in offsets if part.topic in topics} | stored[name].keys()
        for part in fed_by | {TopicPartition(topic, 0) for topic in topics}:
            rewind[part] = min(rewind.get(part, stored[name].get(part, -1) + 1), stored[name].get(part, -1) + 1)
    return rewind


def _highest_offsets(tables: Tables, name: str) -> dict[TopicPartition, int]:
    rows = tables.scan(name, ["topic", "partition", "offset"]).group_by(["topic", "partition"]).aggregate([("offset", "max")])
    return {TopicPartition(row["topic"], row["partition"]): row["offset_max"] for row in rows.to_pylist()}


def _unreadable(folder: Path, name: str, problem: object, gone: str = "") -> str:
    lost = f" It cannot be rebuilt either: the event log no longer holds {gone}." if gone else ""
    give_up = (
        f". To give up what the log no longer holds, and continue, move the folder {name}.lance out of there" if gone else ""
    )
    return (
        f"the table {name} of the buffer in {folder} cannot be read in any version that is still there ({problem}).{lost} "
        "Nothing was changed. Check the disk and the folder's permissions, or restore the folder from a backup"
        f"{give_up}"
    )
