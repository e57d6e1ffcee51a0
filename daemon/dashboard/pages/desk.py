"""The desk: one text after another, asked of whoever labels; every answer is an event."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from config.errors import RetryError, UserError
from config.tasks import TaskSpec
from daemon.dashboard import routing
from daemon.dashboard.routing import Look
from daemon.labelling import answering
from daemon.labelling.answering import Told
from daemon.views.desk import models, reading
from registry.store import Registry

_MOST_TOLD = 500
_told: OrderedDict[str, Told] = OrderedDict()
"""What came of the last answers, until the page that follows has told it: no address can make the page say anything else."""


def page(look: Look) -> Response:
    """Return the next text of a task, or the one that is named."""
    task, annotator = _chosen_task(look.query.get("task", ""), look), _annotator(look, look.query.get("annotator", ""))
    if task is None or not annotator:
        values: dict[str, Any] = {
            "task": task,
            "annotator": annotator,
            "fixed": _has_key(look),
            "lane": look.query.get("lane", ""),
        }
        return look.page("desk.html", here="Desk", desk=None, **values)
    told = _told.pop(look.query.get("told", ""), None)
    return _desk(look, task, annotator, look.query.get("lane", ""), look.query.get("item", ""), told=told)


def answer(look: Look) -> Response:
    """Take in one answer and go on to the next text."""
    task = _task(look.params["task"], look)
    annotator = _annotator(look, look.form.get("annotator", ""))
    lane, item = look.params["lane"], look.form.get("item", "")
    source = f"desk, {look.visitor.name}"
    try:
        with Registry.open(look.sources.settings.registry_url, clock=look.sources.clock, create=False) as registry:
            desk = answering.Desk(
                task, annotator, source[:200], look.sources.settings, registry, look.sources.reader.buffer
            )  # fmt: skip
            told = _taken(desk, lane, item, look)
    except (UserError, RetryError) as problem:
        # The page again with what was filled in: nothing that a person did is lost.
        told = Told(str(problem), done=False)
        return _desk(look, task, annotator, lane, item, told=told, given=look.repeated, code=routing.code_of(problem))
    found = secrets.token_urlsafe(9)
    _told[found] = told
    if len(_told) > _MOST_TOLD:
        _told.popitem(last=False)
    return routing.redirect(f"/ui/desk?{urlencode({'task': task.name, 'lane': lane, 'annotator': annotator, 'told': found})}")


def _taken(desk: answering.Desk, lane: str, item: str, look: Look) -> Told:
    act, note = look.form.get("act", ""), look.form.get("note", "")
    if act == "skip":
        return desk.skip(lane, item, note)
    if act == "cannot_tell":
        return desk.cannot_tell(lane, item, note)
    if act == "reject" or act.startswith("accept:"):
        return desk.decide(item, act.partition(":")[2] or None, note)
    return desk.label(lane, item, look.repeated, note)


def _desk(
    look: Look, task: TaskSpec, annotator: str, lane: str, item: str, *, told: Told | None,
    given: Mapping[str, Sequence[str]] | None = None, code: int = 200,
) -> Response:  # fmt: skip
    reader = look.sources.reader
    found = reading.look(
        task, annotator, lane, registry=reader.registry, buffer=reader.buffer, settings=look.sources.settings, item=item
    )
    if item and not found.items:
        message = "this text is not stored any more; open the desk anew"
        raise UserError(message)
    shown = found.items[0] if found.items else None
    if given is None:
        given = reading.form_of(task).form_of(shown.yours.target) if shown and shown.yours else {}
    values: dict[str, Any] = {
        "address": _address(task.name, annotator),
        "too_long": shown is not None and _too_long(found, shown),
    }
    return look.page(
        "desk.html", here="Desk", code=code, task=task, annotator=annotator, fixed=_has_key(look), desk=found, item=shown,
        told=told, given=given, again=bool(item) and told is None, **values,
    )  # fmt: skip


def _too_long(desk: models.Desk, shown: models.Item) -> bool:
    return desk.widget == "spans" and shown.cut


def _address(task: str, annotator: str) -> str:
    """Return the beginning of the desk's addresses; a lane follows."""
    return f"/ui/desk?{urlencode({'task': task, 'annotator': annotator})}&lane="


def _chosen_task(name: str, look: Look) -> TaskSpec | None:
    tasks = look.sources.tasks
    return _task(name, look) if name else next(iter(tasks.values())) if len(tasks) == 1 else None


def _task(name: str, look: Look) -> TaskSpec:
    found = look.sources.tasks.get(name)
    if found is None:
        message = f"task {name[:80]!r} has no task file here; the tasks are {', '.join(sorted(look.sources.tasks))}"
        raise UserError(message)
    return found


def _has_key(look: Look) -> bool:
    return look.visitor.name.startswith(answering.KEY)


def _annotator(look: Look, given: str) -> str:
    """Return whose answers these are: the holder of the key, else the name that was given; empty before it is."""
    if _has_key(look):
        return answering.annotator_of(look.visitor.name, key=True)
    return answering.annotator_of(given) if given.strip() else ""
