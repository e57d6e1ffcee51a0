"""The buffer: everything that arrived and what was found out about it, in LanceDB tables, behind one lock."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO

import pyarrow.compute as pc

from config import durable
from config.clock import Clock, utc_now
from config.errors import StopError
from config.sections import BufferSettings, FeedbackSettings
from config.tasks import TaskSpec
from consumers.buffer import audit as buffer_audit
from consumers.buffer import folder as buffer_folder
from consumers.buffer.audit import RemovedEvents
from consumers.defence.judging import Judge, JudgeOutcome
from consumers.defence.views import Defence, Quarantined, UserView, Views
from consumers.erasure import rows as erasing
from consumers.erasure.requests import Erasures
from consumers.faults import of_the_machine
from consumers.log.protocols import TopicPartition
from consumers.rows import document_rows, set_aside
from consumers.rows import requests as stored_requests
from consumers.rows.backlog import Backlog, TextRow
from consumers.rows.documents import DocumentSides
from consumers.rows.enrichment_rows import Enrichment, EnrichmentRows, StoryMember, recent_stories, unread_languages
from consumers.rows.event_rows import Stored
from consumers.rows.insertion import Conflict, Insertion, InsertOutcome
from consumers.rows.predictions import StoredPrediction, prediction
from consumers.rows.requests import Request
from consumers.rows.set_aside import SetAside
from consumers.rows.waiting import Fate, Ledger
from consumers.tables import retention
from consumers.tables.columns import ARRIVED, ENRICHMENT_OF, SCHEMAS, TextTable
from consumers.tables.lance import Tables
from consumers.tables.upkeep import Upkeep
from consumers.training_set import freezing
from consumers.training_set.counting import Counting, TaskCounts
from consumers.training_set.explaining import Explanation, explain
from consumers.training_set.holding_out import Move, Shortfall, shortfalls
from consumers.training_set.snapshot import TrainingSet

__all__ = [
    "Buffer",
    "Conflict",
    "Enrichment",
    "Fate",
    "InsertOutcome",
    "Request",
    "Shortfall",
    "Stored",
    "StoredPrediction",
    "StoryMember",
    "TaskCounts",
    "TextRow",
]  # fmt: skip

_PACE_OVER_S = 60.0


class Buffer:
    """All tables of one folder. Thread-safe; one process writes, others open it with `writer=False`."""

    def __init__(
        self, tables: Tables, settings: BufferSettings, tasks: Mapping[str, TaskSpec], min_quality: float, clock: Clock
    ) -> None:
        """Use `Buffer.open`."""
        self._tables = tables
        self._settings = settings
        self._tasks = tasks
        self._min_quality = min_quality
        self._clock = clock
        # Held for moments: what takes long works on pinned versions, or in portions of `Upkeep`.
        self._lock = threading.RLock()
        self._upkeep = Upkeep(tables, self._lock)
        self._counting = Counting(tables, tasks, min_quality)
        self._ledger = Ledger(tables)
        self._backlog = Backlog(tables)
        self._write_lock: BinaryIO | None = None
        self._erasures: Erasures | None = None
        self._insertion: Insertion | None = None
        self._enrichment: EnrichmentRows | None = None
        self.erasings = 0
        """How often rows were erased through this buffer: what was read of them before must not be used again."""
        self.splits_moved = 0
        """How often rows changed their side other than by enrichment: what was read of their places is old."""
        self._judge: Judge | None = None
        self._views = Views(tables, tasks, min_quality)
        self.repairs: tuple[str, ...] = ()
        """What was mended at start, in words."""
        self.rewind: Mapping[TopicPartition, int] = {}
        """Offsets from which the log must be read again after a repair."""

    @classmethod
    def open(
        cls,
        folder: Path,
        settings: BufferSettings,
        *,
        tasks: Mapping[str, TaskSpec],
        writer: bool = True,
        erasures: Erasures | None = None,
        min_quality: float = 0.3,
        clock: Clock = utc_now,
        removed_events: RemovedEvents | None = None,
        numbered_up_to: int = 0,
    ) -> Buffer:
        """Open the buffer in `folder`; a writer makes it, locks it and mends what a power cut left.

        A writer stores nothing of what `erasures` says was erased. `removed_events` asks the log whether an unreadable table can
        be made anew from it; `numbered_up_to` is the highest enrichment number that a run has seen, should the tables not tell.

        Raises `StopError` for a second writer and for a newer format, `UserError` for a reader where there is no buffer.
        """
        if not writer:
            buffer_folder.check(folder)
            return cls(Tables(folder, writer=False), settings, tasks, min_quality, clock)
        buffer_folder.prepare(folder)
        lock = buffer_folder.lock_for_writing(folder)
        try:
            tables, audit = buffer_audit.open_mended(folder, removed_events)
            buffer = cls(tables, settings, tasks, min_quality, clock)
            buffer._begin_writing(lock, audit, erasures, numbered_up_to)
        except BaseException:
            lock.close()
            raise
        return buffer

    @property
    def folder(self) -> Path:
        """Where the tables stand."""
        return self._tables.folder

    @property
    def writes(self) -> int:
        """How many writes were begun since the writer opened the tables: while it stands still, a look finds nothing new."""
        return self._tables.writes

    def rewound(self, topic: str) -> None:
        """Record, durably, that the log's groups read `topic` from where `rewind` says; a start says it again until then."""
        self.rewind = {part: offset for part, offset in self.rewind.items() if part.topic != topic}
        if not self.rewind:
            buffer_audit.log_was_rewound(self._tables.folder)

    def use_tasks(self, tasks: Mapping[str, TaskSpec]) -> None:
        """Go by these task files from now on."""
        with self._lock:
            self._tasks = tasks
            self._counting.use_tasks(tasks)
            self._views.use_tasks(tasks)

    def insert(self, batch: Sequence[Stored]) -> InsertOutcome:
        """Store the new events of a batch; not durable before `sync`. Insert-only: what is there is never overwritten."""
        with self._lock:
            insertion = self._writing()[0]
            # Under the lock that erasing holds too: nothing slips in between the look and the removal.
            stones = self._erasures.tombstones() if self._erasures else None
            kept: list[Stored] = []
            erased: list[Stored] = []
            for one in batch:
                (erased if stones and stones.covers(one.event) else kept).append(one)
            return replace(insertion.insert(kept, self._clock()), erased=tuple(erased))

    def resolve_waiting(self, limit: int = 1000) -> int:
        """Join answers that waited for their text; returns how many left the queue (joined or refused). Durable."""
        with self._upkeep.changing("feedback"), self._lock, self._made_durable():
            return self._ledger.resolve(self._writing()[0], self._tasks, limit, self._clock())

    def sync(self) -> None:
        """Make everything stored so far durable; positions may be committed after this. Raises OSError."""
        durable.sync_filesystem(self._tables.folder)

    def optimize_if_due(self) -> tuple[str, ...]:
        """Compact tables that had many writes, beside ingest; returns their names. Durable."""
        with self._lock:
            self._writing()
            due = self._tables.due_for_compaction(self._settings.optimize_every)
        return self._upkeep.compact(due, timedelta(hours=self._settings.keep_versions_hours))

    def unenriched(self, table: TextTable, limit: int) -> list[TextRow]:
        """Return up to `limit` texts that were not enriched yet, oldest event time first."""
        with self._lock:
            return self._backlog.oldest(table, limit)

    def waiting_since(self) -> dict[str, datetime]:
        """Return when the oldest text without enrichment was stored, per table that had one at the last `unenriched`."""
        with self._lock:
            return dict(self._backlog.waiting_since)

    def apply_enrichment(self, table: TextTable, rows: Sequence[Enrichment]) -> int:
        """Record findings about texts, once per row; returns how many were recorded. Durable."""
        with self._lock, self._made_durable():
            return self._writing()[1].apply(table, rows)

    def set_aside(self, table: TextTable, row_id: str, what: str) -> None:
        """Mark a text that enrichment fails on, so that nothing waits for it; `what` failed, in words. Durable."""
        with self._lock:
            try:
                with self._made_durable():
                    self._writing()[1].apply(table, [set_aside.finding(row_id, what)])
            except Exception as error:
                if of_the_machine(error):
                    raise
                # Not even its mark can be stored. It stays unenriched, and the next start tries it again.
                self._backlog.pass_over(row_id)

    def put_aside(self, limit: int = 100) -> list[SetAside]:
        """Return the texts and answers that are set aside, oldest first."""
        with self._lock:
            return set_aside.listed(self._tables, limit)

    def count_put_aside(self) -> int:
        """Count the texts and answers that are set aside."""
        with self._lock:
            return set_aside.count(self._tables)

    def try_again(self, *, of_this_version: bool) -> int:
        """Have what is set aside enriched and judged again, or only what another version set aside; returns how many. Durable."""
        with self._upkeep.changing(*ENRICHMENT_OF.values(), "feedback_judgements"), self._lock, self._made_durable():
            self._writing()
            released = set_aside.release(self._tables, of_this_version=of_this_version)
            if released:
                self._backlog.look_anew()
                self._judge = Judge(self._tables, self._writing()[1], self._tasks)
            return released

    def check(self) -> None:
        """Count the rows of every table; raises what LanceDB raises when one cannot be read."""
        with self._lock:
            for name in SCHEMAS:
                self._tables.count(name)

    def recent_stories(self, before: datetime, window: timedelta) -> list[StoryMember]:
        """Return the members of stories with event time in [before - window, before], oldest first."""
        with self._lock:
            return recent_stories(self._tables, before, window)

    def unread_languages(self, window: timedelta) -> tuple[Counter[str], int]:
        """Return how many texts stored in the last `window` the encoder could not read, by language, and of how many."""
        with self._lock:
            return unread_languages(self._tables, self._clock() - window)

    def equal_texts(self, text_sha256s: Sequence[str]) -> list[StoryMember]:
        """Return the members of stories, of whatever time, whose text is one of these (by SHA-256)."""
        with self._lock:
            return self._writing()[1].equal_texts(text_sha256s)

    def drop_from_training(self, row_ids: Sequence[str], reason: str) -> int:
        """Take training rows out for good, for instance because their story is held out; returns how many. Durable."""
        with self._upkeep.changing(*ENRICHMENT_OF.values()), self._lock, self._made_durable():
            return self._writing()[1].take_out(dict.fromkeys(row_ids, ("dropped", reason)))

    def documents(self) -> tuple[DocumentSides, int]:
        """Take documents that stand on both sides out of training; return where each stands, and how many rows went. Durable."""
        with self._upkeep.pinned(document_rows.READ) as snapshot:
            mixed, sides = document_rows.on_both_sides(snapshot), document_rows.sides(snapshot)
        if not mixed:
            return sides, 0
        why = "another text of its document {} is held out"
        with self._upkeep.changing(*ENRICHMENT_OF.values()), self._lock, self._made_durable():
            taken: dict[str, Move] = {row_id: ("dropped", why.format(name)) for row_id, name in mixed.items()}
            return sides, self._writing()[1].take_out(taken)

    def training_rows_of(self, document: str) -> list[tuple[str, str]]:
        """Return row id and story id of a document's training rows."""
        with self._lock:
            return document_rows.training_rows(self._tables, document)

    def hold_out_more(self, task: TaskSpec, *, test_fraction: float, learnt: frozenset[str]) -> list[Shortfall]:
        """Move documents that no version has `learnt` to the test side, for labels of `task` that fall short there. Durable."""
        with self._upkeep.pinned(freezing.PINNED) as snapshot:
            found = shortfalls(snapshot, task, test_fraction=test_fraction, learnt=learnt)
        if found:
            with self._upkeep.changing(*ENRICHMENT_OF.values()), self._lock, self._made_durable():
                self._writing()[1].take_out({row_id: change for one in found for row_id, change in one.rows.items()})
                self.splits_moved += 1
        return found

    def judge_feedback(self, settings: FeedbackSettings, limit: int = 500, *, patience: timedelta = timedelta(0)) -> JudgeOutcome:
        """Judge enriched answers of users, oldest arrival first: until then they neither train nor count. Durable.

        One that cites a prediction waits for it up to `patience` after its arrival.
        """
        with self._upkeep.changing("feedback_judgements"), self._lock, self._made_durable():
            self._writing()
            assert self._judge is not None  # noqa: S101 - made with the rest of what writes
            return self._judge.step(settings, limit, self._clock() - patience)

    def defence(self, task: str) -> Defence:
        """Return how many answers of users stand where, and the label-flip alarms that are up."""
        with self._lock:
            return self._views.defence(task)

    def quarantined(self, task: str | None = None, limit: int = 100) -> list[Quarantined]:
        """Return answers that wait for a person, oldest arrival first."""
        with self._lock:
            return self._views.quarantined(task, limit)

    def users(self, task: str | None, settings: FeedbackSettings) -> list[UserView]:
        """Return what is known of the users who gave feedback, the least trusted first."""
        with self._lock:
            return self._views.users(task, settings)

    def counts(self, task: str, *, after_seq: int = 0) -> TaskCounts:
        """Count a task's examples; `new` are those enriched after number `after_seq`."""
        with self._lock:
            return self._counting.count(task, after_seq)

    def enriched_per_s(self) -> float | None:
        """Return how many examples of all tasks were enriched a second of late; None when none was."""
        with self._lock:
            return self._tables.rows_per_s("example_enrichment", _PACE_OVER_S)

    def unenriched_before(self, task: str, stored_seq: int) -> int:
        """Count a task's examples that were stored before number `stored_seq` (of a request) and are not enriched yet."""
        with self._lock:
            return self._counting.unenriched_before(task, stored_seq)

    def freeze(
        self, task: TaskSpec, *, run_id: str, folder: Path, learnt: frozenset[str], max_rows: int | None = None
    ) -> TrainingSet:
        """Write the task's training set into the new folder `folder`; `learnt` are the example ids in the champion's lineage."""
        with self._upkeep.pinned(freezing.PINNED) as snapshot:
            return freezing.freeze(
                snapshot,
                task,
                run_id=run_id,
                folder=folder,
                learnt=learnt,
                min_quality=self._min_quality,
                max_rows=max_rows or task.training.max_rows,
                now=self._clock(),
            )

    def feedback_fate(self, event_id: str) -> Fate | None:
        """Return what became of a label or feedback event; None when it is not stored (it may still be in the log)."""
        with self._lock:
            return self._ledger.fate(event_id)

    def explain(self, fate: Fate) -> Explanation:
        """Return why an answer waits or is not learnt from, and which examples teach the same."""
        with self._lock:
            return explain(self._tables, fate, tasks=self._tasks, min_quality=self._min_quality, now=self._clock())

    def prediction(self, prediction_id: str) -> StoredPrediction | None:
        """Return the answer that serving gave under this id."""
        with self._lock:
            return prediction(self._tables, prediction_id)

    def requests(self, kind: str = "retrain") -> list[Request]:
        """Return the stored requests of one kind, oldest first."""
        with self._lock:
            return stored_requests.requests(self._tables, kind)

    def table_counts(self) -> dict[str, int]:
        """Return the rows of each table that events arrive in."""
        with self._lock:
            return {name: self._tables.count(name) for name in ARRIVED}

    def versions(self) -> dict[str, int]:
        """Return the LanceDB version of every table."""
        with self._lock:
            return self._tables.versions()

    def enforce_retention(self) -> dict[str, int]:
        """Remove, beside ingest, rows that arrived longer ago than they are kept; returns how many of each table. Durable."""
        self._remember_highest_seq()
        return retention.enforce(self._upkeep, self._settings, self._clock())

    def holds_erased(self) -> bool:
        """Return whether rows of something erased stand in the tables: before `erase`, or after a backup was restored."""
        stones = self._erasing().tombstones()
        with self._upkeep.pinned() as tables:
            return bool(erasing.erased_rows(tables, stones))

    def erase(self) -> int:
        """Remove, beside ingest, the rows of everything that was erased; returns how many rows went. Durable.

        Killed at any point it goes on at the next call.
        """
        erasures = self._erasing()
        self._remember_highest_seq()
        buffer_audit.forget_unreadable(self._tables.folder)
        removed = erasing.erase(self._upkeep, erasures)
        with self._lock:
            self.erasings += 1
        return removed

    def rewrite_erased(self) -> dict[str, int] | None:
        """Rewrite a part of what still holds removed rows; returns the tables' versions once nothing does, else None. Durable."""
        erasures = self._erasing()
        fragments = sorted(erasures.work("fragment"))
        if not fragments:
            return self.versions()
        name, _, number = fragments[0].partition(":")
        if self._upkeep.rewrite(name, int(number)):
            erasures.drop_work("fragment", fragments[:1])
        return None

    def purge(self, keep: timedelta) -> dict[str, int]:
        """Remove all versions older than `keep` from disk; returns the oldest version of each table that is left. Durable."""
        self._writing()
        self._upkeep.purge(keep)
        with self._lock:
            return self._tables.oldest_versions()

    def example_ids(self) -> frozenset[str]:
        """Return the ids of all examples."""
        with self._upkeep.pinned(["examples"]) as tables:
            return frozenset(tables.scan("examples", ["row_id"])["row_id"].to_pylist())

    def close(self) -> None:
        """Free the writer's lock."""
        with self._lock, contextlib.ExitStack() as stack:
            if self._write_lock is not None:
                stack.callback(self._write_lock.close)
            self._write_lock = self._insertion = self._enrichment = self._judge = None

    @contextlib.contextmanager
    def _made_durable(self) -> Iterator[None]:
        # Each write is durable before the next begins, so that the audit at start need only read the newest fragments.
        before = self._tables.writes
        yield
        if self._tables.writes != before:
            self.sync()

    def _begin_writing(self, lock: BinaryIO, audit: buffer_audit.Audit, erasures: Erasures | None, numbered: int) -> None:
        self._write_lock, self._erasures = lock, erasures
        self.repairs, self.rewind = audit.repairs, audit.rewind
        highest = [pc.max(self._tables.scan(name, ["stored_seq"])["stored_seq"]).as_py() or 0 for name in ARRIVED]
        self._insertion = Insertion(self._tables, max(highest) + 1)
        self._enrichment = EnrichmentRows(self._tables, max(numbered, buffer_folder.highest_seq(self._tables.folder)))
        self._judge = Judge(self._tables, self._enrichment, self._tasks)

    def _remember_highest_seq(self) -> None:
        # Before rows go: were the one with the highest number gone and forgotten, its number would be given again after a
        # restart, and the new row would count as known to every run that has seen the old one.
        with self._lock:
            buffer_folder.remember_highest_seq(self._tables.folder, self._writing()[1].highest_seq)

    def _erasing(self) -> Erasures:
        self._writing()
        if self._erasures is None:
            message = (
                f"the buffer in {self._tables.folder} was opened without the list of erasures, so nothing can be erased in it"
            )
            raise StopError(message)
        return self._erasures

    def _writing(self) -> tuple[Insertion, EnrichmentRows]:
        if self._insertion is None or self._enrichment is None:
            message = f"the buffer in {self._tables.folder} is not open for writing here; only the daemon that leads writes it"
            raise StopError(message)
        return self._insertion, self._enrichment
