"""`perennial train`: a run now, with its progress; a finished run repeated; or a quick trial on a sample of the rows."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Self

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from config.errors import UserError
from config.words import counted, printable
from daemon.cli import completing
from daemon.cli.output import AsJson, console, print_json, say, table
from daemon.cli.settings import load_settings

if TYPE_CHECKING:
    from config.task_files.overrides import Overrides
    from daemon.operations.training_now import Ahead
    from daemon.views.models import runs as run_views
    from daemon.views.models.repetition import Figure, Made, Repetition
    from daemon.views.models.trial import Trial
    from trainers.job.spec import Progress as JobProgress


def register(app: typer.Typer) -> None:
    """Add this file's command to the application."""
    app.command()(train)


def train(
    task: Annotated[str | None, typer.Argument(metavar="[TASK]", help="Task to train.", autocompletion=completing.tasks)] = None,
    *,
    promote: Annotated[bool, typer.Option("--promote/--no-promote", help="Promote the new version if it is better.")] = True,
    full: Annotated[bool, typer.Option("--full", help="Start from the base model and use all rows, not only new ones.")] = False,
    from_manifest: Annotated[
        str | None,
        typer.Option(
            metavar="RUN",
            autocompletion=completing.repeatable,
            help="Repeat a finished run and compare the results: run id, version (task/vN) or folder. Publishes nothing.",
        ),
    ] = None,
    downsample: Annotated[
        str | None,
        typer.Option(
            metavar="N_OR_SHARE", help="A quick trial on a number (500) or share (0.1, 10%) of the rows. Publishes nothing."
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the rows, for this run.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Step size, for this run.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Rows per batch, for this run.")] = None,
    gradient_accumulation: Annotated[int | None, typer.Option(help="Batches per step, for this run.")] = None,
    as_json: AsJson = False,
) -> None:
    """Train a task now and show the progress. Uses the running daemon, or this process if there is none."""
    overrides = _overrides(
        epochs=epochs, learning_rate=learning_rate, batch_size=batch_size, gradient_accumulation=gradient_accumulation
    )
    if from_manifest is not None:
        if task is not None or full or not promote or downsample is not None or overrides.given:
            message = "--from-manifest repeats a run unchanged; it takes no task and no other option than --json"
            raise UserError(message)
        _repeat(from_manifest, as_json=as_json)
    elif task is None:
        message = "name the task to train (`perennial tasks` lists them) or the run to repeat (--from-manifest)"
        raise UserError(message)
    elif downsample is not None:
        _try_out(task, downsample, full=full, overrides=overrides, as_json=as_json)
    else:
        _ask_for_a_run(task, promote=promote, full=full, overrides=overrides, as_json=as_json)


def _overrides(**given: float | None) -> Overrides:
    """Return what is set for this run alone. Raises `UserError` that names each option that is wrong."""
    from pydantic import ValidationError  # noqa: PLC0415 - heavy

    from config.task_files.overrides import Overrides  # noqa: PLC0415 - heavy
    from consumers.events.errors import explain  # noqa: PLC0415 - heavy

    try:
        return Overrides.model_validate(given)
    except ValidationError as error:
        message = f"{explain(error).reason}. No run was requested"
        raise UserError(message) from None


def _ask_for_a_run(task: str, *, promote: bool, full: bool, overrides: Overrides, as_json: bool) -> None:
    settings = load_settings()
    from daemon.operations import training_now  # noqa: PLC0415 - heavy

    with Shown(task, quiet=as_json) as watch:
        run = training_now.train(settings, task, promote=promote, full=full, overrides=overrides, watch=watch)
    if as_json:
        print_json(run)
    else:
        say((run.word, "bold"), f" {run.version or ''}")
        for reason in run.why:
            say(f"  {reason}", indent=2)
    raise typer.Exit(1 if run.state == "failed" else 0)


def _repeat(which: str, *, as_json: bool) -> None:
    settings = load_settings()
    from daemon.operations import training_now  # noqa: PLC0415 - heavy
    from daemon.operations.repeating import repeat  # noqa: PLC0415 - heavy

    training_now.quiet_log(settings)
    with Shown(which, quiet=as_json) as watch:
        found = repeat.repeat(settings, which, watch.hears)
    if as_json:
        print_json(found)
    else:
        _print_repetition(found)
    raise typer.Exit(0 if found.agrees else 1)


def _try_out(task: str, part: str, *, full: bool, overrides: Overrides, as_json: bool) -> None:
    settings = load_settings()
    from daemon.operations import training_now, trying  # noqa: PLC0415 - heavy

    wanted = trying.Part.read(part)
    training_now.quiet_log(settings)
    with Shown(task, quiet=as_json) as watch:
        found = trying.attempt(settings, task, wanted, full=full, overrides=overrides, report=watch.hears)
    if as_json:
        print_json(found)
    else:
        _print_trial(found)


def _print_repetition(found: Repetition) -> None:
    version = f" ({found.version})" if found.version else ""
    say(("the results agree" if found.agrees else "the results do not agree", "bold"), f": run {found.run_id}{version}, repeated")
    table("", ("", "original", "repeated", "difference", ""), [_figure(figure) for figure in found.figures])
    say(f"same answers: {found.answers_same:,} of {found.answers:,}")
    say(f"model files: {_FILES[found.model]}")
    wanted = "equal to the last bit" if found.expected == "equal" else f"scores within {found.tolerance:g}"
    say(f"required: {wanted} ({'; '.join(found.why)})", indent=2)
    table("", ("", "original", "repeated"), _made(found.then, found.now))
    for note in found.notes:
        say(note, indent=2)
    say("Nothing was published or promoted.")


_FILES = {
    "identical": "identical to the published ones",
    "different": "not identical to the published ones",
    "unknown": "not compared, because the registry knows no version of this run",
}


def _figure(figure: Figure) -> tuple[str, ...]:
    note = "" if figure.agrees else "too far apart" if figure.counts else "differs (not required to agree)"
    return figure.name, f"{figure.then:.6g}", f"{figure.now:.6g}", f"{figure.now - figure.then:+.3g}", note


def _made(then: Made, now: Made) -> list[tuple[str, str, str]]:
    rows = [
        ("hardware", then.hardware, now.hardware),
        ("processor", then.processor, now.processor),
        ("made with", then.code, now.code),
        ("training, s", f"{then.train_s:.1f}", f"{now.train_s:.1f}"),
        ("scoring, s", f"{then.score_s:.1f}", f"{now.score_s:.1f}"),
    ]
    return [(name, before or "not recorded", after) for name, before, after in rows]


def _print_trial(found: Trial) -> None:
    say((f"trial of {found.task}", "bold"), ": nothing was published or promoted")
    start = f"starting from {found.went_on_from}" if found.went_on_from else "starting from the base model"
    say(
        f"learnt from {found.learnt:,} of {counted(found.learnt_of, 'row')}, {start}; "
        f"tested on {found.tested:,} of {found.tested_of:,}"
    )
    if found.set_for_it:
        say(
            "settings of this trial: "
            + ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in found.set_for_it.items())
        )
    table("", ("", found.scale.title), [(score.name, found.scale.format_score(score.score)) for score in found.scores])
    if found.tested:
        say(
            f"gain over {found.scores[1].name}: {found.gain:+.4f}, between {found.lower_bound:+.4f} and {found.upper_bound:+.4f} "
            f"(each bound one-sided at {found.confidence:.0%})",
            indent=2,
        )
    say(
        f"{found.seconds:.0f} s: {found.train_s:.1f} s training ({found.examples_per_s:.0f} rows/s), {found.score_s:.1f} s "
        f"scoring; {found.hardware}, {found.peak_memory_mib:.0f} MiB at most",
        indent=2,
    )


class Shown:
    """A bar on a terminal; elsewhere each new line of progress, as JSON on standard error."""

    def __init__(self, task: str, *, quiet: bool) -> None:
        self._task = task
        self._on_screen = console.is_terminal
        self._told = ""
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[steps]}"), TimeRemainingColumn())
        self._bar = Progress(*columns, console=console, disable=quiet or not self._on_screen, transient=True)
        self._line = self._bar.add_task(f"{task}: starting", total=None, steps="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._bar.stop()

    def waits(self, ahead: Ahead) -> None:
        """Show what the request waits for."""
        told = f"{self._task}: waiting{_until(ahead)}"
        self._bar.update(self._line, description=told)
        if _until(ahead):
            self._tell(told)

    def goes_on(self, run: run_views.Run, progress: run_views.Progress | None) -> None:
        """Show the progress of the run."""
        from daemon.views.view import as_json  # noqa: PLC0415 - heavy

        if progress is None:
            self._shows(run.state, 0, 0)
        else:
            self._shows(progress.phase, progress.step, progress.steps)
            self._tell(json.dumps(as_json(progress)))

    def hears(self, progress: JobProgress) -> None:
        """Show the progress of this command's own child."""
        self._shows(progress.phase, progress.step, progress.steps)
        self._tell(progress.model_dump_json())

    def _shows(self, phase: str, step: int, steps: int) -> None:
        if phase == "training":
            told = f"{step} of {steps}" if steps else ""
            self._bar.update(self._line, description=f"{self._task}: training", completed=step, total=steps or None, steps=told)
        else:
            self._bar.update(self._line, description=f"{self._task}: {printable(phase)}", steps="")

    def _tell(self, line: str) -> None:
        if not self._on_screen and line != self._told:
            self._told = line
            sys.stderr.write(line + "\n")
            sys.stderr.flush()


def _until(ahead: Ahead) -> str:
    if ahead.unread:
        return f" until the daemon has read {counted(ahead.unread, 'more event')}"
    if ahead.unenriched:
        return f" until {counted(ahead.unenriched, 'more text')} {'is' if ahead.unenriched == 1 else 'are'} enriched"
    return ""
