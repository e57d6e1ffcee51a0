"""Which corrections answer for their own texts until a champion has learnt them: a trusted person's that no other denies.

docs/feedback-defence.md says in words who is trusted.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from config.kinds import catalog as kinds
from config.kinds.kind import Target
from config.sections import FeedbackSettings
from config.tasks import TaskSpec
from consumers.defence import trust
from consumers.defence.agreement import relation
from consumers.defence.arrivals import TABLE
from consumers.defence.records import User, evidence_counts, record_of, user_of
from consumers.rows.arriving.event_rows import Row
from consumers.rows.eligibility import OF_PEOPLE
from consumers.rows.labels.renames import in_force, renamed
from consumers.tables.columns import is_one_of
from consumers.tables.lance import Snapshot

READ = (TABLE, "example_enrichment", "requests")
"""The tables that it follows from."""
MAX_CORRECTIONS = 10_000
"""Texts of one task that corrections answer for; of more, the newest. Serving holds them in memory."""
MAX_CHARS = 16_000_000
"""What their targets may have together, as JSON."""
# Each is looked up beside what versions have learnt; one text is not answered alike by more people than that.
_MAX_EXAMPLES = 100
# These have a say about their text. Who is distrusted, rejected, replaced, over a cap or against a label has none.
_SPEAKING = ("effective", "outvoted", "conflict", "alarm")
_FEW = 1_000


@dataclass(frozen=True, slots=True)
class Said:
    """What a trusted person said of one text."""

    row_id: str
    target: Target
    """Renames applied."""
    verdict: str
    standing: str
    accepted: bool
    """Whether a person has accepted it."""
    arrived_seq: int


@dataclass(frozen=True, slots=True)
class Correction:
    """A correction that answers."""

    text_sha256: str
    event_id: str
    target: Target
    accepted: bool
    examples: tuple[str, ...]
    """The examples that teach the same of this text, its own first."""


@dataclass(frozen=True, slots=True)
class Answering:
    """The corrections of one task that answer."""

    corrections: tuple[Correction, ...]
    """The newest first."""
    beyond: int = 0
    """Older ones for which there is no room."""


def settled(opinions: Iterable[Said]) -> Said | None:
    """Return the correction that answers, of all that trusted people said of one text; None where none does.

    The newest correction in effect answers, unless one of them says the contrary. Where a person has accepted some, only those
    are looked at.
    """
    said = list(opinions)
    said = [one for one in said if one.accepted] or said
    effective = [one for one in said if one.standing == "effective" and one.verdict == "correction"]
    newest = max(effective, key=lambda one: (one.arrived_seq, one.row_id), default=None)
    if newest is None or any(relation(newest.target, one.target) == "contrary" for one in said):
        return None
    return newest


def answering(
    snapshot: Snapshot, tasks: Mapping[str, TaskSpec], settings: FeedbackSettings, trusted_sources: Collection[str]
) -> dict[str, Answering]:
    """Return the corrections that answer, by task; tasks without any are left out. The snapshot has the tables of `READ`.

    `trusted_sources` are the sources (`key:NAME`) of API keys whose holders are trusted.
    """
    asked = {name: task for name, task in tasks.items() if task.feedback.corrections_answer}
    if not asked:
        return {}
    trusted = _Trusted(snapshot, settings, frozenset(trusted_sources))
    columns = ["task", "contributor", "source", "decision", "text_sha256", "arrived_seq"]
    where = f"standing = 'effective' AND verdict = 'correction' AND {is_one_of('task', sorted(asked))}"
    rows = trusted.among(snapshot.scan(TABLE, columns, where))
    texts: dict[str, dict[str, None]] = defaultdict(dict)
    for row in sorted(rows, key=lambda row: row["arrived_seq"], reverse=True):
        texts[row["task"]][row["text_sha256"]] = None
    if not texts:
        # As in most installations most of the time: nothing more is read.
        return {}
    chosen = {task: list(of_task)[:MAX_CORRECTIONS] for task, of_task in texts.items()}
    beyond = {task: len(of_task) - len(chosen[task]) for task, of_task in texts.items()}
    wanted = sorted({text for of_task in chosen.values() for text in of_task})
    opinions = _opinions(snapshot, wanted, asked, trusted)
    examples = _examples(snapshot, wanted)
    found = {}
    for task, of_task in sorted(chosen.items()):
        one_by_one = (_correction(asked[task], text, opinions[task, text], examples[task, text]) for text in of_task)
        corrections, without_room = _within_room([one for one in one_by_one if one is not None])
        found[task] = Answering(corrections, beyond[task] + without_room)
    return found


class _Trusted:
    """Tells whose word is taken before a model has learnt it."""

    def __init__(self, snapshot: Snapshot, settings: FeedbackSettings, sources: frozenset[str]) -> None:
        self._settings = settings
        self._sources = sources
        evidence = snapshot.scan(TABLE, ["task", "contributor", "evidence"], "evidence IS NOT NULL")
        self._records = {user: record_of(counts) for user, counts in evidence_counts(evidence).items()}
        self._users = {user for user, record in self._records.items() if self._is_trusted(record, by_source=False)}

    def among(self, rows: pa.Table) -> list[Row]:
        """Return the rows of those who are trusted (columns `task`, `contributor`, `source`, `decision`)."""
        # A user may be trusted in another task alone, so each row is looked at; this leaves few to look at.
        names = pa.array(sorted({name for _, name in self._users}), pa.string())
        maybe = pc.or_(
            pc.or_(pc.is_in(rows["contributor"], value_set=names), pc.is_in(rows["decision"], value_set=pa.array(["accept"]))),
            pc.is_in(rows["source"], value_set=pa.array(sorted(self._sources), pa.string())),
        )
        return [row for row in rows.filter(maybe).to_pylist() if self._vouches_for(row)]

    def _vouches_for(self, row: Row) -> bool:
        user: User = user_of(row)
        if row["decision"] == "accept" or user in self._users:
            return True
        return row["source"] in self._sources and self._is_trusted(self._records.get(user, trust.Record()), by_source=True)

    def _is_trusted(self, record: trust.Record, *, by_source: bool) -> bool:
        settings = self._settings
        if trust.is_excluded(record, min_evidence=settings.trust_min_evidence, exclude_below=settings.exclude_below):
            return False
        # Whoever a key vouches for need not have shown it, but must not have been wrong more often than right.
        return trust.trust(record) >= (trust.NEUTRAL if by_source else settings.answers_from_trust)


def _opinions(
    snapshot: Snapshot, texts: Sequence[str], tasks: Mapping[str, TaskSpec], trusted: _Trusted
) -> Mapping[tuple[str, str], list[Said]]:
    columns = [
        "row_id", "task", "contributor", "source", "decision", "text_sha256", "target", "verdict", "standing", "arrived_seq",
    ]  # fmt: skip
    names = {name: (in_force(snapshot, task).renames,) for name, task in tasks.items()}
    found: dict[tuple[str, str], list[Said]] = defaultdict(list)
    for rows in _about(snapshot, TABLE, texts, columns, is_one_of("standing", _SPEAKING)):
        for row in trusted.among(rows):
            if row["task"] in tasks:
                target = renamed(json.loads(row["target"]), names[row["task"]])
                accepted = row["decision"] == "accept"
                said = Said(row["row_id"], target, row["verdict"], row["standing"], accepted, row["arrived_seq"])
                found[row["task"], row["text_sha256"]].append(said)
    return found


def _examples(snapshot: Snapshot, texts: Sequence[str]) -> Mapping[tuple[str, str], list[Row]]:
    columns = ["row_id", "task", "text_sha256", "answer_sha256", "selected_by", "event_time"]
    found: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for rows in _about(snapshot, "example_enrichment", texts, columns, None):
        for row in rows.to_pylist():
            found[row["task"], row["text_sha256"]].append(row)
    return found


def _about(snapshot: Snapshot, table: str, texts: Sequence[str], columns: Sequence[str], where: str | None) -> Iterable[pa.Table]:
    """Yield the rows about these texts, piece by piece."""
    if len(texts) <= _FEW:
        yield snapshot.scan(table, columns, " AND ".join(filter(None, [is_one_of("text_sha256", texts), where])))
        return
    # One look at all rows costs less than many with long filters.
    wanted = pa.array(texts, pa.string())
    for batch in snapshot.batches(table, columns, where):
        yield pa.Table.from_batches([batch]).filter(pc.is_in(batch["text_sha256"], value_set=wanted))


def _correction(task: TaskSpec, text_sha256: str, opinions: Sequence[Said], examples: Sequence[Row]) -> Correction | None:
    chosen = settled(one for one in opinions if kinds.of(one.target) is kinds.get(task.kind))
    if chosen is None or not _can_answer(chosen.target, task):
        return None
    own = next((row for row in examples if row["row_id"] == chosen.row_id), None)
    if own is None:
        return None
    labels = [row for row in examples if row["selected_by"] in OF_PEOPLE]
    newest = max(labels, key=lambda row: (row["event_time"], row["row_id"]), default=own)
    if newest["answer_sha256"] != own["answer_sha256"]:
        # A label wins over feedback: no model will ever learn the correction.
        return None
    alike = sorted(row["row_id"] for row in examples if row["answer_sha256"] == own["answer_sha256"] and row is not own)
    return Correction(text_sha256, chosen.row_id, chosen.target, chosen.accepted, (chosen.row_id, *alike[: _MAX_EXAMPLES - 1]))


def _can_answer(target: Target, task: TaskSpec) -> bool:
    kind = kinds.get(task.kind)
    return kind.fits(target) and all(task.teaches(name) for name in kind.labels(target)) and kind.corrected(target) is not None


def _within_room(newest_first: Sequence[Correction]) -> tuple[tuple[Correction, ...], int]:
    room = MAX_CHARS
    kept: list[Correction] = []
    for one in newest_first:
        room -= len(json.dumps(one.target, ensure_ascii=False))
        if room < 0:
            break
        kept.append(one)
    return tuple(kept), len(newest_first) - len(kept)
