"""`perennial keys`: API keys for the apps that use serving."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from config.clock import MAX_DAYS, utc_now
from config.errors import UserError
from daemon.cli.actor import ACTOR
from daemon.cli.output import AsJson, console, print_json, table
from daemon.cli.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.store import Registry

app = typer.Typer(help="API keys for apps that use serving: create, list, revoke.", no_args_is_help=True)

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="Name of its holder, for example desk-7; feedback is recorded under it.")
]


Why = Annotated[str, typer.Option("--why", help="Reason, kept in the history.")]


@app.command()
def create(
    name: Name,
    scope: Annotated[
        list[str],
        typer.Option(help="What it allows: predict, feedback, correct (its feedback is trusted) or admin; may be repeated."),
    ],
    expires: Annotated[
        float | None, typer.Option(metavar="DAYS", help="Days until it expires; without this it does not expire.")
    ] = None,
    why: Why = "created by hand",
    as_json: AsJson = False,
) -> None:
    """Create a key and print it. It is shown only once: only its hash is stored."""
    if expires is not None and not 0 < expires <= MAX_DAYS:
        message = f"--expires {expires:g}: give more than 0 and at most {MAX_DAYS} days, or leave it out"
        raise UserError(message)
    from daemon.views.installation import keys as views  # noqa: PLC0415 - heavy
    from registry.people import api_keys  # noqa: PLC0415 - heavy
    from registry.people.audit import By  # noqa: PLC0415 - heavy

    # Before a registry is created for it.
    api_keys.check(name, scope)
    with _registry(create=True) as registry:
        ends = None if expires is None else timedelta(days=expires)
        key, secret = registry.api_keys.create(name, scope, expires_in=ends, by=By(ACTOR, why))
        where = registry.database.name
    if as_json:
        print_json({**views.of(key, utc_now()).model_dump(mode="json"), "key": secret})
        return
    # Alone on standard output, whole: it is meant to be piped into a file or a secret store.
    typer.echo(secret)
    until = f"until {key.expires_at:%Y-%m-%d %H:%M} UTC" if key.expires_at else "until it is revoked"
    typer.echo(f"{name} may {', '.join(key.scopes)}, {until}; its hash is kept in {where}. It is not shown again.", err=True)


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List all keys with scopes and state. The keys themselves are not stored."""
    from daemon.views.installation import keys as views  # noqa: PLC0415 - heavy

    with _registry(create=False) as registry:
        keys = views.listed(registry)
    if as_json:
        print_json(keys)
        return
    shown = [
        (key.name, key.id, " ".join(key.scopes), key.state, key.created_at, key.last_used_at, key.expires_at) for key in keys
    ]
    table("API keys", ("name", "id", "scopes", "state", "created (UTC)", "last used", "expires"), shown, empty="none yet")


@app.command()
def revoke(name: Name, why: Why = "revoked by hand", as_json: AsJson = False) -> None:
    """Revoke a key; serving refuses it within seconds."""
    from daemon.views.installation import keys as views  # noqa: PLC0415 - heavy
    from registry.people.audit import By  # noqa: PLC0415 - heavy

    with _registry(create=False) as registry:
        key = registry.api_keys.revoke(name, by=By(ACTOR, why))
    if as_json:
        print_json(views.of(key, utc_now()))
        return
    console.print(f"{name} was revoked at {key.revoked_at:%Y-%m-%d %H:%M:%S} UTC; serving refuses it within seconds")


@contextmanager
def _registry(*, create: bool) -> Iterator[Registry]:
    from registry.store import Registry  # noqa: PLC0415 - heavy

    # A first start may need a key, so creating one creates the registry too.
    with Registry.open(load_settings().registry_url, create=create) as registry:
        yield registry
