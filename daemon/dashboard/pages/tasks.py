"""The page of one task: how its champion has done, what it knows, what it waits for, and the buttons."""

from __future__ import annotations

from functools import partial
from typing import Any

from starlette.responses import JSONResponse, Response

from config.errors import UserError
from config.tasks import TaskSpec
from daemon.dashboard.bars import bar_plot
from daemon.dashboard.pages import acting
from daemon.dashboard.rendering import HEADERS
from daemon.dashboard.routing import Look
from daemon.views import tasks
from daemon.views.models import runs, sentences, versions
from daemon.views.models import scores as courses
from daemon.views.task import labels_over_time
from daemon.views.task.task_status import TaskStatus, due_in_words

_CHARTS: tuple[tuple[str, labels_over_time.Said], ...] = (
    ("Labels and corrections that came", "examples"), ("Answers that models gave", "predictions"),
)  # fmt: skip
_NEWEST = 10
_OLDER_VERSIONS = 20


def page(look: Look) -> Response:
    """Return the page of a task."""
    spec = task_of(look)
    reader = look.sources.reader
    registry, status = reader.registry, _status(look, spec.name)
    champion = status.champion if status else None
    version = versions.of_name(registry, champion) if champion else None
    course = courses.course(registry, spec.name)
    newest = versions.newest(registry, spec.name, _OLDER_VERSIONS)
    listed = runs.listed(registry, spec.name, _NEWEST)
    decided = next((one.run_id for one in listed if one.verdict is not None), None)
    return look.page(
        "task.html",
        here=spec.name,
        spec=spec,
        done=acting.DONE.get(look.query.get("done", ""), ""),
        status=status,
        due=due_in_words(status) if status else "",
        words=None if decided is None else sentences.of(registry, decided, look.sources.tasks, look.sources.settings),
        policy=tasks.in_words(tasks.Task.model_validate({**spec.model_dump(), "champion": champion})),
        labels=courses.labels_of(version.run.comparison if version and version.run else None),
        course=course,
        moves=list(reversed(course.moves))[:_NEWEST],
        runs=listed,
        weeks=look.sources.kept(f"weeks/{spec.name}", partial(courses.weeks, registry, spec.name, look.sources.clock())),
        back=[("", "the previous champion"), *((one.name, one.name) for one in newest if not one.champion)]
        if registry.versions.previous(spec.name) is not None
        else [],
    )


def scores(look: Look) -> Response:
    """Return the course of a task's scores as the plot takes it: times in seconds, then one list for each side."""
    course = courses.course(look.sources.reader.registry, task_of(look).name)
    points = course.points
    marks = [
        {"at": move.moved_at.timestamp(), "kind": move.kind, "text": f"{move.kind} {move.to_version.partition('/')[2]}"}
        for move in course.moves
        if move.kind in ("promote", "rollback")
    ]
    told: dict[str, Any] = {
        "series": ["candidate", "its opponent on the same rows"],
        "x": [point.at.timestamp() for point in points],
        "y": [[point.candidate_score for point in points], [point.champion_score for point in points]],
        "marks": marks,
        "time": True,
    }
    return JSONResponse(told, headers=dict(HEADERS))


def labels(look: Look) -> Response:
    """Return how often each label was given by week, by people and by models: a piece of the page, which does not wait for it."""
    spec, buffer = task_of(look), look.sources.reader.buffer
    charts = []
    for title, said in _CHARTS:
        read = partial(labels_over_time.read, buffer, spec, said, look.sources.clock())
        seen = look.sources.kept(f"labels/{spec.name}/{said}", read)
        charts.append((title, seen, bar_plot(seen)))
    return look.render.fragment("_labels.html", charts=charts)


def task_of(look: Look) -> TaskSpec:
    """Return the task that an address names. Raises `UserError` where there is none."""
    name = look.params["task"]
    found = look.sources.tasks.get(name)
    if found is None:
        message = f"task {name[:80]!r} has no task file here; the tasks are {', '.join(sorted(look.sources.tasks))}"
        raise UserError(message)
    return found


def _status(look: Look, task: str) -> TaskStatus | None:
    found = look.sources.status_or_none()
    return next((one for one in found.tasks if one.task == task), None) if found else None
