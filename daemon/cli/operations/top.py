"""`perennial top`: the loop at work, live in the terminal."""

from __future__ import annotations

import select
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.live import Live
from rich.text import Text

from config.errors import RetryError, UserError
from config.words import bar, counted, printable
from daemon.cli.output import console
from daemon.cli.settings import load_settings
from daemon.dashboard import shown

if TYPE_CHECKING:
    from daemon.views.installation.status import Status
    from daemon.views.models.runs import UnderWay
    from daemon.views.task.task_status import TaskStatus

_BAR, _SHORT_BAR = 16, 8
_WIDE = 100
_QUIT = "q"

Line = Sequence[str | tuple[str, str]]


def register(app: typer.Typer) -> None:
    """Add this file's command to the application."""
    app.command()(top)


def top(every: Annotated[float, typer.Option(help="Seconds between two looks.", min=0.2, max=3600)] = 2.0) -> None:
    """Watch the loop live: events, buffers that fill, runs, verdicts, alarms. q ends it."""
    if not console.is_terminal or not sys.stdin.isatty():
        message = "perennial top draws on a terminal, and this is none; `perennial status --watch 2` prints again and again"
        raise UserError(message)
    from daemon.views.installation.status import StatusReader  # noqa: PLC0415 - heavy

    reader = StatusReader(load_settings())
    try:
        with _keys(), Live(console=console, screen=True, auto_refresh=False) as live:
            last: Status | None = None
            while True:
                trouble = ""
                try:
                    last = reader.read()
                except RetryError as error:
                    trouble = str(error)
                live.update(screen_of(last, console.width, console.height, trouble=trouble), refresh=True)
                if _pressed(every):
                    return
    except KeyboardInterrupt:
        return
    finally:
        reader.close()


def screen_of(found: Status | None, width: int, height: int, *, trouble: str = "") -> Text:
    """Return what a terminal of so many columns and lines shows; what does not fit is counted on the last line."""
    lines: list[Line] = [("",), ((trouble, "red"), "; tried again")] if trouble else []
    if found is None:
        return _drawn(lines or [("nothing read yet",)], width)
    lines = [*_head(found), *lines]
    left = list(found.tasks)
    while left:
        block = [("",), *_task(left[0], found, _BAR if width >= _WIDE else _SHORT_BAR)]
        last_line = 1 if len(left) > 1 else 0
        if len(lines) + len(block) + last_line > height:
            break
        lines += block
        left.pop(0)
    if left:
        lines.append(((f"{counted(len(left), 'more task')}: enlarge the window, or see `perennial status`", "dim"),))
    return _drawn(lines[:height], width)


def _head(found: Status) -> Iterator[Line]:
    daemon = found.leader or ("no daemon runs", "bold red")
    serving = (
        ("does not answer", "bold red")
        if found.serving_problem
        else (found.serving or "").removeprefix("http://") or ("not running", "yellow")
    )
    yield ("Perennial", "bold"), f"  {found.at:%H:%M:%S} UTC  daemon ", daemon, "  serving ", serving
    waiting, behind = sum(found.lag.values()), sum(one.texts for one in found.backlog.values())
    log: str | tuple[str, str] = f"{shown.count(waiting)} not read" if waiting else "all read"
    yield (
        f"events {shown.rate(found.stored_per_s or 0.0)}/s, ", ("log unreadable", "red") if found.log_problem else log,
        f"  buffer {shown.count(sum(found.tables.values()))} rows  ",
        f"enrichment {shown.count(behind)} behind" if behind else "enrichment up to date",
        *([("  " + counted(found.dead_letters, "dead letter"), "yellow")] if found.dead_letters else []),
    )  # fmt: skip
    for alert in found.alerts:
        style = "bold red" if alert.severity == "critical" else "yellow"
        yield (alert.severity, style), f"  {f'{alert.task}: ' if alert.task else ''}{alert.what} ({alert.name})"


def _task(task: TaskStatus, found: Status, bar_columns: int) -> Iterator[Line]:
    from daemon.views.task.task_status import due_in_words  # noqa: PLC0415 - heavy

    since = f" since {shown.ago(task.champion_since, found.at)}" if task.champion_since else ""
    champion = f"{task.champion}{since}" if task.champion else "no champion yet"
    yield (task.task, "bold"), (f" ({task.kind})  ", "dim"), champion, (" pinned" if task.pinned else "", "yellow")
    yield (
        "  new examples ", *_bar(task.new_weight, task.needed, bar_columns), f" {shown.weight(task.new_weight)} of {task.needed}",
        "   test rows ", *_bar(task.counts.test_in_window, task.tests_needed, bar_columns),
        f" {shown.count(task.counts.test_in_window)} of {shown.count(task.tests_needed)}",
    )  # fmt: skip
    if task.run is not None:
        yield "  run   ", *_run(task.run)
    if task.last_run is not None:
        what = task.last_run.version or task.last_run.run_id
        why = f": {task.last_run.why[0]}" if task.last_run.why else ""
        style = {"promote": "green", "keep": "yellow"}.get(task.last_run.verdict or "", "")
        yield "  last  ", (task.last_run.word, style), f" {what}, {shown.ago(task.last_run.finished_at, found.at)}{why}"
    if task.run is None:
        yield "  next  ", (due_in_words(task), "green" if task.due else "")


def _run(run: UnderWay) -> Iterator[str | tuple[str, str]]:
    at = run.progress
    yield f"{run.kind}, {at.phase if at else run.state} "
    if at is not None and at.steps:
        yield from _bar(at.step, at.steps, _BAR)
        yield f" {at.step} of {at.steps}"
    if run.ends_in_s is not None:
        yield f", about {shown.span(run.ends_in_s)} left"


def _bar(value: float, full: float, columns: int) -> Sequence[tuple[str, str]]:
    done, left = bar(value, full, columns)
    return (done, "green"), (left, "dim")


def _drawn(lines: Sequence[Line], width: int) -> Text:
    drawn = []
    for line in lines:
        parts = ((part, "") if isinstance(part, str) else part for part in line)
        text = Text.assemble(*((printable(content), style) for content, style in parts), no_wrap=True)
        text.truncate(width, overflow="ellipsis")
        drawn.append(text)
    return Text("\n").join(drawn)


@contextmanager
def _keys() -> Iterator[None]:
    """Hand keys over as they are pressed, without showing them."""
    import termios  # noqa: PLC0415 - not on every system
    import tty  # noqa: PLC0415 - as above

    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _pressed(within_s: float) -> bool:
    """Wait so long for a key; return whether it was the one that ends."""
    ready, _, _ = select.select([sys.stdin], [], [], within_s)
    return bool(ready) and sys.stdin.read(1).lower() == _QUIT
