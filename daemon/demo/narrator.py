"""Shows what the daemon reports: a live panel on a terminal, a line for each thing that happens."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from config.errors import UserError
from daemon.demo.installation import Installation
from daemon.views.models.runs import Ended
from daemon.views.status import Status
from daemon.views.task_status import TaskStatus

_PLAIN_INTERVAL_S = 5.0
_INDENT = (0, 0, 0, 4)
"""Of the lines below a task's name."""
_STYLES = {"promote": "bold green", "keep": "yellow", "insufficient_evidence": "yellow"}


class Narrator:
    """Compares each status with the one before and prints what changed."""

    def __init__(self, console: Console, installation: Installation, tasks: Sequence[str]) -> None:
        self._console = console
        self._installation = installation
        self._tasks = tasks
        self._live = Live(console=console, refresh_per_second=4, transient=True) if console.is_terminal else None
        self._started = time.monotonic()
        self._told_at = 0.0
        self._counts = self._told_counts = ""
        self._runs: dict[str, str] = {}
        self._ended: dict[str, list[Ended]] = {task: [] for task in tasks}
        self._started_runs = dict.fromkeys(tasks, 0)
        self._champions: dict[str, str | None] = dict.fromkeys(tasks)
        self._phases: dict[str, str] = {}

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    def say(self, text: str) -> None:
        """Print a sentence of the demo itself."""
        self._print(Text(text, "bold"))

    def champion(self, task: str) -> str | None:
        """Return the champion last seen."""
        return self._champions[task]

    def runs_since(self, task: str, champion: str | None) -> bool:
        """Return whether a run, not a refresh of the head, has ended that was compared with `champion`, or that replaced it."""
        slow = (run for run in self._ended[task] if run.kind != "refresh")
        return any((run.comparison.champion_version if run.comparison else None) == champion for run in slow)

    def refreshes(self, task: str) -> int:
        """Return how many refreshes of the head of `task` have been seen to end."""
        return sum(run.kind == "refresh" for run in self._ended[task])

    def runs_started(self, task: str) -> int:
        """Return how many runs of `task` have been seen to start, refreshes of the head apart."""
        return self._started_runs[task]

    def look(self) -> Status:
        """Read the status once, print what changed, and return it."""
        status = self._installation.status()
        for task in status.tasks:
            if task.task in self._tasks:
                self._tell(task)
        if self._live is not None:
            self._live.update(self._panel(status))
        elif time.monotonic() - self._told_at > _PLAIN_INTERVAL_S:
            self._told_at = time.monotonic()
            self._plain(status)
        return status

    def watch_until(self, happened: Callable[[], bool], *, limit_s: float) -> None:
        """Look again and again until `happened`. Raises `InstallationError` when time runs out."""

        def looked() -> bool:
            self.look()
            return happened()

        self._installation.wait_until(looked, limit_s=limit_s, what="the models to be trained and compared")

    def settle(self) -> None:
        """Wait a moment for serving to follow the last promotion."""

        def follows() -> bool:
            try:
                answered = {task: self._installation.predict(task, ["."])["version"] for task in self._tasks}
            except UserError:
                return False  # the first champion of a task is still being loaded
            return answered == self._champions

        self.look()
        self._installation.wait_until(follows, limit_s=120, what="serving to follow the champion")

    def _tell(self, task: TaskStatus) -> None:
        run, last = task.run, task.last_run
        if run is not None and self._runs.get(task.task) != run.run_id:
            self._runs[task.task] = run.run_id
            self._started_runs[task.task] += run.kind != "refresh"
            kind = "refresh of the head" if run.kind == "refresh" else f"{run.kind} run"
            self._print(Text.assemble((f"{task.task} ", "bold cyan"), f"{kind} starts: {run.reason}"))
        if last is not None and all(last.run_id != ended.run_id for ended in self._ended[task.task]):
            self._ended[task.task].append(last)
            style = _STYLES.get(last.verdict or "", "bold red")
            self._print(Text.assemble((f"{task.task} ", "bold cyan"), (last.word, style), f"  {last.version or ''}"))
            for reason in last.why:
                self._print(Text(f"    {reason}"))
        if task.champion != self._champions[task.task]:
            self._champions[task.task] = task.champion
            self._print(Text.assemble((f"{task.task} ", "bold cyan"), f"champion is now {task.champion}; serving switches to it"))

    def _print(self, text: Text) -> None:
        # A grid, so that a line too long for the terminal continues under its own beginning.
        line = Table.grid(padding=(0, 2, 0, 0))
        line.add_row(Text(f"{time.monotonic() - self._started:4.0f} s", "dim", no_wrap=True), text)
        (self._live.console if self._live is not None else self._console).print(line)

    def _plain(self, status: Status) -> None:
        counts = ", ".join(f"{count} {name}" for name, count in status.tables.items() if count)
        # Printed once it has stopped growing, not at every look.
        if counts == self._counts and counts != self._told_counts:
            self._told_counts = counts
            self._print(Text(f"buffer: {counts}", "dim"))
        self._counts = counts
        for task in status.tasks:
            if task.run is not None and task.task in self._tasks and self._phases.get(task.task) != _stage(task):
                self._phases[task.task] = _stage(task)
                self._print(Text(f"{task.task}: {_stage(task)}", "dim"))

    def _panel(self, status: Status) -> Group:
        lines: list[Text | Padding] = []
        for task in status.tasks:
            if task.task in self._tasks:
                counts = task.counts
                unused = f" ({task.new_examples} unused)" if task.new_examples else ""
                preparing = f", still preparing {counts.unenriched}" if counts.unenriched else ""
                rows = f"training rows {counts.train}{unused}, test rows {counts.test}{preparing}"
                lines += [
                    Text.assemble((task.task, "bold cyan"), f"  champion {task.champion or 'none yet'}"),
                    Padding(Text(rows, "dim"), _INDENT),
                    Padding(self._now(task), _INDENT),
                ]
        tables = ", ".join(f"{count} {name}" for name, count in status.tables.items() if count) or "empty"
        lag = sum(status.lag.values())
        unread = f"; events not read yet: {lag}" if lag else ""
        return Group(Text(f"\nbuffer: {tables}{unread}", "dim"), *lines)

    @staticmethod
    def _now(task: TaskStatus) -> Table | Text:
        if task.run is None:
            return Text("; ".join(reason for reason in task.reasons[:1] if reason))
        progress = task.run.progress
        if not progress or progress.phase != "training" or not progress.steps:
            return Text(_stage(task))
        grid = Table.grid(padding=(0, 1))
        loss = f"loss {progress.loss:.2f}" if progress.loss is not None else ""
        grid.add_row(
            ProgressBar(total=progress.steps, completed=progress.step, width=20),
            Text(f"training {progress.step}/{progress.steps} {loss}"),
        )
        return grid


def _stage(task: TaskStatus) -> str:
    assert task.run is not None  # noqa: S101 - callers look first; narrows the type
    progress = task.run.progress
    if not progress:
        return task.run.state
    if progress.phase == "training" and progress.steps:
        return f"training, step {progress.step} of {progress.steps}"
    return {"scoring": "candidate and champion answer the same test rows"}.get(progress.phase, progress.phase)
