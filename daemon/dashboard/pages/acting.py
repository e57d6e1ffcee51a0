"""What buttons do: each with a reason, by the same actions as the commands, and told by the history."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from starlette.responses import Response

from config.addresses import apps_address
from config.errors import UserError
from daemon.dashboard import routing
from daemon.dashboard.routing import Look
from daemon.training.due import asking
from registry import promotion
from registry.store import Registry

_MOST_REASON = 500
DONE: Mapping[str, str] = {
    "train": "The run is asked for; it starts once the daemon has read the request.",
    "pause": "The task is paused: it starts no run and promotes nothing until it is resumed; ingest and serving go on.",
    "resume": "The task goes on: what is due starts within seconds.",
    "pin": "The champion is pinned: nothing replaces it until it is unpinned.",
    "unpin": "The champion is no longer pinned.",
    "rollback": "The champion was rolled back; serving follows within seconds.",
    "promote": "The version was promoted; serving follows within seconds.",
}
"""What the page says after each."""


def train(look: Look) -> Response:
    """Ask for a run."""
    task = _task(look)
    with registry(look) as opened:
        asking.refuse_paused(opened, task)
    full, promote = look.form.get("kind") == "full", look.form.get("promote") != "no"
    asking.ask_for_run(
        look.sources.settings, task, full=full, promote=promote, by=by(look), why=why(look), tasks=look.sources.tasks
    )
    return _back(look, task, "train")


def pause(look: Look) -> Response:
    """Let a task start no run and promote nothing by itself."""
    task, reason = _task(look), why(look)
    asking.refuse_unknown(look.sources.settings, task, look.sources.tasks)
    with registry(look) as opened:
        opened.pauses.pause(task, actor=by(look), reason=reason)
    return _back(look, task, "pause")


def resume(look: Look) -> Response:
    """Let it go on."""
    task, reason = _task(look), why(look)
    with registry(look) as opened:
        opened.pauses.resume(task, actor=by(look), reason=reason)
    return _back(look, task, "resume")


def pin(look: Look) -> Response:
    """Hold the champion."""
    task, reason = _task(look), why(look)
    with registry(look) as opened:
        promotion.pin(opened, task, actor=by(look), reason=reason)
    return _back(look, task, "pin")


def unpin(look: Look) -> Response:
    """Let the champion move again."""
    task, reason = _task(look), why(look)
    with registry(look) as opened:
        promotion.unpin(opened, task, actor=by(look), reason=reason)
    return _back(look, task, "unpin")


def roll_back(look: Look) -> Response:
    """Go back to the previous champion, or to the version that was chosen; not if another answers than the page has shown.

    A second click would otherwise put the first one's champion back.
    """
    task, reason = _task(look), why(look)
    to, expected = (look.form.get(name) or None for name in ("to", "expected"))
    with registry(look) as opened:
        promotion.rollback(opened, task, to=to, expected=expected, actor=by(look), reason=reason)
    return _back(look, task, "rollback")


def promote(look: Look) -> Response:
    """Make a version the champion, whatever its verdict; one that the sandbox refused only if that is chosen too."""
    task, reason = _task(look), why(look)
    with registry(look) as opened:
        version = f"{task}/v{look.params['number']}"
        promotion.promote_by_hand(opened, version, actor=by(look), reason=reason, force=look.form.get("force") == "yes")
    return _back(look, task, "promote")


def _task(look: Look) -> str:
    return look.params["task"]


def by(look: Look) -> str:
    """Return who does it, as the history tells it."""
    return f"{look.visitor.name}, on the page"


def why(look: Look) -> str:
    """Return the reason that was given. Raises `UserError` without one."""
    reason = " ".join(look.form.get("reason", "").split())
    if not reason:
        message = "the reason is missing; nothing was changed. Say in a few words why, and send it again"
        raise UserError(message)
    return reason[:_MOST_REASON]


def registry(look: Look) -> Registry:
    """Open the registry for writing; who opens it closes it."""
    settings = look.sources.settings
    return Registry.open(settings.registry_url, clock=look.sources.clock, create=False, apps_at=apps_address(settings.serving))


def _back(look: Look, task: str, done: str) -> Response:
    look.sources.look_anew()
    return routing.redirect(f"/ui/tasks/{quote(task, safe='')}?done={done}")
