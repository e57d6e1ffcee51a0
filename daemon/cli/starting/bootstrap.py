"""`perennial bootstrap`: from raw articles to a first champion in one command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

import typer
from rich.progress import BarColumn, Progress, TextColumn

from config.errors import UserError
from config.words import counted, printable
from daemon.cli import completing, grouped, reading, sources
from daemon.cli.data.source import tell
from daemon.cli.labelling import weak
from daemon.cli.output import AsJson, console, print_json, say
from daemon.cli.reading import Reading
from daemon.cli.settings import load_settings
from daemon.cli.sources import SourceOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config.settings import Settings
    from consumers.formats.importing import Import
    from daemon.flow.collecting import Collected
    from daemon.operations.bootstrapping import Outcome, Step
    from daemon.operations.training_now import Ahead
    from daemon.operations.weak_labels import Applied, Look
    from daemon.views.models import runs as run_views

_STEPS = {
    "collecting": "sources are read",
    "importing": "articles are imported",
    "reading": "events are read",
    "enriching": "texts are enriched",
    "labelling": "rules label",
}


def register(app: typer.Typer) -> None:
    """Add this file's command to the application."""
    app.command()(bootstrap)


@grouped.with_options(how=Reading, asked=SourceOptions)
def bootstrap(
    task: Annotated[str, typer.Argument(metavar="TASK", help="Task whose file lists rules.", autocompletion=completing.tasks)],
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILES | URLS | WORDS]...",
            help="Files with articles, as `perennial import` reads them; with --source what `perennial source` reads: addresses "
            "(rss, sitemap), words (gdelt), a folder (jsonl). None: what is stored.",
        ),
    ] = None,
    source: Annotated[
        str | None, typer.Option(metavar="KIND", help="Read a source in the place of files: rss, sitemap, gdelt or jsonl.")
    ] = None,
    promote: Annotated[
        bool, typer.Option("--promote/--no-promote", help="Make a first version champion where no held-out label can judge it.")
    ] = True,
    as_json: AsJson = False,
    *,
    how: Reading,
    asked: SourceOptions,
) -> None:
    """Bring in articles, enrich them, label them by rules, train, and promote a first champion. A second run goes on."""
    settings, given = load_settings(), files or []
    sources.refuse_misfit(source, given, asked)
    if source is None:
        _refuse_addresses(given)
    elif how != Reading():
        message = f"{grouped.given(how)[0]} says how files are read, and --source {source} reads none; leave one of them out"
        raise UserError(message)
    from daemon.operations import bootstrapping, weak_labels  # noqa: PLC0415 - heavy

    weak_labels.task_with_rules(settings, task)
    collect = sources.look(settings, source, given, asked) if source is not None else None
    found = [_planned(settings, Path(file), how, quiet=as_json) for file in given] if source is None else []
    with _Shown(task, quiet=as_json) as watch:
        outcome = bootstrapping.bootstrap(settings, task, found, promote=promote, watch=watch, collect=collect)
    if as_json:
        print_json(outcome)
    else:
        _report(outcome)
    failed = outcome.run is None or outcome.run.state == "failed"
    raise typer.Exit(1 if failed else 0)


def _refuse_addresses(files: Sequence[str]) -> None:
    for one in files:
        # A data set of the Hub is read like a file.
        if "://" in one and not one.startswith("hf://"):
            message = f"{printable(one)} is an address, not a file; add --source rss or --source sitemap"
            raise UserError(message)


def _planned(settings: Settings, file: Path, how: Reading, *, quiet: bool) -> Import:
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
    if any(one.error for one in outcome.sources):
        found.append("- run this command again for what could not be read of the sources")
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

    def collected(self, found: Sequence[Collected]) -> None:
        """Show what the sources gave, above the bar."""
        self._bar.stop()
        if not self._quiet:
            tell(found)
        self._bar.start()

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
