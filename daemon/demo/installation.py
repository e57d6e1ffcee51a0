"""A throw-away installation: a data folder, a real daemon process over it, and the ways to feed and watch it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from config.errors import PerennialError
from config.keys import ENV_FILE_VARIABLE
from config.settings import SHIPPED_TASKS_DIR, Settings, environment_of, shipped_settings
from config.tasks import TaskSpec, load_tasks
from consumers.events import schemas as events
from consumers.log.open import open_event_log
from consumers.log.protocols import EventLog
from daemon.process import presence
from daemon.serving.client import post
from daemon.views.installation.status import Status, StatusReader
from daemon.views.task.task_status import TaskStatus

PROGRAM = ("-P", "-m", "daemon")
"""What the interpreter runs: `perennial`, which looks for no modules in the working folder."""
_POLL_S = 0.25
_STOP_LIMIT_S = 60.0
_LOG_TAIL_CHARS = 2_000
_FLUSH_EVERY = 500


class InstallationError(PerennialError):
    """The daemon of a throw-away installation ended or did not get there in time."""


class Installation:
    """Its own daemon in `folder`; leaving the `with` block stops it.

    It uses the shipped tasks and settings, whatever the user's own installation has; only PERENNIAL_TRAINING__* variables
    (device, precision, threads) count.

    `task_overrides` maps task name -> dotted key -> value and changes copies of the shipped task files; `settings_overrides`
    maps section -> key -> value.
    """

    def __init__(
        self,
        folder: Path,
        *,
        task_overrides: Mapping[str, Mapping[str, Any]] | None = None,
        serve: bool = True,
        settings_overrides: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self.folder = folder
        tasks_dir = folder / "tasks"
        _write_tasks(load_tasks(SHIPPED_TASKS_DIR), tasks_dir, task_overrides or {})
        sections: dict[str, dict[str, Any]] = {name: dict(values) for name, values in (settings_overrides or {}).items()}
        # Free ports unless others are asked for: nothing that runs on this machine is in the way.
        for name in ("serving", "telemetry"):
            sections.setdefault(name, {}).setdefault("port", 0)
        self.settings: Settings = shipped_settings("training", data_dir=folder / "data", tasks_dir=str(tasks_dir), **sections)
        # Empty: the processes of this installation must not read the user's.
        self._settings_file = folder / "perennial.toml"
        self._settings_file.touch()
        self.log_file = folder / "daemon.log"
        self._log_start = 0
        self.serve = serve
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: StatusReader | None = None
        self._event_log: EventLog | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            # Without the block's end nobody else would stop it.
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The daemon's process id."""
        assert self._process is not None  # noqa: S101 - a caller's mistake
        return self._process.pid

    def start(self, program: Sequence[str] = PROGRAM) -> None:
        """Start the daemon and return when it is up (and, with serving, when it answers)."""
        command = [sys.executable, *program, "run", *([] if self.serve else ["--no-serve"])]
        with self.log_file.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=os.environ | self.environment()
            )
        self.wait_until(self._is_up, limit_s=120, what="the daemon to start")

    def wait(self, limit_s: float) -> int:
        """Wait until the daemon has ended on its own; return its exit code."""
        assert self._process is not None  # noqa: S101 - a caller's mistake
        return self._process.wait(limit_s)

    def kill(self) -> None:
        """Kill the daemon as a crash would: no goodbye."""
        assert self._process is not None  # noqa: S101 - a caller's mistake
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """Stop the daemon politely and release everything; return its exit code."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        if self._event_log is not None:
            self._event_log.close()
            self._event_log = None
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(_STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
        return self._process.wait()

    def publish(self, stream: Iterable[events.AnyEvent], *, rate: float | None = None) -> int:
        """Publish events as any producer would, at most `rate` a second; return how many."""
        if self._event_log is None:
            self._event_log = open_event_log(self.settings)
        sink = self._event_log.sink()
        started, count = time.monotonic(), 0
        try:
            for event in stream:
                sink.publish(events.TOPIC_OF_TYPE[event.type], events.to_bytes(event), key=events.key_of(event))
                count += 1
                if rate:
                    sink.flush()
                    time.sleep(max(0.0, started + count / rate - time.monotonic()))
                elif count % _FLUSH_EVERY == 0:
                    sink.flush()
            sink.flush()
        finally:
            sink.close()
        return count

    def change_tasks(self, overrides: Mapping[str, Mapping[str, Any]]) -> None:
        """Change task files (task name -> dotted key -> value) and have the daemon reload them, as an operator would."""
        folder = self.settings.tasks_folder
        _write_tasks(load_tasks(folder), folder, overrides)
        os.kill(self.pid, signal.SIGHUP)

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Post JSON to the serving process."""
        here = presence.read(self.settings.data_dir)
        if here is None:
            message = "serving is not up"
            raise InstallationError(message)
        return post(self.settings, here.address, path, body)

    def predict(self, task: str, texts: list[str]) -> dict[str, Any]:
        """Ask the champion over HTTP."""
        return self.post(f"/v1/tasks/{task}/predict", {"texts": texts})

    @property
    def reader(self) -> StatusReader:
        """What reads registry and buffer beside the daemon."""
        if self._reader is None:
            self._reader = StatusReader(self.settings)
        return self._reader

    def status(self) -> Status:
        """Return what `perennial status` shows."""
        return self.reader.read()

    def task(self, name: str) -> TaskStatus:
        """Return one task's status."""
        return next(task for task in self.status().tasks if task.task == name)

    def is_quiet(self) -> bool:
        """Return whether every event is buffered and enriched and no run is under way or due."""
        status = self.status()
        return not any(status.lag.values()) and all(
            task.run is None and not task.due and task.counts.unenriched == 0 for task in status.tasks
        )

    def wait_until_quiet(self, *, limit_s: float) -> None:
        """Wait until `is_quiet`."""
        self.wait_until(self.is_quiet, limit_s=limit_s, what="the daemon to process everything")

    def wait_until(self, happened: Callable[[], bool], *, limit_s: float, what: str) -> None:
        """Wait for `happened`. Raises `InstallationError` with the end of the daemon's log when it ended or time ran out."""
        deadline = time.monotonic() + limit_s
        while True:
            looked = time.monotonic()
            if happened():
                return
            if self._process is not None and self._process.poll() is not None:
                message = f"the daemon ended with code {self._process.returncode} while waiting for {what}:\n{self.log_tail()}"
                raise InstallationError(message)
            if time.monotonic() > deadline:
                message = f"waited {limit_s:.0f} s for {what}:\n{self.log_tail()}"
                raise InstallationError(message)
            # A look takes what the training child beside it needs: at most a fifth of the time.
            time.sleep(max(_POLL_S, 4 * (time.monotonic() - looked)))

    def environment(self) -> dict[str, str]:
        """Return what tells a process of ours to use this installation, beside the variables it has."""
        return {**environment_of(self.settings), ENV_FILE_VARIABLE: str(self._settings_file)}

    def log_tail(self) -> str:
        """Return the end of the daemon's log."""
        return self.log_file.read_text(errors="replace")[-_LOG_TAIL_CHARS:]

    def _is_up(self) -> bool:
        if b"daemon.started" not in self.log_file.read_bytes()[self._log_start :]:
            return False
        if not self.serve:
            return True
        here = presence.read(self.settings.data_dir)
        return here is not None and presence.is_alive(here)


def _write_tasks(tasks: Mapping[str, TaskSpec], folder: Path, overrides: Mapping[str, Mapping[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, task in tasks.items():
        content = task.model_dump(mode="json")
        for dotted, value in overrides.get(name, {}).items():
            place = content
            *parents, key = dotted.split(".")
            for parent in parents:
                place = place[parent]
            place[key] = value
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
