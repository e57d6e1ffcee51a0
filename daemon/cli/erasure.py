"""Commands that forget: `erase` asks for it, `erasures` shows how far each has come."""

from __future__ import annotations

import secrets
import time
from contextlib import closing
from typing import Annotated

import typer
from pydantic import ValidationError

from config.clock import utc_now
from config.errors import RetryError, UserError
from config.settings import Settings, load_settings
from consumers.events import schemas as events
from daemon.cli.output import AsJson, console, print_json, say, table

_LOOK_S = 1.0

User = Annotated[str | None, typer.Option(help="Id of the user.")]
Article = Annotated[str | None, typer.Option(help="Id of the article; all its revisions.")]


def register(app: typer.Typer) -> None:
    """Add this file's commands to the application."""
    app.command()(erase)
    app.command()(erasures)


def erase(
    user: User = None,
    article: Article = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it is done, and say what it waits for: hours.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    forget_tombstone: Annotated[
        bool, typer.Option("--forget-tombstone", help="Erase nothing: let new events of this user or article be stored again.")
    ] = False,
) -> None:
    """Remove everything of a user or an article from wherever it is kept, and refuse it from then on."""
    settings = load_settings()
    named = [f"{kind} {name!r}" for kind, name in (("user", user), ("article", article)) if name is not None]
    if not named:
        message = "name what is to be erased: --user ID, --article ID or both"
        raise UserError(message)
    if not settings.data_dir.exists():
        # A request into a folder made by mistake would look like an erasure.
        message = (
            f"nothing has run in {settings.data_dir}, so nothing was ever kept there; give this command the daemon's settings"
        )
        raise UserError(message)
    if forget_tombstone:
        _forget_tombstones(settings, user, article)
        return
    event = _event(user, article)
    if not yes:
        typer.confirm(f"Remove everything of {' and '.join(named)} for good, and train affected models anew?", abort=True)
    from consumers.log.open import publish  # noqa: PLC0415 - heavy

    publish(settings, event)
    console.print("requested; the daemon works it off, `perennial erasures` shows how far it is")
    if wait:
        _wait(settings, event.event_id)


def erasures(as_json: AsJson = False) -> None:
    """List erasures with their state and times, newest first."""
    from daemon.views import erasures as views  # noqa: PLC0415 - heavy

    found = views.listed(load_settings())
    if as_json:
        print_json(found)
        return
    table(
        f"Erasures (limit {found.limit_hours:g} hours)",
        ("number", "what", "state", "requested (UTC)", "removed", "purged", "retrain queued", "done", "waits for"),
        [
            (one.number, one.what, f"{one.state}{' (late)' if one.late else ''}", one.requested_at,
             one.removed_at, one.purged_at, one.retrain_at, one.done_at, one.note)
            for one in found.erasures
        ],
    )  # fmt: skip


def _event(user: str | None, article: str | None) -> events.Erase:
    event_id = f"erase-{secrets.token_hex(8)}"
    try:
        return events.Erase(event_id=event_id, occurred_at=utc_now(), source="perennial erase", user_id=user, article_id=article)
    except ValidationError as error:
        wrong = " and ".join(repr(problem["input"]) for problem in error.errors())
        message = f"{wrong} is no id that an event can carry, so nothing of it is kept; nothing was asked for"
        raise UserError(message) from None


def _wait(settings: Settings, event_id: str) -> None:
    """Say each state as it is reached. Raises `RetryError` where no daemon runs that would work it off."""
    from consumers.erasure.requests import Erasures  # noqa: PLC0415 - heavy
    from registry.store import Registry  # noqa: PLC0415 - heavy

    nobody = "no daemon is running; the request stays and is worked off when one does: `perennial run`"
    try:
        registry = Registry.open(settings.registry_url, read_only=True)
    except RetryError:
        raise RetryError(nobody) from None
    said = ""
    with registry, closing(Erasures(settings.data_dir)) as listed:
        while True:
            one = listed.of_event(event_id)
            told = "requested" if one is None else f"{one.state}{f': {one.note}' if one.note else ''}"
            if told != said:
                say(f"{utc_now():%H:%M:%S} {told}")
                said = told
            if one is not None and one.done_at is not None:
                return
            if registry.lease.holder() is None:
                raise RetryError(nobody)
            time.sleep(_LOOK_S)


def _forget_tombstones(settings: Settings, user: str | None, article: str | None) -> None:
    from consumers.erasure.requests import Erasures  # noqa: PLC0415 - heavy

    if not Erasures.exist(settings.data_dir):
        message = f"nothing was ever erased in {settings.data_dir}"
        raise UserError(message)
    with closing(Erasures(settings.data_dir)) as listed:
        forgotten = [
            kind
            for kind, name in (("user", user), ("article", article))
            if name and listed.forget(kind, name)  # type: ignore[arg-type]  # one of the two kinds
        ]
    if not forgotten:
        message = "it was not erased here, so nothing is refused; nothing was changed"
        raise UserError(message)
    console.print(f"new events of this {' and '.join(forgotten)} are stored again; what was erased stays erased")
