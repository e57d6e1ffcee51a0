"""The page of one label: what it says, which verdicts it took part in, and a form to correct it."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from config.errors import RetryError, UserError
from daemon.dashboard import routing
from daemon.dashboard.pages import acting
from daemon.dashboard.routing import Look
from daemon.labelling import answering
from registry.people.audit import By

_DONE = {
    "led": "The correction is sent and in force within seconds; then verdicts that the label took part in are marked.",
    "waits": "The correction is sent; it is in force once a daemon runs. Verdicts that the label took part in are marked then.",
}
"""What the page says after a correction."""


def page(look: Look) -> Response:
    """Return the label that is named, or the form that asks for one."""
    label_id = look.query.get("id", "").strip()
    if not label_id:
        return look.page("label.html", here="Feedback", label=None)
    return _label(look, label_id)


def correct(look: Look) -> Response:
    """Correct a label as `perennial correct` does; what cannot be taken is said on the page, with what was filled in."""
    from daemon.labelling import correcting  # noqa: PLC0415 - loads numpy

    label_id, sources = look.form.get("id", "").strip(), look.sources
    try:
        annotator = _annotator(look)
        by = By(acting.by(look), acting.why(look))
        with acting.registry(look) as registry:
            at = correcting.At(sources.settings, sources.tasks, registry, sources.reader.buffer)
            led = correcting.correct(at, label_id, _said(look), annotator=annotator, by=by)
    except (UserError, RetryError) as problem:
        return _label(look, label_id, problem=str(problem), given=look.form, code=routing.code_of(problem))
    sources.look_anew()
    return routing.redirect(f"/ui/label?{urlencode({'id': label_id, 'done': 'led' if led else 'waits'})}")


def _label(look: Look, label_id: str, *, problem: str = "", given: Any = None, code: int = 200) -> Response:  # noqa: ANN401 - a form
    from daemon.labelling import correcting  # noqa: PLC0415 - loads numpy
    from daemon.views.models import lineage  # noqa: PLC0415 - loads numpy

    sources = look.sources
    found = sources.reader.buffer.labels.find(label_id)
    if found is None:
        message = f"no label {label_id[:200]!r} is stored: it never came, is older than buffer.retention_days, or was erased"
        raise UserError(message)
    try:
        row = lineage.of_row(sources.reader.registry, sources.settings.evidence_dir, label_id, sources.reader.buffer)
    except UserError:
        # Nobody has learnt it, and no verdict was reached on it: it is a label all the same.
        row = None
    return look.page(
        "label.html", here="Feedback", code=code, label=found, row=row, problem=problem, given=given or {},
        why_not=correcting.obstacle(sources.tasks, found), one_label=set(found.target) == {"label"},
        names=_names(look, found.task), fixed=_has_key(look), done=_DONE.get(look.query.get("done", ""), ""),
    )  # fmt: skip


def _said(look: Look) -> dict[str, Any]:
    """Return what is right by the form: a label, or a target as JSON."""
    if label := look.form.get("label", "").strip():
        return {"label": label}
    try:
        said = json.loads(look.form.get("target", ""))
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        message = 'what is right is missing, or is no JSON object such as {"labels": ["sport"]}; nothing was corrected'
        raise UserError(message)
    return said


def _names(look: Look, task: str) -> list[str]:
    """Return the labels that the task file declares, to choose from."""
    spec = look.sources.tasks.get(task)
    return [one.name for one in spec.declared] if spec is not None else []


def _has_key(look: Look) -> bool:
    return look.visitor.name.startswith(answering.KEY)


def _annotator(look: Look) -> str:
    """Return whose correction it is: the holder of the key, else the name that was given."""
    if _has_key(look):
        return answering.annotator_of(look.visitor.name, key=True)
    return answering.annotator_of(look.form.get("annotator", ""))
