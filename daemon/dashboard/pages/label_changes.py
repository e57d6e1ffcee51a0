"""A task's labels with their changes, and the forms that change them: by the same action as `perennial labels`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.responses import Response

from config.errors import RetryError, UserError
from daemon.dashboard import routing
from daemon.dashboard.pages import acting
from daemon.dashboard.pages.tasks import task_of
from daemon.dashboard.routing import Look

if TYPE_CHECKING:
    from config.task_files.labels.label_changes import Change

_ASKED = re.compile(r"labels-[0-9a-f]{12}")


def page(look: Look) -> Response:
    """Return the page of a task's labels."""
    return _page(look)


def _page(look: Look, *, problem: str = "", given: Mapping[str, Sequence[str]] | None = None, code: int = 200) -> Response:
    from daemon.views.task import labels as views  # noqa: PLC0415 - loads what kinds are checked with

    task, sources = task_of(look), look.sources
    buffer = sources.reader.buffer
    read = partial(views.labels, task, buffer)
    # Counting labels reads every row; a change that was stored is shown at once all the same.
    key = f"label-changes/{task.name}/{len(buffer.label_changes(task.name))}"
    asked = look.query.get("asked", "")
    return look.page(
        "labels.html", here=task.name, spec=task, found=sources.kept(key, read),
        asked=asked if _ASKED.fullmatch(asked) else "", problem=problem, given=given or {}, code=code,
    )  # fmt: skip


def change(look: Look) -> Response:
    """Ask for a change, or for the undoing of one; what cannot be taken is said on the page, with what was filled in."""
    task = task_of(look)
    try:
        asked = _asked(look, task.name)
    except (UserError, RetryError) as problem:
        return _page(look, problem=str(problem), given=look.repeated, code=routing.code_of(problem))
    look.sources.look_anew()
    return routing.redirect(f"/ui/tasks/{quote(task.name, safe='')}/labels?asked={asked}")


def _asked(look: Look, task: str) -> str:
    """Ask for what the form says and return the id of the change."""
    from daemon.labelling import label_changes as operations  # noqa: PLC0415 - loads LanceDB

    reason = acting.why(look)
    what = look.form.get("what", "")
    if what not in _CHANGES:
        message = f"the form asks for {what[:40]!r}, which is no change of labels; open the page again"
        raise UserError(message)
    wanted = _CHANGES[what](look, reason)
    return operations.change(look.sources.settings, task, wanted, by=acting.by(look)).change_id


def _rename(look: Look, reason: str) -> Change:
    return _change(reason, renames={_one(look): _named(look.form.get("into", ""))})


def _merge(look: Look, reason: str) -> Change:
    new, old = _named(look.form.get("into", "")), _several(look)
    if len(old) < 2:  # noqa: PLR2004 - one label is renamed
        message = "choose at least two labels to merge; nothing was changed. A single one is renamed"
        raise UserError(message)
    # A label that stays and others that join it: of itself nothing is to be said.
    return _change(reason, renames={one: new for one in old if one != new})


def _split(look: Look, reason: str) -> Change:
    parts = [_named(line) for line in look.form.get("into", "").splitlines() if line.strip()]
    return _change(reason, splits={_one(look): tuple(parts)})


def _retire(look: Look, reason: str) -> Change:
    return _change(reason, retired=(_one(look),))


def _add(look: Look, reason: str) -> Change:
    return _change(reason, added=(_named(look.form.get("into", "")),))


def _undo(look: Look, reason: str) -> Change:
    return _change(reason, undoes=look.form.get("id", ""))


_CHANGES: Mapping[str, Callable[[Look, str], Change]] = {
    "rename": _rename, "merge": _merge, "split": _split, "retire": _retire, "add": _add, "undo": _undo,
}  # fmt: skip


def _change(
    reason: str, *, renames: Mapping[str, str] | None = None, splits: Mapping[str, tuple[str, ...]] | None = None,
    retired: tuple[str, ...] = (), added: tuple[str, ...] = (), undoes: str | None = None,
) -> Change:  # fmt: skip
    from config.task_files.labels.label_changes import Change  # noqa: PLC0415 - loads pydantic's models

    return Change(
        "", reason=reason, renames=dict(renames or {}), splits=dict(splits or {}), retired=retired, added=added, undoes=undoes
    )


def _one(look: Look) -> str:
    return _named(look.form.get("label", ""))


def _several(look: Look) -> Sequence[str]:
    return [_named(one) for one in dict.fromkeys(look.repeated.get("label", ()))]


def _named(text: str) -> str:
    """Return a label as it is read everywhere. Raises `UserError` for a text that can be none."""
    from config.foreign.labels import label  # noqa: PLC0415 - heavy

    try:
        return label(text)
    except ValueError as error:
        message = f"{text[:80]!r} is no label: {error}; nothing was changed"
        raise UserError(message) from None
