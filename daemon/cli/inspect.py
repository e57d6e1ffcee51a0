"""Commands that only look: status, tasks, config, schema."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import SecretStr
from rich.markup import escape
from rich.text import Text

from config.durable import write_atomic
from config.keys import flatten
from config.settings import load_settings, sources
from config.tasks import load_tasks
from config.words import counted, printable
from consumers.events import json_schemas as event_schemas
from daemon.cli.output import AsJson, console, print_json, say, table

if TYPE_CHECKING:
    from daemon.views.status import Status, TaskStatus

_MASK = "********"


def register(app: typer.Typer) -> None:
    """Add this file's commands to the application."""
    app.command()(status)
    app.command()(tasks)
    app.command()(config)
    app.command()(schema)


def status(
    as_json: AsJson = False,
    watch: Annotated[float, typer.Option(help="Repeat every so many seconds; 0: once.", min=0)] = 0.0,
) -> None:
    """Show the daemon, the buffer and, why each task is or is not due for training."""
    settings = load_settings()
    from daemon.views.status import StatusReader  # noqa: PLC0415 - heavy

    reader = StatusReader(settings)
    try:
        while True:
            found = reader.read()
            if as_json:
                print_json(found.as_json())
            else:
                print_status(found)
            if not watch:
                return
            time.sleep(watch)
    finally:
        reader.close()


def tasks(as_json: AsJson = False) -> None:
    """List the tasks that are defined, with their labels and policies."""
    settings = load_settings()
    defined = load_tasks(settings.tasks_folder)
    if as_json:
        print_json([task.model_dump(mode="json") for task in defined.values()])
        return
    console.print(Text(f"{counted(len(defined), 'task')} in {settings.tasks_folder}", "dim"))
    for task in defined.values():
        policy = task.promotion
        console.print(f"\n[bold]{task.name}[/]  {escape(printable(task.description))}")
        console.print(f"  kind      {task.kind} on {task.backend}, base model {task.base_model}")
        say(f"  labels    {task.labels}: {', '.join(task.label_names) or 'as they come'}")
        console.print(
            f"  trains    at {task.trigger.min_new_examples} new examples{', and weekly' if task.trigger.weekly else ''}"
        )
        console.print(
            f"  promotes  when {policy.metric} is better by more than {policy.min_improvement:.0%} ({policy.improvement})"
            f"{'' if policy.mode == 'auto' else ', by hand'}"
        )


def config(as_json: AsJson = False) -> None:
    """Print the effective settings and where each came from; secrets are masked."""
    settings = load_settings()
    where = sources()
    flat = flatten(settings.model_dump(mode="python"))
    rows = [(key, _shown(key, value), where.get(key, "default")) for key, value in flat.items()]
    if as_json:
        print_json({key: {"value": value, "source": source} for key, value, source in rows})
        return
    table("Settings", ("key", "value", "source"), [(key, repr(value), source) for key, value, source in rows])


def schema(
    output: Annotated[
        Path | None, typer.Argument(help="Folder for one file per schema; without it all go to standard output.")
    ] = None,
) -> None:
    """Write the JSON Schemas of the events, for the apps that post them."""
    schemas = event_schemas.json_schemas()
    if output is None:
        print_json(schemas)
        return
    import json  # noqa: PLC0415 - only here

    for name, document in schemas.items():
        file = output / f"{name}.schema.json"
        write_atomic(file, (json.dumps(document, indent=2) + "\n").encode())
        file.chmod(0o644)  # for the apps, which need not run as this user
    console.print(f"{len(schemas)} schemas written to {output}")


def print_status(found: Status) -> None:
    """Print a status for people."""
    console.print(f"[bold]Perennial[/] at {found.at}")
    since = f" since {found.no_leader_since}" if found.no_leader_since else ""
    console.print(f"  leader   {found.leader or f'[yellow]none: no daemon runs{since}[/]; start one with `perennial run`'}")
    console.print(f"  serving  {found.serving or '[yellow]not running[/]'}")
    if found.serving_problem:
        console.print("           [red]does not answer[/]: ", end="")
        say(found.serving_problem)
    waiting = ", ".join(f"{topic.removeprefix('perennial.')} {count}" for topic, count in found.lag.items() if count)
    if found.log_problem:
        console.print("  waiting  [red]unknown[/]: ", end="")
        say(found.log_problem)
    else:
        console.print(f"  waiting  {f'events not read yet: {waiting}' if waiting else 'nothing: all events are read'}")
    console.print(f"  buffer   {', '.join(f'{count} {name}' for name, count in found.tables.items() if count) or 'empty'}")
    if found.dead_letters:
        console.print(f"  dead letters  [yellow]{found.dead_letters}[/] (`perennial dlq list`)")
    if found.set_aside:
        failed = counted(found.set_aside, "text")
        console.print(f"  set aside  [yellow]{failed}[/] that Perennial failed on (`perennial dlq set-aside`)")
    for line in found.erasures:
        console.print(Text(f"  {printable(line)}", "yellow"))
    for task in found.tasks:
        _print_task(task)


def _print_task(task: TaskStatus) -> None:
    champion = f"{task.champion} since {task.champion_since}" if task.champion else "none yet"
    console.print(f"\n[bold]{task.task}[/] ({task.kind})")
    console.print(f"  champion  {champion}{' [yellow](pinned)[/]' if task.pinned else ''}")
    if task.texts_cut:
        console.print(f"  cut       {task.texts_cut}: only the beginning is read (training.max_tokens)")
    console.print(f"  examples  {_examples(task)}")
    _print_feedback(task)
    if task.run:
        run = f"{task.run['run_id']}: {task.run['state']} ({task.run['reason']}){_progress(task.run['progress'])}"
        say(f"  run       {run}")
        if task.run["state"] in ("waiting", "interrupted"):
            for reason in task.reasons:
                say(f"            {reason}")
    else:
        label = "[green]due[/]" if task.due else "not due"
        console.print(f"  next run  {label}: ", end="")
        say("; ".join(reason for reason in task.reasons if reason))
    if task.last_run:
        last = task.last_run
        console.print(
            f"  last run  {last['verdict'] or last['state']} ({last['finished_at']}, {last['version'] or 'no version'})"
        )
        if last["erased_at"]:
            console.print(f"            its training set held erased texts; its folder was removed at {last['erased_at']}")
        for reason in last["reasons"] or [last["error"]]:
            say(f"            {reason}")


def _examples(task: TaskStatus) -> str:
    """Say what there is to train and test with, and what is on its way; zeros are left out."""
    counts = task.counts
    weight = "" if task.new_weight == task.new_examples else f", weighing {task.new_weight:g}"
    unused = f" ({task.new_examples} unused{weight})" if task.new_examples else ""
    older = counts.test - counts.test_in_window
    needed = f" of {task.tests_needed} needed" if counts.test_in_window < task.tests_needed else ""
    outside = f" ({older} more are older than promotion.window_days)" if older else ""
    has = [f"training rows {counts.train}{unused}", f"test rows {counts.test_in_window}{needed}{outside}"]
    has += [f"anchor rows {counts.anchor}"] if counts.anchor else []
    coming = [f"preparing {counts.unenriched}"] if counts.unenriched else []
    coming += [f"{counts.waiting} waiting for their article"] if counts.waiting else []
    return "; ".join([", ".join(has), *([f"still {', '.join(coming)}"] if coming else [])])


def _print_feedback(task: TaskStatus) -> None:
    state = task.feedback
    if state.standings:
        effective = state.standings.get("effective", 0)
        aside = sum(state.standings.values()) - effective - state.quarantined
        told = [f"{effective} in use"]
        told += [f"[yellow]{state.quarantined} quarantined[/] (`perennial feedback quarantine`)"] if state.quarantined else []
        told += [f"{aside} not used"] if aside else []
        console.print(f"  feedback  {', '.join(told)}")
    for alarm in state.alarms:
        console.print("  [bold red]ALARM[/]     ", end="")
        say(
            f"{counted(alarm.held, 'correction')} of {counted(alarm.users, 'user')} say {printable(alarm.move)!r}, far more than "
            "usual. Feedback starts no run until you decide (`perennial feedback quarantine`).",
        )


def _progress(progress: dict[str, Any] | None) -> str:
    if not progress:
        return ""
    if progress["phase"] == "training" and progress["steps"]:
        return f", step {progress['step']} of {progress['steps']}"
    return f", {progress['phase']}"


def _shown(key: str, value: object) -> object:
    if isinstance(value, SecretStr):
        return _MASK if value.get_secret_value() else ""
    if key == "registry.url" and value:
        return _without_password(str(value))
    return str(value) if isinstance(value, Path) else value


def _without_password(url: str) -> str:
    """Return a database URL as it may be shown; one that cannot be read is masked as a whole."""
    from sqlalchemy import make_url  # noqa: PLC0415 - heavy, and only this needs it
    from sqlalchemy.exc import ArgumentError  # noqa: PLC0415 - same

    try:
        parsed = make_url(url)
    except ArgumentError:
        return _MASK
    # The drivers also take passwords behind the question mark, which SQLAlchemy shows.
    return parsed.update_query_dict({name: "hidden" for name in parsed.query if "password" in name}).render_as_string(
        hide_password=True
    )
