"""What buttons do: each with a reason, by the same actions as the commands, and told by the history."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from starlette.responses import Response

from config.errors import UserError
from daemon.dashboard import routing
from daemon.dashboard.routing import Look
from daemon.training import asking
from registry import promotion
from registry.store import Registry

_MOST_REASON = 500
DONE: Mapping[str, str] = {
    "train": "The run is asked for; it starts once the daemon has read the request.",
    "pin": "The champion is pinned: nothing replaces it until it is unpinned.",
    "unpin": "The champion is no longer pinned.",
    "rollback": "The champion was rolled back; serving follows within seconds.",
    "promote": "The version was promoted; serving follows within seconds.",
}
"""What the page says after each."""


def train(look: Look) -> Response:
    """Ask for a run."""
    task = _task(look)
    full, promote = look.form.get("kind") == "full", look.form.get("promote") != "no"
    asking.ask_for_run(look.sources.settings, task, full=full, promote=promote, by=_by(look), why=_why(look))
    return _back(task, "train")


def pin(look: Look) -> Response:
    """Hold the champion."""
    task, why = _task(look), _why(look)
    with _registry(look) as registry:
        promotion.pin(registry, task, actor=_by(look), reason=why)
    return _back(task, "pin")


def unpin(look: Look) -> Response:
    """Let the champion move again."""
    task, why = _task(look), _why(look)
    with _registry(look) as registry:
        promotion.unpin(registry, task, actor=_by(look), reason=why)
    return _back(task, "unpin")


def roll_back(look: Look) -> Response:
    """Go back to the previous champion, or to the version that was chosen."""
    task, why = _task(look), _why(look)
    with _registry(look) as registry:
        promotion.rollback(registry, task, to=look.form.get("to") or None, actor=_by(look), reason=why)
    return _back(task, "rollback")


def promote(look: Look) -> Response:
    """Make a version the champion, whatever its verdict."""
    task, why = _task(look), _why(look)
    with _registry(look) as registry:
        version = f"{task}/v{look.params['number']}"
        promotion.promote_by_hand(registry, version, actor=_by(look), reason=why)
    return _back(task, "promote")


def _task(look: Look) -> str:
    return look.params["task"]


def _by(look: Look) -> str:
    return f"{look.visitor.name}, on the page"


def _why(look: Look) -> str:
    reason = " ".join(look.form.get("reason", "").split())
    if not reason:
        message = "the reason is missing; nothing was changed. Say in a few words why, and send it again"
        raise UserError(message)
    return reason[:_MOST_REASON]


def _registry(look: Look) -> Registry:
    return Registry.open(look.sources.settings.registry_url, clock=look.sources.clock, create=False)


def _back(task: str, done: str) -> Response:
    return routing.redirect(f"/ui/tasks/{quote(task, safe='')}?done={done}")
