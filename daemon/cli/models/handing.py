"""`perennial publish`: a version on the Hugging Face Hub, for others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from config.words import counted
from daemon.cli import completing
from daemon.cli.output import AsJson, print_json, say, table
from daemon.cli.settings import load_settings
from daemon.views import opening

if TYPE_CHECKING:
    from daemon.operations.handing.publishing import Published


def register(application: typer.Typer) -> None:
    """Add the command to the application."""
    application.command()(publish)


def publish(  # noqa: PLR0917 - each is an option of the command
    version: Annotated[
        str, typer.Argument(metavar="VERSION", help="For example news-topics/v3.", autocompletion=completing.versions)
    ],
    repo: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="Repository; it is made where it is not there.")],
    as_format: Annotated[
        str | None,
        typer.Option("--format", metavar="FORMAT", help="As for `models export`; by default the plainest that there is."),
    ] = None,
    public: Annotated[
        bool, typer.Option("--public", help="Everybody may read it; without this a repository is private.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show files and card, and send nothing.")] = False,
    revision: Annotated[str | None, typer.Option(metavar="TAG", help="Tag of the version; by default such as v3.")] = None,
    as_json: AsJson = False,
) -> None:
    """Publish a version with its card on the Hugging Face Hub, private unless you say otherwise."""
    from daemon.operations.handing import publishing  # noqa: PLC0415 - heavy

    settings = load_settings()
    with opening.registry(settings) as registry:
        found = publishing.publish(
            settings, registry, version, repo, as_format=as_format, public=public, dry_run=dry_run, revision=revision
        )
    if as_json:
        print_json(found)
    else:
        _tell(found)


def _tell(found: Published) -> None:
    what = f"{counted(len(found.files), 'file')}, {found.size_bytes / 2**20:.1f} MiB, as {found.format}"
    if found.dry_run:
        table(f"{found.repo} at {found.revision}", ("file", "bytes"), list(found.files.items()))
        say(f"\n{found.card}")
        say(f"{found.version} would be published there: {what}, {'private' if found.private else 'public'}. Nothing was sent.")
    elif found.already:
        say(f"{found.repo} has {found.version} already, under {found.revision}; nothing was sent")
    else:
        say(f"{found.version} is published, {'private' if found.private else 'public'}: {found.url} ({what})")
