"""`perennial lineage`: who learnt a correction, what is in a version, which verdicts a row took part in."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, Any

import typer

from daemon.cli import completing
from daemon.cli.output import AsJson, print_json, say, table
from daemon.cli.settings import load_settings
from daemon.views import opening

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

app = typer.Typer(help="What versions learnt, and where a row was learnt and tested.", no_args_is_help=True)


@app.command()
def correction(identifier: Annotated[str, typer.Argument(metavar="ID", help="Its event id.")], as_json: AsJson = False) -> None:
    """Show which versions learnt a label or feedback event, themselves or through what they go on from."""
    from daemon.views.models import lineage  # noqa: PLC0415 - heavy

    settings = load_settings()
    with opening.registry(settings) as registry, opening.buffer(settings) as buffer:
        found = lineage.of_correction(registry, buffer, identifier)
    if as_json:
        print_json(found)
        return
    say(
        (found.event_id, "bold"),
        f" {found.task}: {'live, in ' if found.in_champion else 'not in '}{found.champion or 'any champion'}",
    )
    say(("learnt by: ", "faint"), _listed(found.learnt_by))
    say(("included in: ", "faint"), _listed(found.included_in))
    if len(found.examples) > 1:
        say(("taught by: ", "faint"), _listed(found.examples))


@app.command()
def version(
    name: Annotated[str, typer.Argument(metavar="VERSION", help="A version.", autocompletion=completing.versions)],
    limit: Annotated[int, typer.Option(help="At most this many corrections.", min=1)] = 50,
    as_json: AsJson = False,
) -> None:
    """Show what a version goes back to, and which corrections are in it."""
    from daemon.views.models import lineage  # noqa: PLC0415 - heavy

    settings = load_settings()
    with ExitStack() as stack:
        registry = stack.enter_context(opening.registry(settings))
        buffer = stack.enter_context(opening.buffer(settings)) if settings.buffer_dir.exists() else None
        found = lineage.of_version(registry, buffer, name, limit=limit)
    if as_json:
        print_json(found)
        return
    say((found.version, "bold"), f" made by run {found.run_id}")
    say(("goes back to: ", "faint"), _listed(found.ancestors) if found.ancestors else "the base model")
    say(("continued by: ", "faint"), _listed(found.continued_by))
    gone = f"; {found.no_longer_stored} of them are no longer stored" if found.no_longer_stored else ""
    say(("learnt: ", "faint"), f"{found.examples} examples, {found.own_examples} of them itself{gone}")
    say(("training set: ", "faint"), found.training_set_sha256)
    rows = [(one.event_id, one.learnt_by) for one in found.corrections]
    table("Feedback in it", ("event", "learnt by"), rows, empty="none that is still stored")
    if found.corrections_total > len(rows):
        say(f"and {found.corrections_total - len(rows)} more (--limit)")


@app.command()
def row(identifier: Annotated[str, typer.Argument(metavar="ID", help="Its id.")], as_json: AsJson = False) -> None:
    """Show which versions learnt a row, and which verdicts it took part in, with both models' answers."""
    from daemon.views.models import lineage  # noqa: PLC0415 - heavy

    settings = load_settings()
    with ExitStack() as stack:
        registry = stack.enter_context(opening.registry(settings))
        buffer = stack.enter_context(opening.buffer(settings)) if settings.buffer_dir.exists() else None
        found = lineage.of_row(registry, settings.evidence_dir, identifier, buffer)
    if as_json:
        print_json(found)
        return
    say((found.row_id, "bold"))
    if found.retired is not None:
        say(("went to training: ", "faint"), f"{found.retired.at:%Y-%m-%d %H:%M} UTC: {found.retired.why}")
    if found.corrected is not None:
        now = _says(found.corrected.now)
        say(("corrected: ", "faint"), f"it says {now}, at first {_says(found.corrected.first)} (by {found.corrected.by})")
    say(("learnt by: ", "faint"), _listed(found.learnt_by))
    say(("included in: ", "faint"), _listed(found.included_in))
    rows = [
        (one.version or one.run_id, one.verdict, one.role or "unknown", _says(one.gold), _says(one.candidate),
         _says(one.opponent), one.decided_at)
        for one in found.decisions
    ]  # fmt: skip
    columns = ("version", "verdict", "role", "gold", "candidate", "opponent", "decided (UTC)")
    table("Verdicts that it took part in", columns, rows, empty="none")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "none"


def _says(answer: Mapping[str, Any] | None) -> str:
    from config.kinds import catalog as kinds  # noqa: PLC0415 - heavy

    if answer is None:
        return ""
    kind = kinds.of(answer)
    return kind.in_words(kind.confirmed(kind.plain(answer)) if "scores" in answer else answer)
