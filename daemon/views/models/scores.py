"""The course of a task: what candidate and opponent scored on the same rows, run by run, and every move of the champion."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from daemon.views.models.comparison import Comparison, Part, Scale
from daemon.views.models.versions import Move, history
from daemon.views.task.labels_over_time import monday_of
from daemon.views.view import JsonFloat, View
from registry.runs import Run as Record
from registry.runs import Verdict

if TYPE_CHECKING:
    from registry.store import Registry

MOST_RUNS = 100
"""Each carries a whole comparison: more take longer to read than a page may take."""
_LABEL = "label:"
_WEEKS = 8
_MOST_TIMES = 2_000


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
    cpu_s: float
    """Processor seconds of those that were counted."""
    uncounted: int
    """Runs whose processor time is unknown: an older version ran them."""
    whole: bool
    """False: it had more runs than were read."""


def course(registry: Registry, task: str) -> Course:
    """Return the course of a task. Raises `RetryError`."""
    # As records: of the comparisons, which may have hundreds of parts, a few figures are wanted.
    found = [run for run in registry.runs.list(task, MOST_RUNS) if run.state == "decided" and run.finished_at]
    points = [point for run in reversed(found) if (point := _scored(run)) is not None]
    since = points[0].at if len(found) == MOST_RUNS and points else None
    moves = [move for move in history(registry, task) if since is None or move.moved_at >= since]
    scale = next((run.comparison["scale"] for run in found if run.comparison and run.comparison.get("scale")), None)
    return Course(
        task=task, scale=None if scale is None else Scale.model_validate(scale), points=tuple(points), moves=tuple(moves)
    )


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
    monday = monday_of(now)
    starts = [monday - timedelta(weeks=back) for back in range(_WEEKS - 1, -1, -1)]
    took: dict[datetime, list[tuple[float, float | None]]] = {start: [] for start in starts}
    found = registry.runs.costs(task, since=starts[0], limit=_MOST_TIMES)
    for started, finished, cpu_s in found:
        begins = max(start for start in starts if start <= started)
        took[begins].append(((finished - started).total_seconds(), cpu_s))
    read_from = min(started for started, _finished, _cpu_s in found) if len(found) == _MOST_TIMES else starts[0]
    return tuple(
        Week(
            begins=start,
            runs=len(spent),
            seconds=sum(seconds for seconds, _cpu_s in spent),
            cpu_s=sum(cpu_s or 0.0 for _seconds, cpu_s in spent),
            uncounted=sum(cpu_s is None for _seconds, cpu_s in spent),
            whole=start >= read_from,
        )
        for start, spent in took.items()
        if start >= read_from or spent
    )


def _scored(run: Record) -> Scored | None:
    seen = run.comparison or {}
    sides = seen.get("champion_score"), seen.get("candidate_score")
    if run.verdict is None or run.finished_at is None or not seen.get("rows") or None in sides:
        return None
    return Scored(
        run_id=run.run_id, version=run.version, at=run.finished_at, verdict=run.verdict, rows=seen["rows"],
        champion=seen.get("opponent"), champion_score=sides[0], candidate_score=sides[1],
    )  # fmt: skip


def _label(part: Part) -> LabelOfChampion:
    return LabelOfChampion(
        name=part.name.removeprefix(_LABEL), rows=part.rows, f1=part.candidate_score, opponent_f1=part.champion_score
    )
