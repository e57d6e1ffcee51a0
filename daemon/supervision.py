"""Keeps the serving process alive: starts it, adopts one that outlived a crashed daemon, restarts it when it dies."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time

import psutil
import structlog

from config.errors import RetryError, UserError
from config.settings import Settings, environment_of
from daemon.serving import presence

_START_LIMIT_S = 120.0
_STOP_LIMIT_S = 20.0
_CHECK_S = 0.5
_USER_ERROR_EXIT = 2

log = structlog.get_logger(__name__)


class ServingChild:
    """The one serving process that belongs to this data folder."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._child: subprocess.Popen[bytes] | None = None
        self.address: str | None = None

    def step(self) -> float:
        """Make sure that serving is up; return the seconds until the next look."""
        if self._child is not None and (exit_code := self._child.poll()) is not None:
            log.error("serving.died", exit_code=exit_code, next="it is started again")
            self._child, self.address = None, None
        here = presence.read(self._settings.data_dir)
        if here is not None and presence.is_alive(here):
            if self.address != here.address:
                log.info("serving.up", address=here.address, pid=here.pid, adopted=self._child is None)
                self.address = here.address
            return _CHECK_S
        self._start()
        return _CHECK_S

    def stop(self) -> None:
        """Stop serving, adopted or started; it answers what is in flight first."""
        here = presence.read(self._settings.data_dir)
        if here is None or not presence.is_alive(here):
            return
        try:
            process = psutil.Process(here.pid)
            process.send_signal(signal.SIGTERM)
            process.wait(_STOP_LIMIT_S)
        except psutil.NoSuchProcess:
            pass
        except psutil.TimeoutExpired:
            log.warning("serving.killed", pid=here.pid, reason=f"it did not stop within {_STOP_LIMIT_S:.0f} s")
            process.kill()
        log.info("serving.stopped", pid=here.pid)

    def _start(self) -> None:
        # A session of its own: a crash or Ctrl-C of the daemon leaves it answering.
        child = subprocess.Popen(
            [sys.executable, "-m", "daemon.serving"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
            env=os.environ | environment_of(self._settings),
        )
        self._child = child
        assert child.stdout is not None  # noqa: S101 - asked for above; narrows the type
        deadline = time.monotonic() + _START_LIMIT_S
        line = b""
        while time.monotonic() < deadline and child.poll() is None and not line:
            if select.select([child.stdout], [], [], _CHECK_S)[0]:
                line = child.stdout.readline()
        if line:
            self.address = json.loads(line)["address"]
            log.info("serving.up", address=self.address, pid=child.pid, adopted=False)
            return
        if child.poll() == _USER_ERROR_EXIT:
            message = "serving refused its settings (see its message above); mend them and start again"
            raise UserError(message)
        child.kill()
        message = f"serving did not come up within {_START_LIMIT_S:.0f} s; it is started again"
        raise RetryError(message)
