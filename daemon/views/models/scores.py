"""The course of a task: what candidate and opponent scored on the same rows, run by run, and every move of the champion."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from daemon.views.models import runs
from daemon.views.models.comparison import Comparison, Part, Scale
from daemon.views.models.versions import Move, history
from daemon.views.view import JsonFloat, View
from registry.runs import Verdict

if TYPE_CHECKING:
    from registry.store import Registry

MOST_RUNS = 100
"""Each carries a whole comparison: more take longer to read than a page may take."""
_LABEL = "label:"
_WEEKS = 8


class Scored(View):
    """What one run measured. Scores of different runs are of different rows."""

    run_id: str
    version: str | None
    at: datetime
    verdict: Verdict
    rows: int | None
    champion: str | None
    """The version it was compared with, or `baseline: ...`."""
    champion_score: JsonFloat
    candidate_score: JsonFloat


class Course(View):
    """The newest decided runs of a task that had rows to compare on, oldest first, and the moves of its champion since."""

    task: str
    scale: Scale | None
    points: tuple[Scored, ...]
    moves: tuple[Move, ...]


class LabelOfChampion(View):
    """How the champion did on one label, on the rows that decided its promotion."""

    name: str
    rows: int
    """Test rows that carry it."""
    f1: JsonFloat
    opponent_f1: JsonFloat


class Week(View):
    """What runs took in one week."""

    begins: datetime
    runs: int
    seconds: float
    """From start to end of each run, by the clock."""


def course(registry: Registry, task: str) -> Course:
    """Return the course of a task. Raises `RetryError`."""
    found = [run for run in runs.listed(registry, task, MOST_RUNS) if run.state == "decided" and run.finished_at]
    points = [point for run in reversed(found) if (point := _scored(run)) is not None]
    since = points[0].at if len(found) == MOST_RUNS and points else None
    moves = [move for move in history(registry, task) if since is None or move.moved_at >= since]
    scale = next((run.comparison.scale for run in found if run.comparison and run.comparison.scale), None)
    return Course(task=task, scale=scale, points=tuple(points), moves=tuple(moves))


def labels_of(comparison: Comparison | None) -> tuple[LabelOfChampion, ...]:
    """Return the labels of a comparison, those with most rows first; of texts with one label, those with enough rows."""
    if comparison is None:
        return ()
    if comparison.labels:
        found = [
            LabelOfChampion(name=one.name, rows=one.rows, f1=one.candidate.f1, opponent_f1=one.champion.f1)
            for one in comparison.labels
        ]
    else:
        found = [_label(part) for part in comparison.slices if part.name.startswith(_LABEL)]
    return tuple(sorted(found, key=lambda label: (-label.rows, label.name)))


def weeks(registry: Registry, task: str, now: datetime) -> tuple[Week, ...]:
    """Return what the runs of the last eight weeks took, oldest week first; weeks begin on Monday, UTC."""
    monday = (now - timedelta(days=now.weekday())).replace(hour=0, minute=0, second=0, microsecond=0)
    starts = [monday - timedelta(weeks=back) for back in range(_WEEKS - 1, -1, -1)]
    took: dict[datetime, list[float]] = {start: [] for start in starts}
    for started, finished in registry.runs.times(task, since=starts[0]):
        begins = max(start for start in starts if start <= started)
        took[begins].append((finished - started).total_seconds())
    return tuple(Week(begins=start, runs=len(spent), seconds=sum(spent)) for start, spent in took.items())


def _scored(run: runs.Run) -> Scored | None:
    seen = run.comparison
    if seen is None or run.verdict is None or run.finished_at is None or not seen.rows:
        return None
    if seen.champion_score is None or seen.candidate_score is None:
        return None
    return Scored(
        run_id=run.run_id, version=run.version, at=run.finished_at, verdict=run.verdict, rows=seen.rows, champion=seen.opponent,
        champion_score=seen.champion_score, candidate_score=seen.candidate_score,
    )  # fmt: skip


def _label(part: Part) -> LabelOfChampion:
    return LabelOfChampion(
        name=part.name.removeprefix(_LABEL), rows=part.rows, f1=part.candidate_score, opponent_f1=part.champion_score
    )
