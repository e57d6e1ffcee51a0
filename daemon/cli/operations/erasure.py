"""Erasure: `erase` requests it, `erasures` shows the progress."""

from __future__ import annotations

from typing import Annotated

import typer

from config.clock import utc_now
from config.errors import UserError
from daemon.cli.actor import ACTOR
from daemon.cli.output import AsJson, print_json, say, table
from daemon.cli.settings import load_settings

User = Annotated[str | None, typer.Option(help="Id of the user.")]
Article = Annotated[str | None, typer.Option(help="Id of the article; all its revisions.")]


def register(app: typer.Typer) -> None:
    """Add this file's commands to the application."""
    app.command()(erase)
    app.command()(erasures)


def erase(
    user: User = None,
    article: Article = None,
    *,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it is done (hours) and show the progress.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    forget_tombstone: Annotated[
        bool, typer.Option("--forget-tombstone", help="Erase nothing; allow new events of this user or article again.")
    ] = False,
    why: Annotated[
        str, typer.Option("--why", help="Reason, kept in the history for good: write no name or id into it.")
    ] = "asked for by hand",
) -> None:
    """Remove everything of a user or an article from all stores, and refuse new events of it."""
    settings = load_settings()
    named = [f"{kind} {name!r}" for kind, name in (("user", user), ("article", article)) if name is not None]
    if not named:
        message = "nothing to erase was named; give --user ID, --article ID or both"
        raise UserError(message)
    if not settings.data_dir.exists():
        # A request into a folder created by mistake would look like an erasure.
        message = f"nothing has run in {settings.data_dir}, so there is nothing to erase; give this command the daemon's settings"
        raise UserError(message)
    from daemon.operations import erasing  # noqa: PLC0415 - heavy
    from registry.people.audit import By  # noqa: PLC0415 - heavy

    if forget_tombstone:
        kinds = " and ".join(erasing.let_in_again(settings, user, article, By(ACTOR, why)))
        say(f"New events of this {kinds} are stored again; what was erased stays erased.")
        return
    event = erasing.request(user, article)
    if not yes:
        typer.confirm(f"Permanently remove everything of {' and '.join(named)}, and retrain affected models?", abort=True)
    erasing.ask(settings, event, By(ACTOR, why))
    say("Requested. The daemon processes it; `perennial erasures` shows the progress.")
    if wait:
        for state in erasing.followed(settings, event.event_id):
            say(f"{utc_now():%H:%M:%S} {state}")


def erasures(as_json: AsJson = False) -> None:
    """List erasures with their state and times, newest first."""
    from daemon.views import erasures as views  # noqa: PLC0415 - heavy

    found = views.listed(load_settings())
    if as_json:
        print_json(found)
        return
    table(
        f"Erasures (limit {found.limit_hours:g} hours)",
        ("number", "what", "state", "requested (UTC)", "removed", "purged", "retrain queued", "done", "waiting for"),
        [
            (one.number, one.what, f"{one.state}{' (late)' if one.late else ''}", one.requested_at,
             one.removed_at, one.purged_at, one.retrain_at, one.done_at, one.note)
            for one in found.erasures
        ],
    )  # fmt: skip
