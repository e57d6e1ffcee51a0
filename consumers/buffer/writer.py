"""Writes the buffer: the one process that leads stores, enriches, judges, compacts and erases, and reads what it wrote."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc

from config.clock import Clock
from config.errors import StopError
from config.files import durable
from config.sections import BufferSettings, FeedbackSettings
from config.tasks import TaskSpec
from consumers.buffer import audit as buffer_audit
from consumers.buffer import folder as buffer_folder
from consumers.buffer.audit import Audit
from consumers.buffer.fencing import Fence
from consumers.buffer.reader import BufferReader
from consumers.defence.judging import Judge, JudgeOutcome
from consumers.erasure import rows as erasure
from consumers.erasure.requests import Erasures
from consumers.faults import of_the_machine
from consumers.log.protocols import TopicPartition
from consumers.rows import document_rows, moves, set_aside
from consumers.rows.arriving import imports
from consumers.rows.arriving.event_rows import Stored
from consumers.rows.arriving.insertion import Insertion, InsertOutcome
from consumers.rows.documents import DocumentSides
from consumers.rows.enrichment_rows import Enrichment, EnrichmentRows, StoryMember
from consumers.rows.labels.label_corrections import LabelCorrection, LabelCorrections
from consumers.rows.labels.withdrawn import Withdrawn
from consumers.tables import retention
from consumers.tables.columns import ARRIVED, ENRICHMENT_OF, TextTable
from consumers.tables.lance import Tables
from consumers.training_set import anchor, freezing, retiring
from consumers.training_set.holding_out import Move, Shortfall, shortfalls
from consumers.training_set.retiring import Judged, Retirement


class BufferWriter(BufferReader):
    """All tables of one folder, to write and to read. Thread-safe; one process at a time, the one that leads."""

    def __init__(
        self,
        tables: Tables,
        audit: Audit,
        *,
        lock: BinaryIO,
        fence: Fence,
        settings: BufferSettings,
        tasks: Mapping[str, TaskSpec],
        erasures: Erasures | None,
        min_quality: float,
        clock: Clock,
        numbered_up_to: int,
    ) -> None:
        """Use `consumers.buffer.open.open_writer`."""
        super().__init__(tables, tasks=tasks, min_quality=min_quality, clock=clock)
        self._write_lock: BinaryIO | None = lock
        self._fence = fence
        self._settings = settings
        self._erasures = erasures
        highest = [pc.max(tables.scan(name, ["stored_seq"])["stored_seq"]).as_py() or 0 for name in ARRIVED]
        self._insertion = Insertion(tables, max(highest) + 1)
        self._enrichment = EnrichmentRows(tables, max(numbered_up_to, buffer_folder.highest_seq(tables.folder)))
        self._judge = Judge(tables, self._enrichment, tasks)
        self._withdrawn = Withdrawn(tables)
        self._label_corrections = LabelCorrections(tables, self._enrichment)
        self.erasings = 0
        """How often rows were erased through this buffer: what was read of them before must not be used again."""
        self.splits_moved = 0
        """How often rows changed their side other than by enrichment: what was read of their places is old."""
        self.repairs: tuple[str, ...] = audit.repairs
        """What was fixed at start, in words."""
        self.rewind: Mapping[TopicPartition, int] = audit.rewind
        """Offsets from which the log must be read again after a repair."""

    @property
    def writes(self) -> int:
        """How many writes were begun since the writer opened the tables; while it is unchanged, there is nothing new."""
        return self._tables.writes

    def rewound(self, topic: str) -> None:
        """Record, durably, that the log's groups read `topic` from where `rewind` says; a start says it again until then."""
        self._check_writing()
        self.rewind = {part: offset for part, offset in self.rewind.items() if part.topic != topic}
        if not self.rewind:
            buffer_audit.log_was_rewound(self._tables.folder)

    def insert(self, batch: Sequence[Stored]) -> InsertOutcome:
        """Store the new events of a batch; not durable before `sync`. Insert-only: what is there is never overwritten."""
        with self._lock:
            self._check_writing()
            # Under the lock that erasing holds too: nothing slips in between the look and the removal.
            stones = self._erasures.tombstones() if self._erasures else None
            kept: list[Stored] = []
            erased: list[Stored] = []
            for one in batch:
                (erased if stones and stones.covers(one.event) else kept).append(one)
            accepted = {name: task.label_names for name, task in self._tasks.items() if task.labels == "closed"}
            return replace(self._insertion.insert(kept, self._clock(), accepted=accepted), erased=tuple(erased))

    def take_over(self, name: str, rows: pa.Table) -> None:
        """Append rows of another buffer as they are, numbers and findings included; not durable. A replay fills its own so."""
        with self._lock:
            self._check_writing()
            self._tables.extend(name, rows)
            for column in ("enriched_seq", "judged_seq"):
                if column in rows.column_names and rows.num_rows:
                    self._enrichment.numbered_up_to(pc.max(rows[column]).as_py())

    def highest_number(self) -> int:
        """Return the highest enrichment number that was given, 0 before the first."""
        with self._lock:
            return self._enrichment.highest_seq

    def resolve_waiting(self, limit: int = 1000) -> int:
        """Join answers that waited for their text; returns how many left the queue (joined or refused). Durable."""
        with self._upkeep.changing("feedback"), self._lock, self._made_durable():
            self._check_writing()
            return self._ledger.resolve(self._insertion, self._tasks, limit, self._clock())

    def sync(self) -> None:
        """Make everything stored so far durable; positions may be committed after this. Raises OSError."""
        durable.sync_filesystem(self._tables.folder)

    def optimize_if_due(self) -> tuple[str, ...]:
        """Compact tables that had many writes, while ingest continues; returns their names. Durable."""
        with self._lock:
            self._check_writing()
            due = self._tables.due_for_compaction(self._settings.optimize_every)
        return self._upkeep.compact(due, timedelta(hours=self._settings.keep_versions_hours))

    def apply_enrichment(self, table: TextTable, rows: Sequence[Enrichment]) -> int:
        """Record findings about texts, once per row; returns how many were recorded. Durable."""
        with self._lock, self._made_durable():
            self._check_writing()
            return self._enrichment.apply(table, rows)

    def set_aside(self, table: TextTable, row_id: str, what: str) -> None:
        """Mark a text that enrichment fails on, so that nothing waits for it; `what` failed, in words. Durable."""
        with self._lock:
            try:
                with self._made_durable():
                    self._check_writing()
                    self._enrichment.apply(table, [set_aside.finding(row_id, what)])
            except Exception as error:
                if of_the_machine(error):
                    raise
                # Not even its mark can be stored. It stays unenriched, and the next start tries it again.
                self._backlog.pass_over(row_id)

    def try_again(self, *, of_this_version: bool) -> int:
        """Have what is set aside enriched and judged again, or only what another version set aside; returns how many. Durable."""
        with self._upkeep.changing(*ENRICHMENT_OF.values(), "feedback_judgements"), self._lock, self._made_durable():
            self._check_writing()
            released = set_aside.release(self._tables, of_this_version=of_this_version)
            if released:
                self._backlog.look_anew()
                self._judge = Judge(self._tables, self._enrichment, self._tasks)
            return released

    def equal_texts(self, text_sha256s: Sequence[str]) -> list[StoryMember]:
        """Return the members of stories, of whatever time, whose text is one of these (by SHA-256)."""
        with self._lock:
            return self._enrichment.equal_texts(text_sha256s)

    def drop_from_training(self, reasons: Mapping[str, str]) -> int:
        """Take training rows out for good, for instance because their story is held out; returns how many. Durable.

        `reasons`: why, by row id.
        """
        with self._upkeep.changing(*ENRICHMENT_OF.values()), self._lock, self._made_durable():
            self._check_writing()
            return self._enrichment.take_out({row_id: ("dropped", why) for row_id, why in reasons.items()})

    def withdraw_weak_labels(self) -> int:
        """Take labels of rules and language models that hold no more out of training; returns how many there were. Durable."""
        with self._lock:
            due = self._withdrawn.due()
        if not due:
            # Enrichment asks with every batch: it does not wait for a compaction to learn that there is nothing to do.
            return 0
        with self._upkeep.changing(*ENRICHMENT_OF.values()), self._lock, self._made_durable():
            self._check_writing()
            return self._enrichment.take_out(due)

    def release(self, row_ids: Sequence[str]) -> int:
        """Let labels train that were withheld while a pair of models was open; returns how many. Durable."""
        with self._upkeep.changing("example_enrichment"), self._lock, self._made_durable():
            self._check_writing()
            return self._enrichment.release(row_ids)

    def documents(self) -> tuple[DocumentSides, int]:
        """Drop the training rows of documents in both train and test; return each document's side, and the count. Durable."""
        with self._upkeep.pinned(document_rows.READ) as snapshot:
            mixed, sides = document_rows.on_both_sides(snapshot), document_rows.sides(snapshot)
        if not mixed:
            return sides, 0
        with self._upkeep.changing(*ENRICHMENT_OF.values()), self._lock, self._made_durable():
            taken: dict[str, Move] = {row_id: ("dropped", moves.beside_held_out(name)) for row_id, name in mixed.items()}
            self._check_writing()
            return sides, self._enrichment.take_out(taken)

    def corrections_due(self, passed_over: Collection[str]) -> list[tuple[LabelCorrection, str | None]]:
        """Return the corrections of labels that are not in force, oldest first, each with why it cannot be, if so."""
        with self._lock:
            return self._label_corrections.due(self._tasks, passed_over)

    def correct_label(self, one: LabelCorrection) -> bool:
        """Give a label its corrected target wherever it is stored; return whether it said something else. Durable."""
        changing = self._upkeep.changing("examples", "example_enrichment", "feedback")
        with changing, self._lock, self._made_durable():
            self._check_writing()
            return self._label_corrections.apply(one)

    def hold_out_more(self, task: TaskSpec, *, test_fraction: float, learnt: frozenset[str]) -> list[Shortfall]:
        """Move documents that no version has `learnt` to the test side, for labels of `task` that fall short there. Durable."""
        with self._upkeep.pinned(freezing.PINNED) as snapshot:
            found = shortfalls(snapshot, task, test_fraction=test_fraction, learnt=learnt)
        if found:
            with self._upkeep.changing(*ENRICHMENT_OF.values()), self._lock, self._made_durable():
                self._check_writing()
                self._enrichment.take_out({row_id: change for one in found for row_id, change in one.rows.items()})
                self.splits_moved += 1
        return found

    def retire(self, tasks: Mapping[str, TaskSpec], judged: Judged) -> list[Retirement]:
        """Move test rows of these tasks that have `judged` and lie behind their windows to training, for good. Durable.

        `tasks` are those with enough newer test rows.
        """
        with self._upkeep.pinned(retiring.READ) as snapshot:
            found = retiring.retirements(snapshot, tasks, judged)
        for one in found:
            with self._upkeep.changing(*ENRICHMENT_OF.values()), self._lock, self._made_durable():
                self._check_writing()
                # The labels last, all in one step: until they have moved, the next attempt finds the rest with them.
                why = next(iter(one.labels.values()))
                now = self._clock()
                self._enrichment.retire("article_enrichment", dict.fromkeys(one.articles, why), now, as_new=False)
                self._enrichment.retire("example_enrichment", dict.fromkeys(one.answers, why), now, as_new=False)
                self._enrichment.retire("example_enrichment", one.labels, now, as_new=True)
                self.splits_moved += 1
        return found

    def build_anchor(self, task: TaskSpec) -> int:
        """Let the oldest held-out documents join the anchor set of `task`, where nobody imported one. Durable.

        Returns how many rows joined.
        """
        with self._upkeep.pinned(anchor.READ) as snapshot:
            joining = anchor.oldest_held_out(snapshot, task) if task.promotion.anchor_rows else {}
        if not joining:
            return 0
        with self._upkeep.changing("example_enrichment"), self._lock, self._made_durable():
            self._check_writing()
            return self._enrichment.anchor(joining)

    def judge_feedback(self, settings: FeedbackSettings, limit: int = 500, *, patience: timedelta = timedelta(0)) -> JudgeOutcome:
        """Judge enriched answers of users, oldest arrival first: until then they neither train nor count. Durable.

        One that cites a prediction waits for it up to `patience` after its arrival.
        """
        with self._upkeep.changing("feedback_judgements"), self._lock, self._made_durable():
            self._check_writing()
            return self._judge.step(settings, limit, self._clock() - patience)

    def enforce_retention(self) -> dict[str, int]:
        """Remove rows past their retention, while ingest continues; returns how many of each table. Durable."""
        self._remember_highest_seq()
        removed = retention.enforce(self._upkeep, self._settings, self._clock())
        with self._lock:
            self._label_corrections.look_anew()
        return removed

    def take_back(self, import_id: str, *, stored_before: int, first: Callable[[frozenset[str]], None]) -> frozenset[str]:
        """Remove what an import brought before number `stored_before`, while ingest continues; returns its example ids. Durable.

        `first` is told these ids before any row goes. What is imported again comes later, and stays. Killed at any point it
        continues at the next call.
        """
        self._remember_highest_seq()
        removed = imports.take_back(self._upkeep, import_id, stored_before, first)
        if removed:
            with self._lock:
                # Documents and stories that only these rows stood for are free again.
                self.erasings += 1
                self._label_corrections.look_anew()
        return removed

    def holds_erased(self) -> bool:
        """Return whether the tables contain rows of something erased: before `erase`, or after a backup was restored."""
        stones = self._erasing().tombstones()
        with self._upkeep.pinned() as tables:
            return bool(erasure.erased_rows(tables, stones))

    def erase(self) -> int:
        """Remove the rows of everything that was erased, while ingest continues; returns how many rows were removed. Durable.

        Killed at any point it continues at the next call.
        """
        erasures = self._erasing()
        self._remember_highest_seq()
        buffer_audit.forget_unreadable(self._tables.folder)
        removed = erasure.erase(self._upkeep, erasures)
        with self._lock:
            self.erasings += 1
            self._label_corrections.look_anew()
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
        self._check_writing()
        self._upkeep.purge(keep)
        with self._lock:
            return self._tables.oldest_versions()

    def close(self) -> None:
        """Free the writer's lock."""
        with self._lock:
            if self._write_lock is not None:
                self._write_lock.close()
            self._write_lock = None

    @contextlib.contextmanager
    def _made_durable(self) -> Iterator[None]:
        # Each write is durable before the next begins, so that the audit at start need only read the newest fragments.
        before = self._tables.writes
        yield
        if self._tables.writes != before:
            self.sync()

    def _remember_highest_seq(self) -> None:
        # Before rows go: were the one with the highest number gone and forgotten, its number would be given again after a
        # restart, and the new row would count as known to every run that has seen the old one.
        with self._lock:
            self._check_writing()
            buffer_folder.remember_highest_seq(self._tables.folder, self._enrichment.highest_seq)

    def _erasing(self) -> Erasures:
        self._check_writing()
        if self._erasures is None:
            message = (
                f"the buffer in {self._tables.folder} was opened without the list of erasures, so nothing can be erased from it"
            )
            raise StopError(message)
        return self._erasures

    def _check_writing(self) -> None:
        if self._write_lock is None:
            message = f"the buffer in {self._tables.folder} is closed and cannot be written"
            raise StopError(message)
        self._fence.check()
