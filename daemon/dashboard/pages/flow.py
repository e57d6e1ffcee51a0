"""Flow, the start page: the loop turning, and for each task why a run is or is not due."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from starlette.responses import Response

from config.words import counted
from daemon.dashboard import shown
from daemon.dashboard.routing import Look
from daemon.views.installation import alerts
from daemon.views.installation.serving_pace import ServingPace
from daemon.views.models.runs import STANDING_STILL
from daemon.views.task.task_status import due_in_words

if TYPE_CHECKING:  # brings LanceDB, which a page that nobody has opened needs not
    from daemon.views.installation.status import Status
    from daemon.views.task.task_status import TaskStatus

_PARTS = ("head", "alerts", "loop", "tasks")


class Stage(NamedTuple):
    """One station of the loop."""

    name: str
    figure: str
    unit: str
    busy: bool
    """Whether something moves here now."""
    note: str


def page(look: Look) -> Response:
    """Return the start page."""
    return look.page("flow.html", here="Flow", **_values(look))


def parts(look: Look) -> dict[str, str]:
    """Return what of the page changes, by the name of its event."""
    values = _values(look)
    if values["status"] is None:
        return {}
    now = look.sources.clock()
    return {name: look.render.part("flow.html", name, visitor=look.visitor, now=now, **values) for name in _PARTS}


def _values(look: Look) -> dict[str, Any]:
    status, pace = look.sources.status_or_none(), look.sources.pace()
    found = () if status is None else (*status.alerts, *(alerts.of_serving(pace.problems) if pace else ()))
    failed = _newest_failed(status)
    return {
        "failed": failed.last_failed if failed else None,
        "failed_task": failed.task if failed else "",
        "status": status,
        "pace": pace,
        "alerts": found,
        "stages": _stages(status, pace) if status else (),
        "due": {task.task: due_in_words(task) for task in status.tasks} if status else {},
    }


def _newest_failed(status: Status | None) -> TaskStatus | None:
    """Return the task whose run failed last."""
    ended = [
        (task.last_failed.finished_at, task)
        for task in (status.tasks if status else ())
        if task.last_failed is not None and task.last_failed.finished_at is not None
    ]
    return max(ended, key=lambda pair: pair[0])[1] if ended else None


def _stages(status: Status, pace: ServingPace | None) -> tuple[Stage, ...]:
    """Return the stations of the loop, in the order of the data."""
    waiting = sum(status.lag.values())
    behind = sum(one.texts for one in status.backlog.values())
    prepared = f"{shown.rate(status.enriched_per_s)} a second" if status.enriched_per_s else "no pace yet"
    return (
        Stage(
            "Events", shown.rate(status.stored_per_s or 0.0), "per second", busy=bool(status.stored_per_s),
            note="log unreadable" if status.log_problem else f"{shown.count(waiting)} not read yet" if waiting else "all read",
        ),
        Stage(
            "Buffer", shown.count(sum(status.tables.values())), "rows", busy=False,
            note=counted(status.dead_letters, "dead letter") if status.dead_letters else "no dead letters",
        ),
        Stage("Enrichment", shown.count(behind), "behind", busy=behind > 0, note=prepared if behind else "up to date"),
        _training(status),
        _verdict(status),
        Stage(
            "Serving", shown.rate(pace.requests_per_s if pace else None), "per second",
            busy=bool(pace and pace.requests_per_s), note=_tail(status, pace),
        ),
    )  # fmt: skip


def _training(status: Status) -> Stage:
    going = next((task for task in status.tasks if task.run is not None), None)
    if going is None or going.run is None:
        return Stage("Training", "idle", "", busy=False, note="no run under way")
    at = going.run.progress
    busy, phase = going.run.state not in STANDING_STILL, at.phase if at else going.run.state
    figure = f"{at.step / at.steps:.0%}" if at is not None and at.steps else phase
    kind = going.run.kind if going.run.kind == "refresh" else f"{going.run.kind} run"
    note = f"{going.task}, {kind}" if figure == phase else f"{going.task}, {kind}: {phase}"
    return Stage("Training", figure, "", busy=busy, note=note)


def _verdict(status: Status) -> Stage:
    ended = [(task.last_run.finished_at, task) for task in status.tasks if task.last_run and task.last_run.finished_at]
    if not ended:
        return Stage("Verdict", "none yet", "", busy=False, note="no run has ended")
    _at, task = max(ended, key=lambda pair: pair[0])
    word = task.last_run.word if task.last_run else ""
    return Stage("Verdict", word, "", busy=False, note=(task.last_run.version if task.last_run else None) or task.task)


def _tail(status: Status, pace: ServingPace | None) -> str:
    if pace is None:
        return "not running" if status.serving is None else "see the page of serving"
    if pace.p99_ms is None:
        return "no request of late"
    return "p99 over 10 s" if math.isinf(pace.p99_ms) else f"p99 {pace.p99_ms:.0f} ms"
