"""Lineage both ways: what became of a correction, what is in a version, which verdicts a row took part in."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from config.errors import UserError
from daemon.views.view import View
from registry import lineage
from registry.lineage import Family
from registry.runs import Verdict

if TYPE_CHECKING:
    from consumers.buffer.reader import BufferReader
    from consumers.rows.labels.label_corrections import Course
    from registry.store import Registry


class OfCorrection(View):
    """The versions that learnt what a label or feedback event says."""

    event_id: str
    task: str
    examples: tuple[str, ...]
    """The examples that teach the same of the same text: who learnt one of them has learnt it."""
    learnt_by: tuple[str, ...]
    """Versions whose own training rows held it, oldest first."""
    included_in: tuple[str, ...]
    """Those and the versions that go on from them."""
    champion: str | None
    in_champion: bool


class LearntCorrection(View):
    """One correction that is in a version."""

    event_id: str
    learnt_by: str
    """The version whose own training rows held it: this one, or one that it goes back to."""


class OfVersion(View):
    """What a version learnt from."""

    version: str
    task: str
    ancestors: tuple[str, ...]
    """What it goes back to, the nearest first; none: the base model."""
    run_id: str
    training_set_sha256: str
    examples: int
    """That it or one of its ancestors learnt."""
    own_examples: int
    corrections: tuple[LearntCorrection, ...]
    """Those of users that are still stored, by event id, at most as many as were asked for."""
    corrections_total: int
    no_longer_stored: int
    """Examples that it learnt and the buffer holds no more: what they were is not known."""
    continued_by: tuple[str, ...]
    """Versions that go back to it."""
    decided_by: str | None
    """The run's verdict in a word; None while there is none."""


class Part(View):
    """A verdict that a row took part in."""

    run_id: str
    version: str | None
    verdict: Verdict | None
    decided_at: datetime | None
    role: str | None
    """`test`: it decided; `anchor`, `corrections`: reported, or a guard. None: the evidence is gone."""
    gold: dict[str, Any] | None
    candidate: dict[str, Any] | None
    opponent: dict[str, Any] | None


class Retired(View):
    """When a test row went to training, and why."""

    at: datetime
    why: str


class CorrectedLabel(View):
    """What a label said at first, and says now."""

    first: dict[str, Any]
    now: dict[str, Any]
    by: str
    """The event that corrected it last."""


class OfRow(View):
    """Where one row was learnt and tested."""

    row_id: str
    retired: Retired | None = None
    """None: it has not gone from the test side to training."""
    corrected: CorrectedLabel | None = None
    """None: it says what it said at first."""
    learnt_by: tuple[str, ...]
    included_in: tuple[str, ...]
    decisions: tuple[Part, ...]
    """Oldest first."""


def of_correction(registry: Registry, buffer: BufferReader, event_id: str) -> OfCorrection:
    """Return who learnt what an event says. Raises `UserError` for an event that is not stored."""
    fate = buffer.feedback_fate(event_id)
    if fate is None:
        message = f"no label or feedback {event_id[:200]!r} is stored; use the event_id of its 202 answer"
        raise UserError(message)
    same = buffer.explain(fate).same_answer or (fate.example_id or event_id,)
    learners = registry.versions.who_learnt(fate.task, same)
    champion = registry.versions.champion(fate.task)
    included = Family.of(registry, fate.task).including(learners)
    return OfCorrection(
        event_id=event_id,
        task=fate.task,
        examples=same,
        learnt_by=tuple(learners),
        included_in=tuple(included),
        champion=champion.version if champion else None,
        in_champion=champion is not None and champion.version in included,
    )


def of_version(registry: Registry, buffer: BufferReader | None, name: str, *, limit: int) -> OfVersion:
    """Return what a version learnt from; without a buffer, corrections are not told apart. Raises `UserError` for none such."""
    version = registry.versions.get(name)
    family = Family.of(registry, version.task)
    stored = buffer.example_ids() if buffer is not None else frozenset()
    of_users = buffer.feedback_ids(version.task) if buffer is not None else frozenset()
    examples, gone, own = 0, 0, 0
    corrections: list[LearntCorrection] = []
    for ancestor in (name, *family.ancestors(name)):
        learnt = lineage.learnt_by(registry, ancestor)
        own = len(learnt) if ancestor == name else own
        examples += len(learnt)
        gone += sum(one not in stored for one in learnt)
        corrections += [LearntCorrection(event_id=one, learnt_by=ancestor) for one in learnt if one in of_users]
    run = registry.runs.find(version.run_id)
    return OfVersion(
        version=name,
        task=version.task,
        ancestors=tuple(family.ancestors(name)),
        run_id=version.run_id,
        training_set_sha256=version.lineage.training_set_sha256,
        examples=examples,
        own_examples=own,
        corrections=tuple(corrections[:limit]),
        corrections_total=len(corrections),
        no_longer_stored=gone,
        continued_by=tuple(one for one in family.including([name]) if one != name),
        decided_by=run.verdict if run else None,
    )


def of_row(registry: Registry, evidence_dir: Path, row_id: str, buffer: BufferReader | None = None) -> OfRow:
    """Return where a row was learnt and which verdicts it took part in; with the buffer, also whether it has retired.

    Raises `UserError` where none of it is known.
    """
    learners = lineage.learners_of(registry, row_id)
    decisions = _decisions(registry, evidence_dir, row_id)
    course = buffer.labels.course(row_id) if buffer is not None else None
    if not learners and not decisions and (course is None or not (course.retired_at or course.corrected)):
        message = (
            f"no version has learnt row {row_id[:200]!r}, and no verdict that is known was reached on it. Rows are called by "
            "the event id of their label; looks go with buffer.retention_days, evidence with the record of its run"
        )
        raise UserError(message)
    included: list[str] = []
    for task in dict.fromkeys(name.rsplit("/", 1)[0] for name in learners):
        included += Family.of(registry, task).including(learners)
    return OfRow(
        row_id=row_id, retired=_retired(course), corrected=_corrected(course), learnt_by=tuple(learners),
        included_in=tuple(included), decisions=decisions,
    )  # fmt: skip


def _retired(course: Course | None) -> Retired | None:
    return (
        None if course is None or course.retired_at is None else Retired(at=course.retired_at, why=course.retired_because or "")
    )


def _corrected(course: Course | None) -> CorrectedLabel | None:
    if course is None or course.corrected is None:
        return None
    found = course.corrected
    return CorrectedLabel(first=json.loads(found.first), now=json.loads(found.target), by=found.by)


def _decisions(registry: Registry, evidence_dir: Path, row_id: str) -> tuple[Part, ...]:
    rows = lineage.parts_of(registry, evidence_dir, row_id)
    known = registry.runs.several(list(rows))
    found = sorted((run for run in known.values() if run.finished), key=lambda run: (run.created_at, run.run_id))
    return tuple(
        Part(
            run_id=run.run_id, version=run.version, verdict=run.verdict, decided_at=run.finished_at,
            role=(rows[run.run_id] or {}).get("role"), gold=_said(rows[run.run_id], "gold"),
            candidate=_said(rows[run.run_id], "candidate"), opponent=_said(rows[run.run_id], "opponent"),
        )
        for run in found
    )  # fmt: skip


def _said(row: dict[str, Any] | None, side: str) -> dict[str, Any] | None:
    if row is None:
        return None
    try:
        said = json.loads(row[side])
    except (ValueError, TypeError, KeyError):
        return None
    return said if isinstance(said, dict) else None
