"""What an anchor file must be before anything of it is sent: whole, of known labels, and apart from what trains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from config.errors import UserError
from config.files.durable import sha256_of_file
from config.tasks import TaskSpec
from config.words import counted, named
from consumers.buffer.reader import BufferReader
from consumers.events import schemas as events
from consumers.formats.summary import Summary
from consumers.rows.documents import document_of
from consumers.training_set.anchor import BUILT, Tied

_HASH_SHOWN = 12
_NAME_CHARS = 120


@dataclass(slots=True)
class Rows:
    """What the rows of a file are tied by."""

    documents: set[str] = field(default_factory=set)
    texts: set[str] = field(default_factory=set)
    keys: list[tuple[str | None, str]] = field(default_factory=list)
    """Of each row its document, and the SHA-256 of its text."""

    def add(self, event: events.AnyEvent) -> None:
        """Look at one more row."""
        if not isinstance(event, events.Label) or event.text is None:
            return
        document, text = document_of(event.document_id, event.article_id), events.content_sha256(event.text)
        self.documents.update([document] if document is not None else [])
        self.texts.add(text)
        self.keys.append((document, text))

    def tied(self, found: Tied) -> int:
        """Return how many rows share their document or their text with a row that trains."""
        return sum(document in found.documents or text in found.texts for document, text in self.keys)


def source_of(file_name: str, sha256: str) -> str:
    """Return what the rows of an anchor file name as their source."""
    return f"anchor file {file_name[-_NAME_CHARS:]} ({sha256[:_HASH_SHOWN]})"


def source_of_file(file: Path) -> str:
    """Return the same of a file; a folder is named alone. What is not there the reading of it tells."""
    return source_of(file.name, sha256_of_file(file)) if file.is_file() else f"anchor files in {file.name[-_NAME_CHARS:]}"


def refuse_unusable(summary: Summary) -> None:
    """Raise `UserError` for a file that cannot be imported whole: an anchor set is frozen, so what is wrong would stay."""
    if summary.bad:
        rows = counted(summary.bad, "row")
        message = (
            f"nothing was imported: {rows} of {summary.rows} cannot be used (above), and an anchor set, which is frozen, is "
            "imported whole or not at all. Mend them, or take them out of the file"
        )
        raise UserError(message)
    if not summary.events:
        message = "nothing was imported: the file has no row that can be used, and an empty anchor set measures nothing"
        raise UserError(message)


def look(
    buffer: BufferReader, task: TaskSpec, rows: Rows, labels: Mapping[str, int], *, source: str, add: bool
) -> tuple[str, ...]:
    """Return notes on rows that share documents with training. Raises `UserError` where the file is not to be imported.

    That is where there is another imported anchor set and `add` is not asked for, where no row of the task carries one of the
    labels, and where every row is tied to rows that train.
    """
    imported = [part for part in buffer.anchor_parts(task.name) if part.origin not in {BUILT, source}]
    if imported and not add:
        told = named([f"{counted(part.rows, 'row')} from {part.origin}" for part in imported])
        message = (
            f"nothing was imported: task {task.name} has an anchor set already ({told}), and it is frozen. Nothing replaces it; "
            "`--add` imports this file beside it"
        )
        raise UserError(message)
    found = buffer.tied_to_training(task, documents=rows.documents, texts=rows.texts)
    _refuse_unknown(found, task, labels)
    tied = rows.tied(found)
    if tied == len(rows.keys):
        message = (
            f"nothing was imported: each of the {counted(tied, 'row')} shares its document or its text with rows that train, and "
            "what a model has learnt cannot measure what it forgets. Take rows of other documents"
        )
        raise UserError(message)
    if not tied:
        return ()
    note = (
        f"{tied} of {counted(len(rows.keys), 'row')} share a document or a text with rows that train: those leave training, and "
        "these measure nothing as long as the champion has learnt such a row"
    )
    return (note,)


def _refuse_unknown(found: Tied, task: TaskSpec, labels: Mapping[str, int]) -> None:
    """Raise `UserError` for labels that nothing else of the task carries; without any row nobody knows."""
    unknown = [name for name in labels if found.renames.get(name, name) not in found.labels]
    if not found.rows or not unknown:
        return
    told = named([f"{name!r} ({counted(labels[name], 'row')})" for name in sorted(unknown)])
    message = (
        f"nothing was imported: no other row of task {task.name} carries label {told}, so no model could answer it. Rename it "
        "with --label-map, take these rows out, or import rows to learn it from first"
    )
    raise UserError(message)
