"""`perennial bootstrap`: from raw articles to a first champion in one command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

import typer
from rich.progress import BarColumn, Progress, TextColumn

from config.errors import UserError
from config.words import counted, printable
from daemon.cli import completing, reading
from daemon.cli.labelling import weak
from daemon.cli.output import AsJson, console, print_json, say
from daemon.cli.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config.settings import Settings
    from consumers.formats.importing import Import
    from daemon.operations.bootstrapping import Outcome, Step
    from daemon.operations.training_now import Ahead
    from daemon.operations.weak_labels import Applied, Look
    from daemon.views.models import runs as run_views

_STEPS = {
    "importing": "articles are imported",
    "reading": "events are read",
    "enriching": "texts are enriched",
    "labelling": "rules label",
}


def register(app: typer.Typer) -> None:
    """Add this file's command to the application."""
    app.command()(bootstrap)


@reading.with_options
def bootstrap(
    task: Annotated[str, typer.Argument(help="Task whose file lists rules.", autocompletion=completing.tasks)],
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Files with articles, as `perennial import` reads them; none: what is stored."),
    ] = None,
    promote: Annotated[
        bool, typer.Option("--promote/--no-promote", help="Make a first version champion where no held-out label can judge it.")
    ] = True,
    as_json: AsJson = False,
    *,
    how: reading.Reading,
) -> None:
    """Import articles, enrich them, label them by rules, train, and promote a first champion. A second run goes on."""
    settings = load_settings()
    from daemon.operations import bootstrapping, weak_labels  # noqa: PLC0415 - heavy

    weak_labels.task_with_rules(settings, task)
    found = [_planned(settings, file, how, quiet=as_json) for file in files or ()]
    with _Shown(task, quiet=as_json) as watch:
        outcome = bootstrapping.bootstrap(settings, task, found, promote=promote, watch=watch)
    if as_json:
        print_json(outcome)
    else:
        _report(outcome)
    failed = outcome.run is None or outcome.run.state == "failed"
    raise typer.Exit(1 if failed else 0)


def _planned(settings: Settings, file: Path, how: reading.Reading, *, quiet: bool) -> Import:
    """Return a file as it will be imported, after all of it was looked at. Raises `UserError` where nothing of it can be used."""
    from consumers.formats.summary import Summary  # noqa: PLC0415 - heavy

    found = how.plan(file, None, settings)
    summary = Summary()
    for _event in summary.count(found.events(lambda _share: None), reading.BadRows().show):
        pass
    if summary.swallowed or not summary.events:
        name = printable(file.name)
        message = f"{name}: no row can be used as an article; `perennial import {name} --dry-run` shows why"
        raise UserError(message)
    if not quiet:
        bad = f", {summary.bad} unusable" if summary.bad else ""
        say(f"{file.name}: {counted(summary.rows, 'row')}, {summary.events} articles{bad}")
    return found


def _report(outcome: Outcome) -> None:
    run = outcome.run
    if run is not None:
        say((f"{run.word}", "bold"), f" {run.version or ''}")
        for reason in run.why:
            say(f"  {reason}", indent=2)
    if outcome.promoted == "bootstrap":
        say(
            (f"{outcome.champion} is the champion", "bold"),
            f" of {outcome.task}, by this command and not by the gate: {outcome.test_rows} of the "
            f"{outcome.test_rows_needed} held-out labels of people that it needs to decide were there. "
            "Nobody has measured yet whether it is better than the rules.",
        )
    elif outcome.promoted == "gate":
        say((f"{outcome.champion} is the champion", "bold"), f" of {outcome.task}.")
    for line in _next(outcome):
        say(f"  {line}", indent=2)


def _next(outcome: Outcome) -> Sequence[str]:
    """Return what to do next."""
    name = outcome.task
    found = ["next:"]
    if outcome.champion is not None:
        found.append(f'- `perennial run` serves it; `perennial predict {name} --text "..."` asks it here')
    if outcome.test_rows < outcome.test_rows_needed:
        missing = outcome.test_rows_needed - outcome.test_rows
        found.append(f"- `perennial review {name}`: label held-out articles ({missing} more decide the next run)")
    found.append(f"- `perennial weak {name}` shows which rules to mend; then run this command again")
    return found


class _Shown:
    """A line on a terminal; elsewhere each new step, on standard error."""

    def __init__(self, task: str, *, quiet: bool) -> None:
        from daemon.cli.training.train import Shown  # noqa: PLC0415 - its bar shows the run

        self._task = task
        self._quiet = quiet
        self._run = Shown(task, quiet=quiet)
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.fields[left]}"))
        self._bar = Progress(*columns, console=console, disable=quiet or not console.is_terminal, transient=True)
        self._line = self._bar.add_task(f"{task}: starting", total=None, left="")
        self._step: Step | None = None
        self._in_run = False

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()
        if self._in_run:
            self._run.__exit__(*error)

    def does(self, step: Step, share: float | None, left: int = 0) -> None:
        """Show a step before the run."""
        told = f"{self._task}: {_STEPS[step]}"
        total = None if share is None else 1.0
        self._bar.update(self._line, description=told, completed=share or 0.0, total=total, left=f"{left:,} left" if left else "")
        if step != self._step and not self._quiet and not console.is_terminal:
            typer.echo(told, err=True)
        self._step = step

    def labelled(self, seen: Look, applied: Applied) -> None:
        """Show what the rules have found, above the bar."""
        self._bar.stop()
        if not self._quiet:
            weak.show(seen.figures)
            changed = {"new": applied.new, "withdrawn": applied.withdrawn, "unchanged": applied.unchanged}
            say(f"Weak labels: {weak.in_words(changed)}.")
        self._run.__enter__()
        self._in_run = True

    def waits(self, ahead: Ahead) -> None:
        """Show what the run waits for."""
        self._run.waits(ahead)

    def goes_on(self, run: run_views.Run, progress: run_views.Progress | None) -> None:
        """Show the progress of the run."""
        self._run.goes_on(run, progress)
