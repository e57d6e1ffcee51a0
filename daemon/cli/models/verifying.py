"""`perennial verify`: reaches a verdict again from its evidence, without daemon, models or event log."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from config.errors import UserError
from daemon.cli import completing
from daemon.cli.output import AsJson, print_json, say, table
from daemon.cli.settings import load_settings
from daemon.views import opening

if TYPE_CHECKING:
    from config.settings import Settings
    from daemon.views.models.verification import Verification

_SHOWN = 20


def register(app: typer.Typer) -> None:
    """Add this file's command to the application."""
    app.command()(verify)


def verify(
    name: Annotated[
        str,
        typer.Argument(metavar="VERSION|RUN|FILE", help="A version, a run, or a bundle.", autocompletion=completing.versions),
    ],
    recompute: Annotated[
        bool, typer.Option(help="Say what the verdict would be with the labels that were corrected since; no alias moves.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Recompute a verdict from its evidence and say whether it is the same, word for word. Exit code 3: rows were erased."""
    from daemon.views.models import verification  # noqa: PLC0415 - heavy

    settings = load_settings()
    if recompute:
        _recompute(settings, name, as_json=as_json)
    if _is_file(name):
        found = verification.of_file(Path(name))
    else:
        with opening.registry(settings) as registry:
            found = verification.of(settings, registry, name)
    if as_json:
        print_json(found)
    else:
        _show(found)
    raise typer.Exit(verification.EXIT_CODES[found.outcome])


def _recompute(settings: Settings, name: str, *, as_json: bool) -> NoReturn:
    """Say what a verdict would be now; exit code 1 where it would be another."""
    from daemon.views.models import recomputation  # noqa: PLC0415 - heavy

    if _is_file(name):
        message = "--recompute takes a version or a run: a file does not tell which labels were corrected since"
        raise UserError(message)
    with opening.registry(settings) as registry, opening.buffer(settings) as buffer:
        found = recomputation.of(settings, registry, buffer, name)
    if as_json:
        print_json(found)
    else:
        say((found.summary, "bold"))
        for reason in found.now.reasons:
            say(f"- {reason}", indent=2)
        if found.erased:
            say(f"{found.erased} of its rows were erased; what it would be is said without them")
    raise typer.Exit(0 if found.same else 1)


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):  # too long for a file's name, or with a null byte: a version that there is not
        return False


def _show(found: Verification) -> None:
    say((found.outcome, "bold"), f" {found.summary}")
    for problem in found.problems:
        say(f"- {problem}", indent=2)
    say(f"decided {found.decided_at:%Y-%m-%d %H:%M} UTC: {found.told.verdict}")
    for reason in found.told.reasons:
        say(f"- {reason}", indent=2)
    if found.recomputed is not None and found.recomputed != found.recorded:
        say(f"recomputed: {found.recomputed.verdict}")
        for reason in found.recomputed.reasons:
            say(f"- {reason}", indent=2)
    if found.figures:
        rows = [(one.name, one.recorded, one.recomputed, "last digits" if one.last_digits else "") for one in found.figures]
        table("Figures", ("figure", "recorded", "recomputed", ""), rows[:_SHOWN])
        if len(rows) > _SHOWN:
            say(f"and {len(rows) - _SHOWN} more; --json has them all")
    if found.look:
        say(f"by look {found.look} at answers that people were asked for; the verdict of the run before them was verified too")
    if not found.hash_known:
        say("the registry was not asked: whether the file was changed is not known")
    if not found.same_program:
        say(f"reached by {found.program}; recomputed by {found.program_here}")
