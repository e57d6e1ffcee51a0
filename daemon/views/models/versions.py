"""Versions: how each fared and whether it answers, the moves of the champion, and how two versions differ."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from daemon.views.models import changes, runs
from daemon.views.models.changes import Changes
from daemon.views.models.comparison import Comparison, Scale
from daemon.views.models.runs import Run
from daemon.views.view import JsonFloat, View
from registry.aliases import MoveKind
from registry.runs import Verdict
from registry.store import Registry
from registry.versions import Lineage
from registry.versions import Version as Record


class Version(View):
    """One version, with its verdict and the alias it carries."""

    name: str
    """For example `news-topics/v17`."""
    task: str
    number: int
    created_at: datetime
    size_bytes: int
    parent: str | None
    champion: bool
    alias: str | None
    """`champion` or `previous`."""
    pinned: bool
    verdict: Verdict | None
    metric: str | None
    scale: Scale | None
    score: JsonFloat | None
    against: str | None
    """What it was compared with: a version, or `baseline: ...`."""
    opponent_score: JsonFloat | None
    erased_texts: Literal["learnt"] | None
    """Whether it has learnt from texts that were erased, itself or through a parent."""
    metrics: dict[str, Any]
    """What its run reported of itself."""

    def format_score(self, score: float) -> str:
        """Return a score of its metric as people read it."""
        return (self.scale or Scale(title="")).format_score(score)


class VersionRecord(View):
    """All that the registry keeps of one version."""

    name: str
    task: str
    number: int
    run_id: str
    artifact_id: str
    manifest_sha256: str
    size_bytes: int
    parent: str | None
    lineage: Lineage
    metrics: dict[str, Any]
    created_at: datetime
    collected_at: datetime | None
    """When its files were removed."""
    affected_at: datetime | None
    """When a text that it learnt from, itself or through a parent, was erased."""


class VersionOfRun(View):
    """A version beside the run that made it; no run: its record is gone."""

    version: VersionRecord
    run: Run | None


class Move(View):
    """One move of a champion: what was done, by whom and why."""

    task: str
    kind: MoveKind
    generation: int
    from_version: str | None
    to_version: str
    actor: str
    reason: str
    moved_at: datetime


class Difference(View):
    """One value that differs; None where a side does not have it."""

    key: str
    left: str | JsonFloat | int | bool | None
    right: str | JsonFloat | int | bool | None


class Diff(View):
    """All that differs between two versions, and which rows the scores among it are of, in words."""

    differences: tuple[Difference, ...]
    scores: str
    changes: Changes | None = None
    """The answers that changed; None where they are not known."""
    not_asked: str | None = None
    """Why they are not."""


def newest(registry: Registry, task: str | None = None, limit: int | None = None, *, offset: int = 0) -> list[Version]:
    """Return the newest versions first, of one task or of all; `offset` passes over so many.

    Raises `RetryError` when the registry cannot be read now.
    """
    return _views(registry, registry.versions.list(task, limit, offset=offset))


def of_name(registry: Registry, name: str) -> VersionOfRun:
    """Return one version with its run. Raises `UserError` when there is none of that name."""
    version = registry.versions.get(name)
    run = registry.runs.find(version.run_id)
    return VersionOfRun(version=VersionRecord.model_validate(version), run=runs.of(run) if run else None)


def history(registry: Registry, task: str) -> list[Move]:
    """Return every promotion, rollback, pin and unpin of a task, oldest first."""
    return [Move.model_validate(move) for move in registry.versions.history(task)]


def answering_at(registry: Registry, task: str, moment: datetime) -> Move | None:
    """Return the move by which a version had become the champion of a task at a moment; None before the first."""
    moves = (move for move in history(registry, task) if move.kind in ("promote", "rollback") and move.moved_at <= moment)
    return max(moves, key=lambda move: move.generation, default=None)


def difference(registry: Registry, left: str, right: str, runs_dir: Path, *, limit: int = 10) -> Diff:
    """Return how two versions differ, with the answers that changed where a run has compared the two; `limit` of them.

    Raises `UserError` when one does not exist.
    """
    from registry.reports import diff  # noqa: PLC0415 - only this needs it

    found = changes.recorded(registry, runs_dir, left, right, limit=limit)
    return Diff.model_validate(diff.between(registry, left, right)).model_copy(update={"changes": found})


def _views(registry: Registry, records: Sequence[Record]) -> list[Version]:
    aliases = {alias.version: alias for task in {record.task for record in records} for alias in registry.versions.aliases(task)}
    made_by = registry.runs.several([record.run_id for record in records])
    found = []
    for record in records:
        alias, run = aliases.get(record.name), made_by.get(record.run_id)
        compared = Comparison.model_validate((run.comparison if run else None) or {})
        found.append(
            Version(
                name=record.name,
                task=record.task,
                number=record.number,
                created_at=record.created_at,
                size_bytes=record.size_bytes,
                parent=record.parent,
                champion=alias is not None and alias.name == "champion",
                alias=alias.name if alias else None,
                pinned=alias.pinned if alias else False,
                verdict=run.verdict if run else None,
                metric=compared.metric,
                scale=compared.scale,
                score=compared.candidate_score,
                against=compared.opponent,
                opponent_score=compared.champion_score,
                erased_texts="learnt" if record.affected_at else None,
                metrics=dict(record.metrics),
            )
        )
    return found
