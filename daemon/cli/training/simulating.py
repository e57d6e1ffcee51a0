"""`perennial simulate`: a task's history under the policy on record, or under others: what each would have done and cost."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from config.errors import UserError
from config.files import writable
from config.words import counted, printable
from daemon.cli import completing
from daemon.cli.output import AsJson, console, print_json, say, table
from daemon.cli.settings import load_settings

if TYPE_CHECKING:
    from datetime import datetime

    from daemon.views.models.simulation import PolicyPlayed, Simulation
    from trainers.job.spec import Progress as JobProgress

_NICE = 19
_SHOWN_RUNS = 40
_SHOWN_FAILURES = 3
_STOPPED = 130
_MOST_POLICIES = 4


def register(app: typer.Typer) -> None:
    """Add this file's command to the application."""
    app.command()(simulate)


def simulate(
    task: Annotated[str, typer.Option("--task", help="Task whose history is played.", autocompletion=completing.tasks)],
    *,
    policy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE|current|recorded",
            help="A task file, or a part of one, with other settings; `current`: the task file; `recorded`: what the daemon "
            "did, repeated (the default). May be given several times.",
        ),
    ] = None,
    training: Annotated[
        Literal["real", "sampled"], typer.Option(help="`sampled` trains in a cheaper way, and says how.")
    ] = "real",
    time: Annotated[
        Literal["arrival", "event"],
        typer.Option(help="When an example counts as having come: when it was stored, or, of an archive, when it was written."),
    ] = "arrival",
    periods: Annotated[int, typer.Option(min=0, max=200, help="How often quality is measured; 0: not at all.")] = 12,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.svg", help="Draw quality and cost over time.")] = None,
    as_json: AsJson = False,
) -> None:
    """Play a task's history under other policies: runs, cost, waits, promotions, quality. Changes nothing; Ctrl-C ends it."""
    asked = policy or []
    if len(asked) > _MOST_POLICIES:
        message = f"{len(asked)} policies were given; {_MOST_POLICIES} at most are compared in one history"
        raise UserError(message)
    if plot is not None and plot.suffix != ".svg":
        message = f"--plot {plot}: the plot is an SVG file; give a name that ends with .svg"
        raise UserError(message)
    if plot is not None:
        writable.check(plot, "--plot")
    settings = load_settings()
    from daemon.operations import training_now  # noqa: PLC0415 - heavy
    from daemon.operations.simulating import simulate as playing  # noqa: PLC0415 - heavy
    from daemon.training.aside import set_by_signals  # noqa: PLC0415 - heavy
    from trainers.job import guards  # noqa: PLC0415 - heavy

    training_now.quiet_log(settings)
    guards.step_back(_NICE)
    stop = threading.Event()
    with set_by_signals(stop), _Shown(quiet=as_json) as watch:
        found = playing.simulate(
            settings, task, asked, watch=watch, stop=stop, ways=playing.WAYS[training], by=time, periods=periods
        )
    if as_json:
        print_json(found)
    else:
        _print(found, plot)
    if plot is not None:
        from daemon.operations.simulating.plot import write  # noqa: PLC0415 - heavy

        write(found, plot)
    if found.stopped:
        raise typer.Exit(_STOPPED)


def _print(found: Simulation, plot: Path | None) -> None:
    say(
        (f"history of {found.task}", "bold"),
        f": {counted(found.examples, 'example')}, {found.since:%Y-%m-%d} to {found.until:%Y-%m-%d}, by "
        f"{'when they came' if found.time == 'arrival' else 'when they were written'}",
    )
    say(found.training_told, indent=2)
    for one in found.policies:
        _print_runs(one, found)
    _print_figures(found)
    for one in found.policies:
        if one.recorded is not None:
            _print_reproduction(one)
    for note in found.notes:
        say(f"note: {note}", indent=2)
    if found.stopped:
        say(("stopped", "bold"), ": these are the figures until then", indent=2)
    told = "Nothing was published or promoted."
    say(f"{told} The plot is in {plot}." if plot is not None else f"{told} --plot FILE.svg draws it.", indent=2)


def _print_runs(one: PolicyPlayed, found: Simulation) -> None:
    differs = ", ".join(f"{key} {now} (not {before})" for key, (before, now) in one.differs.items())
    say("")
    say((f"policy {one.name}", "bold"), f": {differs}" if differs else "", indent=2)
    slow = [run for run in one.runs if run.kind != "refresh"]
    rows = [
        (
            run.at,
            run.key,
            run.verdict or run.state,
            found.scale.format_score(run.candidate_score) if run.candidate_score is not None else "",
            run.version or "",
            f"{run.cpu_s:.0f}",
        )
        for run in slow[:_SHOWN_RUNS]
    ]
    table("", ("at", "trigger", "verdict", found.scale.title, "version", "CPU s"), rows, empty="no run")
    if len(slow) > _SHOWN_RUNS:
        say(f"and {counted(len(slow) - _SHOWN_RUNS, 'more run')}; --json has them all")
    failed = [run for run in one.runs if run.state == "failed"]
    for run in failed[:_SHOWN_FAILURES]:
        say(f"- failed on {run.at:%Y-%m-%d %H:%M} ({run.key}): {run.why}", indent=2)
    if len(failed) > _SHOWN_FAILURES:
        say(f"and {counted(len(failed) - _SHOWN_FAILURES, 'more failed run')}; --json says why", indent=2)


def _print_figures(found: Simulation) -> None:
    say("")
    rows = [
        ("runs", *(one.count(refreshes=False) for one in found.policies)),
        ("refreshes of the head", *(one.count(refreshes=True) for one in found.policies)),
        ("runs that failed", *(sum(run.state == "failed" for run in one.runs) for one in found.policies)),
        ("promotions", *(one.promotions for one in found.policies)),
        ("CPU seconds", *(f"{one.cpu_s:,.0f}" for one in found.policies)),
        ("days an example waits, mean", *(_days(one.mean_wait_days) for one in found.policies)),
        ("days an example waits, longest", *(_days(one.longest_wait_days) for one in found.policies)),
        ("labels asked for, at most", *(one.labels_asked for one in found.policies)),
        (f"champion's {found.scale.title}, mean", *(_quality(one, found) for one in found.policies)),
    ]
    table("", ("", *(one.name for one in found.policies)), rows)


def _quality(one: PolicyPlayed, found: Simulation) -> str:
    measured = sum(period.score is not None for period in one.periods)
    if one.quality is None:
        return "not measured"
    return f"{found.scale.format_score(one.quality)} ({measured} of {counted(len(one.periods), 'period')})"


def _days(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _print_reproduction(one: PolicyPlayed) -> None:
    seen = one.recorded
    assert seen is not None  # noqa: S101 - the caller's condition; narrows the type
    say("")
    say(
        ("repeated" if seen.verdicts == seen.keys == seen.runs else "not all repeated", "bold"),
        f": of {counted(seen.runs, 'run')} on record {seen.keys} with the same trigger key, {seen.training_sets} with the same "
        f"training set, {seen.verdicts} with the same verdict",
        indent=2,
    )
    for difference in seen.differences:
        say(f"- {difference.run_id} ({difference.key}): {difference.told}", indent=2)


class _Shown:
    """A bar on a terminal, one line a policy; elsewhere nothing, for what was done is printed at the end."""

    def __init__(self, *, quiet: bool) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TaskProgressColumn(),
            TextColumn("{task.fields[at]}"),
        )
        self._bar = Progress(*columns, console=console, disable=quiet or not console.is_terminal, transient=True)
        self._lines: dict[str, int] = {}
        self._now = ""

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._bar.stop()

    def passes(self, policy: str, at: datetime, share: float, runs: int) -> None:
        """Show how far a policy's history is."""
        if policy not in self._lines:
            self._lines[policy] = self._bar.add_task(printable(policy)[:20], total=1.0, at="")
        self._now = f"{at:%Y-%m-%d} {counted(runs, 'run')}"
        self._bar.update(self._bar.task_ids[-1], completed=share, at=self._now)

    def hears(self, progress: JobProgress) -> None:
        """Show what the present run does."""
        if self._bar.task_ids:
            self._bar.update(self._bar.task_ids[-1], at=f"{self._now}, {printable(progress.phase)}")
