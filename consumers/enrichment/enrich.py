"""Enrichment, behind ingest: language, quality, embedding, story and split of every text that has none yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from config import collector
from config.clock import Clock, utc_now
from config.sections import EnrichSettings, FeedbackSettings
from consumers.buffer.writer import BufferWriter
from consumers.defence.alarms import Raised
from consumers.defence.judging import JudgeOutcome
from consumers.enrichment.in_progress import MOST_ENDS, InProgress
from consumers.enrichment.stories import Member, NewText, Placement, StoryIndex
from consumers.enrichment.vectors import TextEncoder, TextVector, vectors_of
from consumers.events.schemas import content_sha256
from consumers.faults import in_words, isolated
from consumers.rows import moves
from consumers.rows.backlog import TextRow
from consumers.rows.documents import DocumentSides, document_of
from consumers.rows.eligibility import RANDOM
from consumers.rows.enrichment_rows import Enrichment, StoryMember
from consumers.tables.columns import TextTable
from consumers.text import language, ngrams, quality
from consumers.text.outlines import outline

if TYPE_CHECKING:
    from consumers.enrichment.embedding import Encoder

_log = structlog.get_logger(__name__)
_SHORTEST_STEP = timedelta(microseconds=1)
# Judging few answers costs as much as judging many: while texts pile up, it is done only every few steps.
_JUDGE_EVERY = 8
# Serving logs a prediction within a second of giving it; feedback that cites it may be faster.
_VARIANT_AFTER_TEXTS = 2_000
"""A process that embeds fewer has no use for what takes seconds to make."""
_PATIENCE = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class EnrichOutcome:
    """What one step did, in rows."""

    resolved: int = 0
    """Answers that had waited for their text and left the queue."""
    articles: int = 0
    examples: int = 0
    dropped: int = 0
    """Rows taken out of training because their story turned out to touch a held-out one."""
    judged: int = 0
    """Answers of users judged for the first time, and texts judged again."""
    raised: tuple[Raised, ...] = ()
    """Label-flip alarms that were not up before."""
    waiting_since: Mapping[str, datetime] = field(default_factory=dict)
    """Per table that had texts without enrichment when the step began, when the oldest of them was stored."""


class Enricher:
    """Enriches a batch of articles and a batch of examples per step. One thread steps."""

    def __init__(
        self,
        buffer: BufferWriter,
        settings: EnrichSettings,
        feedback: FeedbackSettings,
        *,
        encoder: TextEncoder | None = None,
        share: Callable[[str | None], float] | None = None,
        clock: Clock = utc_now,
    ) -> None:
        """Use `encoder`, or load the one that the settings name at the first text.

        `share` tells which share of new documents is held out for a task, or of articles (None), which are all tasks'; left out,
        what the settings say.
        """
        self._buffer = buffer
        self._settings = settings
        self._feedback = feedback
        self._encoder = encoder
        self._share = share or (lambda _task: settings.test_fraction)
        self._clock = clock
        self._documents: DocumentSides | None = None
        self._index: StoryIndex | None = None
        self._known = self._changes()
        """How often what the index holds had been changed by others when it was read."""
        self._nothing_waited_at: int | None = None
        """The buffer's writes before a step that found nothing to do."""
        self._steps_since_judged = 0
        self._in_progress = InProgress(buffer.folder)

    def step(self) -> EnrichOutcome:
        """Join waiting answers to their texts, enrich the oldest texts without enrichment, judge feedback; all zero when idle.

        Raises `StopError` when the encoder cannot be loaded.
        """
        writes = self._buffer.writes
        if writes == self._nothing_waited_at:
            # Looking costs tens of milliseconds of a core, which a training child beside it needs.
            return EnrichOutcome()
        mixed = self._read_documents()
        resolved = self._buffer.resolve_waiting()
        articles, dropped_by_articles = self._enrich("articles")
        examples, dropped_by_examples = self._enrich("examples")
        withdrawn = self._buffer.withdraw_weak_labels()
        if withdrawn:
            _log.info("weak_labels.withdrawn", rows=withdrawn)
        judged = self._judge(behind=examples == self._settings.batch_size)
        # Also when nothing waited: predictions are written by ingest alone, and nobody else compacts their table.
        self._buffer.optimize_if_due()
        busy = resolved or articles or examples or withdrawn or judged.judged or judged.waiting
        self._nothing_waited_at = None if busy else writes
        if not busy:
            self._in_progress.nothing_waits()
        return EnrichOutcome(
            resolved, articles, examples, mixed + dropped_by_articles + dropped_by_examples, judged.judged, judged.raised,
            waiting_since=self._buffer.waiting_since(),
        )  # fmt: skip

    def _judge(self, *, behind: bool) -> JudgeOutcome:
        self._steps_since_judged += 1
        if behind and self._steps_since_judged < _JUDGE_EVERY:
            return JudgeOutcome(waiting=True)
        self._steps_since_judged = 0
        return self._buffer.judge_feedback(self._feedback, patience=_PATIENCE)

    def _enrich(self, table: TextTable) -> tuple[int, int]:
        """Enrich the oldest texts; those that it fails on are set aside.

        Returns how many texts left the backlog, and how many older rows left training because of them.
        """
        rows = self._buffer.unenriched(table, self._settings.batch_size)
        if not rows:
            return 0, 0
        suspects = set(self._in_progress.suspects([row.row_id for row in rows]))
        for row_id in suspects:
            self._set_aside(table, row_id, f"the process ended {MOST_ENDS} times while this text alone was being enriched")
        by_id = {row.row_id: row for row in rows if row.row_id not in suspects}
        dropped = 0
        for portion in self._in_progress.portions(list(by_id)):
            with self._in_progress.holding(portion):
                counts, faulty = isolated(
                    [by_id[row_id] for row_id in portion], lambda some: self._place(table, some), check=self._buffer.check
                )
            dropped += sum(counts)
            for one in faulty:
                _log.error("enrich.failed_on_a_text", table=table, row_id=one.row.row_id, exc_info=one.error)
                self._set_aside(table, one.row.row_id, f"enrichment failed on it ({in_words(one.error)})")
        return len(rows), dropped

    def _set_aside(self, table: TextTable, row_id: str, what: str) -> None:
        self._buffer.set_aside(table, row_id, what)
        _log.error(
            "enrich.set_aside", table=table, row_id=row_id, reason=what,
            next="it is kept, not learnt from. A new version of Perennial, or a reload of the task files "
            "(SIGHUP), tries it again",
        )  # fmt: skip

    def _place(self, table: TextTable, rows: Sequence[TextRow]) -> int:
        """Enrich these texts; return how many older rows left training because of them."""
        started = self._clock()
        keys = {row.row_id: content_sha256(row.text) for row in rows}
        equal = self._buffer.equal_texts(sorted(set(keys.values())))
        vectors = self._vectors(rows, keys, equal)
        shares = {task: self._share(task) for task in {row.task for row in rows}}
        texts = [
            NewText(
                row.row_id, keys[row.row_id], row.event_time, vectors[keys[row.row_id]].vector,
                anchor=row.anchor, takes_out=row.verdict is None,
                document=document_of(row.document_id, row.article_id),
                is_part=row.document_id is not None and row.verdict is None,
                outline=outline(row.text), test_fraction=shares[row.task],
                wanted_for_test=row.selected_by == RANDOM and row.verdict is None,
            )
            for row in rows
        ]  # fmt: skip
        try:
            placements = self._stories().place(texts, {one.text_sha256: one.story_id for one in equal})
            dropped = self._drop(placements)
            taken_out = {row_id for placement in placements for row_id in placement.dropped}
            findings = [
                self._finding(row, text, placement, vectors[keys[row.row_id]], dropped=row.row_id in taken_out)
                for row, text, placement in zip(rows, texts, placements, strict=True)
            ]
            self._buffer.apply_enrichment(table, findings)
        except BaseException:
            # The index is ahead of the buffer now: it would hold rows for placed or dropped that are stored as neither. The next
            # attempt reads what is stored.
            self._documents = self._index = None
            raise
        _log.debug("enriched", table=table, rows=len(rows), seconds=round((self._clock() - started).total_seconds(), 3))
        return dropped

    def _vectors(self, rows: Sequence[TextRow], keys: dict[str, str], equal: Sequence[StoryMember]) -> dict[str, TextVector]:
        """Return the vector of each different text; an article's vector serves the example with the same text."""
        encoder = self._loaded_encoder()
        own = encoder.encoder_id
        vectors = {member.text_sha256: TextVector(member.embedding, own) for member in equal if member.encoder_id == own}
        missing = {keys[row.row_id]: row.text for row in rows if keys[row.row_id] not in vectors}
        return vectors | dict(zip(missing, vectors_of(encoder, list(missing.values())), strict=True))

    def _drop(self, placements: Sequence[Placement]) -> int:
        """Take older rows out of training *before* the texts that tie them are stored.

        After a crash in between, those texts are placed again and find the story dropped; the other way round nothing would
        ever drop it.
        """
        new = {placement.row_id for placement in placements}
        reasons: dict[str, str] = {}
        for placement in placements:
            older = [row_id for row_id in placement.dropped if row_id not in new]
            if older:
                reason = moves.tied_to_story(placement.story_id, placement.row_id)
                reasons |= dict.fromkeys(older, reason)
                _log.info("story_dropped", rows=len(older), tied_by=placement.row_id, held_out=placement.story_id)
        # All at once: each call rewrites rows and makes them durable.
        return self._buffer.drop_from_training(reasons) if reasons else 0

    def _finding(self, row: TextRow, text: NewText, placement: Placement, vector: TextVector, *, dropped: bool) -> Enrichment:
        found = quality.assess(row.text)
        return Enrichment(
            row_id=row.row_id,
            language=language.identify(row.text),
            quality=found.score,
            quality_reasons=found.reasons,
            embedding=vector.vector,
            encoder_id=vector.encoder_id,
            story_id=placement.story_id,
            split="dropped" if dropped else placement.split,
            outline=text.outline,
            words=found.words,
        )

    def _changes(self) -> tuple[int, int]:
        return self._buffer.erasings, self._buffer.splits_moved

    def _read_documents(self) -> int:
        """Read where each document stands, unless that is known; return how many rows stood on a wrong side and were dropped."""
        if self._known != self._changes():
            # The index may hold vectors of texts that are erased by now, and texts where they stand no more.
            self._documents, self._index, self._known = None, None, self._changes()
        if self._documents is not None:
            return 0
        self._documents, dropped = self._buffer.documents()
        self._index = None
        if dropped:
            _log.warning("documents_on_both_sides", rows=dropped, next="their training side is dropped; the test side stays")
        return dropped

    def _stories(self) -> StoryIndex:
        self._read_documents()
        if self._index is None:
            self._index = StoryIndex(
                similarity=self._settings.story_similarity,
                window=timedelta(days=self._settings.story_window_days),
                test_fraction=self._settings.test_fraction,
                dimensions=self._loaded_encoder().dimensions,
                load=self._members,
                rows_of_stories=self._buffer.rows_of_stories,
                documents=self._documents,
                rows_of_document=self._buffer.training_rows_of,
                trains=self._buffer.trains,
            )
        return self._index

    def _members(self, start: datetime, end: datetime) -> Iterator[Member]:
        """Yield the placed rows of [start, end); the vectors of another encoder say nothing beside this one's."""
        last = end - _SHORTEST_STEP
        for member in self._buffer.recent_stories(last, last - start):
            encoder = self._loaded_encoder()
            comparable = member.encoder_id == encoder.encoder_id or (
                member.encoder_id == ngrams.ENCODER_ID and len(member.embedding) == encoder.dimensions
            )
            yield Member(
                row_id=member.row_id,
                text_key=member.text_sha256,
                event_time=member.event_time,
                vector=member.embedding if comparable else None,
                story_id=member.story_id,
                split=member.split,
                counts=member.counts,
                outline=member.outline,
            )

    def _loaded_encoder(self) -> TextEncoder:
        if self._encoder is None:
            self._encoder = _load(self._settings)
            _log.info("encoder_loaded", encoder=self._encoder.encoder_id)
        return self._encoder


def _load(settings: EnrichSettings) -> Encoder:
    # Only the process that enriches pays for torch, and only once there is a text.
    with collector.resting():
        from consumers.enrichment.embedding import Encoder  # noqa: PLC0415 - loads torch: see above

    return Encoder(settings.encoder, variant_after=_VARIANT_AFTER_TEXTS if settings.export == "auto" else None)
