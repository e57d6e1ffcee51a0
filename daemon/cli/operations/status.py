"""`perennial status`: the daemon, the buffer, and for each task why it is or is not due for training."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from config.words import counted
from daemon.cli.output import AsJson, print_json, say
from daemon.cli.settings import load_settings

if TYPE_CHECKING:
    from daemon.views.installation.status import Status
    from daemon.views.models.runs import Ended, Progress, UnderWay
    from daemon.views.task.task_status import TaskStatus

_MARGIN = 12
"""Width of the column of names; long lines continue to the right of it."""
_TOLD_ABOVE = ("PerennialNoLeader", "PerennialServingDown", "PerennialLogNotAnswering", "PerennialLabelFlips")
"""Alerts about what has a line of its own."""
_STANDING_STILL = ("waiting", "held", "interrupted")
"""As `daemon.views.models.runs` has it, which would load the registry for `--help`."""


def register(app: typer.Typer) -> None:
    """Add this file's command to the application."""
    app.command()(status)


def status(
    as_json: AsJson = False,
    watch: Annotated[float, typer.Option(help="Refresh every this many seconds; 0 prints once.", min=0)] = 0.0,
) -> None:
    """Show the daemon, the buffer, and for each task why it is or is not due for training."""
    from daemon.views.installation.status import StatusReader  # noqa: PLC0415 - heavy

    reader = StatusReader(load_settings())
    try:
        while True:
            found = reader.read()
            if as_json:
                print_json(found)
            else:
                print_status(found)
            if not watch:
                return
            time.sleep(watch)
    finally:
        reader.close()


def print_status(found: Status) -> None:
    """Print a status for people."""
    say(("Perennial", "bold"), f" at {_moment(found.at)}")
    if found.leader:
        _line("leader", found.leader)
    else:
        since = f" since {_moment(found.no_leader_since)}" if found.no_leader_since else ""
        _line("leader", (f"none: no daemon has run{since}", "yellow"), "; start one with `perennial run`")
    _line("serving", found.serving or ("not running", "yellow"))
    if found.serving_problem:
        _line("", ("does not answer", "red"), f": {found.serving_problem}")
    _line("events", *_waiting(found))
    _line("buffer", ", ".join(f"{count} {name}" for name, count in found.tables.items() if count) or "empty")
    if coming := ", ".join(f"{one.texts} {table}" for table, one in found.backlog.items() if one.texts):
        since_each = [one.since for one in found.backlog.values() if one.since is not None]
        _line("preparing", f"{coming}{f', the oldest since {_moment(min(since_each))}' if since_each else ''}")
    if found.dead_letters:
        say("  dead letters  ", (f"{found.dead_letters}", "yellow"), " (`perennial dlq list`)", indent=_MARGIN)
    if found.set_aside:
        failed = counted(found.set_aside, "text")
        _line("set aside", (failed, "yellow"), " that could not be processed (`perennial dlq set-aside`)")
    for line in found.erasures:
        _line("erasing", (line, "yellow"))
    for alert in found.alerts:
        if alert.name not in _TOLD_ABOVE:
            whose = f"{alert.task}: " if alert.task else ""
            style = "bold red" if alert.severity == "critical" else "yellow"
            _line("alert", (f"{whose}{alert.what}", style), f" (docs/runbooks/{alert.name}.md)")
    for task in found.tasks:
        _print_task(task)


def _print_task(task: TaskStatus) -> None:
    say("\n", (task.task, "bold"), f" ({task.kind})")
    since = f" since {_moment(task.champion_since)}" if task.champion_since else ""
    _line("champion", f"{task.champion}{since}" if task.champion else "none yet", (" (pinned)" if task.pinned else "", "yellow"))
    if task.passed_over:
        _line("served as", task.computes_by or "", ("; its variant is not used", "yellow"), f": {task.passed_over}")
    elif task.computes_by:
        _line("served as", task.computes_by)
    if task.paused:
        _line("PAUSED", (f"since {_moment(task.paused.since)} by {task.paused.actor}", "yellow"), f": {task.paused.reason}")
    if task.texts_cut:
        _line("cut texts", f"{task.texts_cut}: the model reads only their beginning (training.max_tokens)")
    _line("examples", _examples(task))
    if task.held_out is not None and task.held_out.raised:
        _line("", task.held_out.sentence)
    _print_feedback(task)
    if task.run:
        _print_run(task.run, task.reasons)
    else:
        first, *others = [reason for reason in task.reasons if reason] or [""]
        _line("next run", ("due", "green") if task.due else "not due", f": {first}" if first else "")
        for reason in others:
            _line("", reason)
    if task.last_run:
        _print_last(task.last_run)
    if task.pair:
        _line("asking", task.pair.words)


def _print_run(run: UnderWay, reasons: tuple[str, ...]) -> None:
    _line("run", f"{run.run_id}: {run.state} ({run.reason}){_progress(run.progress)}")
    if run.state in _STANDING_STILL:
        for reason in reasons:
            _line("", reason)


def _print_last(last: Ended) -> None:
    ended = f"{_moment(last.finished_at)}, " if last.finished_at else ""
    _line("last run", f"{last.word} ({ended}{last.version or 'no version'})")
    if last.erased_at:
        _line("", f"its training set held erased texts; its folder was removed at {_moment(last.erased_at)}")
    for reason in last.why:
        _line("", reason)


def _waiting(found: Status) -> tuple[str | tuple[str, str], ...]:
    if found.log_problem:
        return ("unknown", "red"), f": {found.log_problem}"
    waiting = ", ".join(f"{topic.removeprefix('perennial.')} {count}" for topic, count in found.lag.items() if count)
    return (f"not read yet: {waiting}" if waiting else "all read",)


def _examples(task: TaskStatus) -> str:
    """Say how many rows there are to train and test with, and how many are being prepared; zeros are left out."""
    from daemon.views.task.task_status import anchor_in_words  # noqa: PLC0415 - heavy

    counts = task.counts
    weight = "" if task.new_weight == task.new_examples else f", weighing {task.new_weight:g}"
    unused = f" ({task.new_examples} unused{weight})" if task.new_examples else ""
    older = counts.test - counts.test_in_window
    needed = f" of {task.tests_needed} needed" if counts.test_in_window < task.tests_needed else ""
    outside = f" ({older} more are older than promotion.window_days)" if older else ""
    has = [f"training rows {counts.train}{unused}", f"test rows {counts.test_in_window}{needed}{outside}"]
    has += [told] if (told := anchor_in_words(counts)) else []
    coming = [f"preparing {counts.unenriched}"] if counts.unenriched else []
    coming += [f"{counts.waiting} waiting for their article"] if counts.waiting else []
    return "; ".join([", ".join(has), *([f"still {', '.join(coming)}"] if coming else [])])


def _print_feedback(task: TaskStatus) -> None:
    state = task.feedback
    if state.standings:
        effective = state.standings.get("effective", 0)
        aside = sum(state.standings.values()) - effective - state.quarantined
        told: list[str | tuple[str, str]] = [f"{effective} in use"]
        if state.quarantined:
            told += [", ", (f"{state.quarantined} quarantined", "yellow"), " (`perennial feedback quarantine`)"]
        _line("feedback", *told, f", {aside} not used" if aside else "")
    for alarm in state.alarms:
        _line(
            "ALARM",
            f"{counted(alarm.held, 'correction')} by {counted(alarm.users, 'user')} change {alarm.move!r}, far more than "
            "usual. Feedback starts no run until you decide (`perennial feedback quarantine`).",
            style="bold red",
        )


def _progress(progress: Progress | None) -> str:
    if progress is None:
        return ""
    if progress.phase == "training" and progress.steps:
        return f", step {progress.step} of {progress.steps}"
    return f", {progress.phase}"


def _line(name: str, *parts: str | tuple[str, str], style: str = "") -> None:
    say((f"  {name:<{_MARGIN - 2}}", style), *parts, indent=_MARGIN)


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
