"""Keeps the serving process alive: starts it, adopts one that outlived a crashed daemon, restarts it when it dies.

One that somebody started with `perennial serve` is let be: while it answers, none is started beside it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time

import psutil
import structlog

from config.errors import RetryError, UserError
from config.settings import Settings, environment_of
from daemon.process import child_environment, presence, probe

PROGRAM = ("-P", "-m", "daemon.serving")
"""What Python is told to run. -P: modules are not looked for in the working folder; a user may have a `config.py` there."""
_START_LIMIT_S = 120.0
_STOP_LIMIT_S = 20.0
_CHECK_S = 0.5
_PROBE_EVERY_S = 5.0
_MOST_UNANSWERED = 3
"""Questions in a row that it leaves unanswered, each for `probe.PATIENCE_S`, before it is killed and started again."""
_USER_ERROR_EXIT = 2

log = structlog.get_logger(__name__)


class ServingChild:
    """The one serving process that belongs to this data folder. One thread steps; `stop` comes after it."""

    def __init__(self, settings: Settings, stop: threading.Event) -> None:
        self._settings = settings
        self._stop = stop
        self._digest = digest(settings)
        self._child: subprocess.Popen[bytes] | None = None
        self._was_up = False
        self.address: str | None = None
        self._probe_at = 0.0
        self._unanswered = 0

    def step(self) -> float:
        """Make sure that serving is up; return the seconds until the next check.

        Raises `UserError` when it refuses its settings, `RetryError` when it does not come up.
        """
        here = presence.read(self._settings.data_dir)
        if here is not None and presence.is_alive(here):
            if here.started_under in ("", self._digest):
                self._note(here)
                if not self._hangs(here):
                    return _CHECK_S
                _end_if_there(here.pid, at_once=True)
            else:
                log.warning(
                    "serving.other_settings", address=here.address, pid=here.pid, next="it is restarted with the current settings"
                )
                _end_if_there(here.pid)
        if self.address is not None:
            exit_code = self._child.poll() if self._child is not None else None
            log.error("serving.died", address=self.address, exit_code=exit_code, next="it is started again")
        self._end_child()
        self._start()
        return _CHECK_S

    def reload(self) -> None:
        """Have serving that a daemon has started reload the task files; one that was started on its own is left alone."""
        here = presence.read(self._settings.data_dir)
        if here is not None and here.started_under and presence.is_alive(here):
            with contextlib.suppress(ProcessLookupError):
                os.kill(here.pid, signal.SIGHUP)

    def stop(self) -> None:
        """Stop serving that a daemon has started, this one or one that crashed; it answers what is in flight first."""
        here = presence.read(self._settings.data_dir)
        if here is not None and presence.is_alive(here):
            if here.started_under:
                _end_if_there(here.pid)
            else:
                log.info("serving.left_running", address=here.address, pid=here.pid, reason="no daemon started it")
        self._end_child()

    def leave(self) -> None:
        """Leave serving running without this daemon; the next one adopts it."""
        log.warning(
            "serving.left_running", address=self.address, reason="no stop was requested", next="the next daemon adopts it"
        )
        if self._child is not None and self._child.stdout is not None:
            self._child.stdout.close()

    def _hangs(self, here: presence.Presence) -> bool:
        """Probe it from time to time; return whether to end it because it has not answered for too long."""
        if time.monotonic() < self._probe_at:
            return False
        why = probe.problem(here)
        self._probe_at = time.monotonic() + _PROBE_EVERY_S
        if why is None:
            self._unanswered = 0
            return False
        self._unanswered += 1
        may_end = bool(here.started_under)
        given_up = self._unanswered >= _MOST_UNANSWERED and may_end
        log.error(
            "serving.does_not_answer", address=here.address, pid=here.pid, reason=why, times=self._unanswered,
            next="it is killed and started again" if given_up else "it is asked again" if may_end
            else "end it by hand: it was started without a daemon",
        )  # fmt: skip
        if given_up:
            self._unanswered = 0
        return given_up

    def _note(self, here: presence.Presence) -> None:
        self._was_up = True
        if self.address == here.address:
            return
        self.address = here.address
        self._probe_at, self._unanswered = time.monotonic() + _PROBE_EVERY_S, 0
        if here.started_under:
            log.info("serving.up", address=here.address, pid=here.pid, adopted=self._child is None)
        else:
            log.info(
                "serving.independent",
                address=here.address,
                pid=here.pid,
                next="it keeps its own settings and outlives this daemon; when it ends, the daemon starts another",
            )

    def _start(self) -> None:
        # A session of its own: a crash or Ctrl-C of the daemon leaves it answering.
        self._child = subprocess.Popen(
            [sys.executable, *PROGRAM, self._digest],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
            env=child_environment.for_serving(self._settings),
        )
        line = self._first_line(self._child)
        if line:
            self.address, self._was_up = json.loads(line)["address"], True
            self._probe_at, self._unanswered = time.monotonic() + _PROBE_EVERY_S, 0
            log.info("serving.up", address=self.address, pid=self._child.pid, adopted=False)
            return
        exit_code = self._child.poll()
        self._end_child()
        if self._stop.is_set():
            return
        if exit_code == _USER_ERROR_EXIT and not self._was_up:
            message = "serving refused its settings (see its message above); fix them and start again"
            raise UserError(message)
        # Once it was up under these settings, a mistake is in a file that was changed since: the daemon continues without it.
        what = f"did not come up within {_START_LIMIT_S:.0f} s" if exit_code is None else f"ended at once with code {exit_code}"
        message = f"serving {what} (see its log above); it is started again"
        raise RetryError(message)

    def _first_line(self, child: subprocess.Popen[bytes]) -> bytes:
        """Return what the child says once it listens; nothing when it ends, takes too long or this daemon stops."""
        assert child.stdout is not None  # noqa: S101 - asked for; narrows the type
        deadline = time.monotonic() + _START_LIMIT_S
        while time.monotonic() < deadline and not self._stop.is_set():
            if select.select([child.stdout], [], [], _CHECK_S)[0]:
                line = child.stdout.readline()
                if not line:
                    # It is ending: its exit code, which says why, comes a moment after the end of its output.
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        child.wait(_STOP_LIMIT_S)
                return line
        return b""

    def _end_child(self) -> None:
        """Forget the child that was started here, ended if it still runs."""
        if self._child is not None:
            if self._child.poll() is None:
                _end(psutil.Process(self._child.pid))
            if self._child.stdout is not None:
                self._child.stdout.close()
            self._child.wait()
        self._child, self.address = None, None


def digest(settings: Settings) -> str:
    """Return eight hexadecimal digits that tell these settings from others: by them a daemon knows its own child again."""
    # Short: enough to see a change, and too little to guess the token from, which others on this machine could then try.
    return hashlib.sha256(json.dumps(environment_of(settings), sort_keys=True).encode()).hexdigest()[:8]


def _end_if_there(pid: int, *, at_once: bool = False) -> None:
    """Ask the process to stop, or kill it `at_once`: one that hangs would not hear."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        if at_once:
            process.kill()
            process.wait()
            log.warning("serving.killed", pid=pid, reason="it did not answer")
        else:
            _end(process)


def _end(process: psutil.Process) -> None:
    """Ask a process to stop, and kill it when it takes too long."""
    process.terminate()
    try:
        process.wait(_STOP_LIMIT_S)
    except psutil.TimeoutExpired:
        log.warning("serving.killed", pid=process.pid, reason=f"it did not stop within {_STOP_LIMIT_S:.0f} s")
        process.kill()
        process.wait()
    log.info("serving.stopped", pid=process.pid)
