"""Reads the buffer: what arrived, what was found out about it, what counts and what a run would learn from."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa

from config.clock import Clock
from config.sections import FeedbackSettings
from config.task_files.labels.label_changes import Change
from config.tasks import TaskSpec
from consumers.buffer.labelling import LabellingReader
from consumers.defence import answering
from consumers.defence.views import Defence, Quarantined, UserView, Views
from consumers.erasure.tombstones import Tombstones
from consumers.fitness.facts import tables_for
from consumers.history import taking
from consumers.labelling.reading import Pools
from consumers.rows import document_rows, set_aside
from consumers.rows.arriving import imports
from consumers.rows.arriving import requests as stored_requests
from consumers.rows.arriving.imports import Imported
from consumers.rows.arriving.predictions import StoredPrediction, prediction
from consumers.rows.arriving.requests import Request
from consumers.rows.backlog import Backlog, Behind, TextRow
from consumers.rows.enrichment_rows import StoryMember, StoryRow, recent_stories, rows_of_stories, unread_languages
from consumers.rows.labels.answers_over_time import Said, Sample, sample
from consumers.rows.labels.label_corrections import Labels
from consumers.rows.labels.renames import history, in_force
from consumers.rows.labels.unlabelled import id_of
from consumers.rows.ledger import Fate, Ledger
from consumers.rows.set_aside import SetAside
from consumers.tables.columns import ARRIVED, SCHEMAS, TextTable, quoted
from consumers.tables.lance import Snapshot, Tables
from consumers.tables.upkeep import Upkeep
from consumers.training_set import anchor, freezing, label_counts, labelled
from consumers.training_set.counting import Counting, TaskCounts
from consumers.training_set.fate import Explanation, explain
from consumers.training_set.labelled import LabelledRows, Wanted
from consumers.training_set.snapshot import TrainingSet

_PACE_OVER_S = 60.0


class BufferReader(LabellingReader):
    """All tables of one folder, for reading. Thread-safe; every read sees the latest writes of the writing process."""

    def __init__(self, tables: Tables, *, tasks: Mapping[str, TaskSpec], min_quality: float, clock: Clock) -> None:
        """Use `consumers.buffer.open.open_reader`."""
        self._tables = tables
        self._tasks = tasks
        self._min_quality = min_quality
        self._clock = clock
        # Held for moments: what takes long works on pinned versions, or in portions of `Upkeep`.
        self._lock = threading.RLock()
        self._upkeep = Upkeep(tables, self._lock)
        self._counting = Counting(tables, tasks, min_quality)
        self._ledger = Ledger(tables)
        self._backlog = Backlog(tables)
        self._views = Views(tables, tasks, min_quality)
        self._pools = Pools(tables)
        self.labels = Labels(tables, self._lock)
        """What single labels say, and said at first."""

    @property
    def folder(self) -> Path:
        """The tables' folder."""
        return self._tables.folder

    @property
    def min_quality(self) -> float:
        """The quality score below which no text trains (`enrich.min_quality`)."""
        return self._min_quality

    @contextmanager
    def looked_at(self, names: Sequence[str]) -> Iterator[Snapshot]:
        """Pin tables as they are now, for a look at whole columns that holds up nobody."""
        with self._upkeep.pinned(names) as snapshot:
            yield snapshot

    def use_tasks(self, tasks: Mapping[str, TaskSpec]) -> None:
        """Go by these task files from now on."""
        with self._lock:
            self._tasks = tasks
            self._counting.use_tasks(tasks)
            self._views.use_tasks(tasks)

    def table_counts(self) -> dict[str, int]:
        """Return the rows of each table that events arrive in."""
        with self._lock:
            return {name: self._tables.count(name) for name in ARRIVED}

    def versions(self) -> dict[str, int]:
        """Return the LanceDB version of every table."""
        with self._lock:
            return self._tables.versions()

    def check(self) -> None:
        """Count the rows of every table; raises what LanceDB raises when one cannot be read."""
        with self._lock:
            for name in SCHEMAS:
                self._tables.count(name)

    def counts(self, task: str, *, after_seq: int = 0) -> TaskCounts:
        """Count a task's examples; `new` are those enriched after number `after_seq`."""
        with self._lock:
            return self._counting.count(task, after_seq)

    def enriched_per_s(self) -> float | None:
        """Return how many examples of all tasks were enriched a second of late; None when none was."""
        with self._lock:
            return self._tables.rows_per_s("example_enrichment", _PACE_OVER_S)

    def stored_per_s(self) -> float | None:
        """Return how many rows a second the tables that events arrive in gained of late; None when none was."""
        with self._lock:
            found = [self._tables.rows_per_s(name, _PACE_OVER_S) for name in ARRIVED]
        gained = [one for one in found if one is not None]
        return sum(gained) if gained else None

    def unenriched(self, table: TextTable, limit: int) -> list[TextRow]:
        """Return up to `limit` texts that were not enriched yet, oldest event time first."""
        with self._lock:
            return self._backlog.oldest(table, limit)

    def behind(self, table: TextTable) -> Behind:
        """Return how many texts of a table were not enriched yet, and since when the oldest waits."""
        with self._lock:
            return self._backlog.behind(table)

    def waiting_since(self) -> dict[str, datetime]:
        """Return when the oldest text without enrichment was stored, per table that had one at the last `unenriched`."""
        with self._lock:
            return dict(self._backlog.waiting_since)

    def unenriched_before(self, task: str, stored_seq: int) -> int:
        """Count a task's examples that were stored before number `stored_seq` (of a request) and are not enriched yet."""
        with self._lock:
            return self._counting.unenriched_before(task, stored_seq)

    def requests(self, kind: str = "retrain") -> list[Request]:
        """Return the stored requests of one kind, oldest first."""
        with self._lock:
            return stored_requests.requests(self._tables, kind)

    def freeze(
        self, task: TaskSpec, *, run_id: str, folder: Path, learnt: frozenset[str], max_rows: int | None = None,
        embeddings: bool = True,
    ) -> TrainingSet:  # fmt: skip
        """Write the task's training set into the new folder `folder`; `learnt` are the example ids in the champion's lineage.

        Without `embeddings` that column is empty.
        """
        with self._upkeep.pinned(freezing.pinned(task)) as snapshot:
            return freezing.freeze(
                snapshot,
                task,
                run_id=run_id,
                folder=folder,
                learnt=learnt,
                min_quality=self._min_quality,
                max_rows=max_rows or task.training.max_rows,
                now=self._clock(),
                embeddings=embeddings,
            )

    def anchor_parts(self, task: str) -> list[anchor.AnchorPart]:
        """Return the anchor rows of a task by where they came from."""
        with self._upkeep.pinned(anchor.READ) as snapshot:
            return anchor.parts_of(snapshot, task)

    def tied_to_training(self, task: TaskSpec, *, documents: Collection[str], texts: Collection[str]) -> anchor.Tied:
        """Return which of these documents and texts (SHA-256) rows that train have, and which labels the task's rows carry."""
        with self._upkeep.pinned(anchor.READ) as snapshot:
            return anchor.tied_to_training(snapshot, task, documents=documents, texts=texts)

    def embeddings_of(self, task: str, example_ids: Sequence[str]) -> pa.Table:
        """Return `example_id`, `embedding` and `encoder_id` of the examples of a task that have an embedding, in any order."""
        with self._upkeep.pinned([freezing.ENRICHMENT]) as snapshot:
            return freezing.embeddings_of(snapshot, task, example_ids)

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

    def answers_over_time(self, table: Said, task: str, *, since: datetime, most: int) -> Sample:
        """Return what people (`examples`) or models (`predictions`) said of a task's texts since a moment; a sample of many."""
        with self._upkeep.pinned([table]) as tables:
            return sample(tables, table, task, since=since, most=most)

    def defence(self, task: str) -> Defence:
        """Return the number of user answers per standing, and the open label-flip alarms."""
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

    def put_aside(self, limit: int = 100) -> list[SetAside]:
        """Return the texts and answers that are set aside, oldest first."""
        with self._lock:
            return set_aside.listed(self._tables, limit)

    def count_put_aside(self) -> int:
        """Count the texts and answers that are set aside."""
        with self._lock:
            return set_aside.count(self._tables)

    def recent_stories(self, before: datetime, window: timedelta) -> list[StoryMember]:
        """Return the members of stories with event time in [before - window, before], oldest first."""
        with self._lock:
            return recent_stories(self._tables, before, window)

    def rows_of_stories(self, story_ids: Sequence[str]) -> list[StoryRow]:
        """Return the rows of these stories, of whatever time."""
        with self._lock:
            return rows_of_stories(self._tables, story_ids)

    def answering(self, settings: FeedbackSettings, trusted_sources: Collection[str]) -> dict[str, answering.Answering]:
        """Return by task the corrections that answer for their own texts until a champion has learnt them.

        `trusted_sources` are those of API keys whose holders are trusted.
        """
        with self._upkeep.pinned(answering.READ) as tables:
            return answering.answering(tables, self._tasks, settings, trusted_sources)

    def answering_versions(self) -> dict[str, int]:
        """Return the versions of the tables that `answering` follows from: while they stand, it finds nothing new."""
        with self._lock:
            return self._tables.versions(answering.READ)

    def unread_languages(self, window: timedelta) -> tuple[Counter[str], int]:
        """Return how many texts stored in the last `window` the encoder could not read, by language, and of how many."""
        with self._lock:
            return unread_languages(self._tables, self._clock() - window)

    def training_rows_of(self, document: str) -> list[tuple[str, str]]:
        """Return row id and story id of a document's training rows."""
        with self._lock:
            return document_rows.training_rows(self._tables, document)

    def trains(self, story_ids: Sequence[str], document: str | None) -> bool:
        """Return whether an example, of whatever task, of one of these stories or of a document is on the train side."""
        with self._lock:
            return document_rows.trains(self._tables, story_ids, document)

    def example_ids(self) -> frozenset[str]:
        """Return the ids of all examples."""
        with self._upkeep.pinned(["examples"]) as tables:
            return frozenset(tables.scan("examples", ["row_id"])["row_id"].to_pylist())

    def feedback_ids(self, task: str) -> frozenset[str]:
        """Return the ids of a task's examples that are what users said."""
        with self._upkeep.pinned(["example_enrichment"]) as tables:
            of_users = f"task = {quoted(task)} AND verdict IS NOT NULL"
            return frozenset(tables.scan("example_enrichment", ["row_id"], of_users)["row_id"].to_pylist())

    def examples_by_text(self, task: str) -> dict[str, list[str]]:
        """Return the ids of a task's examples by the SHA-256 of their text."""
        found: dict[str, list[str]] = defaultdict(list)
        with self._upkeep.pinned(["examples"]) as tables:
            rows = tables.scan("examples", ["row_id", "text_sha256"], f"task = {quoted(task)}")
        for row_id, text in zip(rows["row_id"].to_pylist(), rows["text_sha256"].to_pylist(), strict=True):
            found[text].append(row_id)
        return dict(found)

    @contextmanager
    def labelled_rows(self, task: TaskSpec, wanted: Wanted, *, erased: Tombstones) -> Iterator[LabelledRows]:
        """All labelled rows of a task at this moment, whatever is stored while the block lasts; nothing that was `erased`."""
        with self._upkeep.pinned(labelled.READ) as tables:
            yield LabelledRows(tables, task, wanted, min_quality=self._min_quality, erased=erased)

    def imports(self) -> list[Imported]:
        """Return the imports that brought rows which are stored, the newest first."""
        with self._upkeep.pinned(imports.READ) as tables:
            return imports.stored(tables)

    def label_changes(self, task: str) -> list[Change]:
        """Return the changes of a task's labels that events asked for, oldest first."""
        with self._lock:
            return history(self._tables, task)

    def label_counts(self, task: TaskSpec) -> dict[str, Mapping[str, int]]:
        """Return label -> side -> rows of labels, under the names in force."""
        with self._upkeep.pinned(label_counts.READ) as tables:
            return label_counts.label_counts(tables, task)

    def with_labels_in_force(self, task: TaskSpec) -> TaskSpec:
        """Return a task, as its file has it, with the labels in force."""
        with self._lock:
            return in_force(self._tables, task)

    def take_past(self, task: TaskSpec, folder: Path) -> None:
        """Copy what is stored of a task into the new folder `folder`, from one version of each table (`consumers.history`)."""
        with self._upkeep.pinned(taking.READ) as tables:
            taking.take(tables, task.name, folder, sources="articles" in tables_for(task.quality))

    def article_ids(self) -> frozenset[str]:
        """Return what training sets call the articles that are stored."""
        with self._upkeep.pinned(["articles"]) as tables:
            return frozenset(map(id_of, tables.scan("articles", ["event_id"])["event_id"].to_pylist()))

    def text_hashes(self) -> frozenset[str]:
        """Return the SHA-256 of every text that is stored."""
        with self._upkeep.pinned(["articles", "examples"]) as tables:
            return frozenset(
                sha256
                for table in ("articles", "examples")
                for sha256 in tables.scan(table, ["text_sha256"])["text_sha256"].to_pylist()
            )

    def close(self) -> None:
        """End reading; nothing is held that others would wait for."""
