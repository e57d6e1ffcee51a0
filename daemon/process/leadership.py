"""How this process becomes the leader and stays it: it waits for the lease, keeps it, and opens the buffer to write."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial

import structlog

from config.errors import RetryError, StopError
from config.settings import Settings
from config.tasks import TaskSpec
from consumers.buffer import fencing
from consumers.buffer import folder as buffer_folder
from consumers.buffer.folder import WriterHeldError
from consumers.buffer.open import open_writer
from consumers.buffer.writer import BufferWriter
from consumers.erasure.requests import Erasures
from consumers.log.open import removed_events
from daemon.process import leader
from daemon.process.side_task import SideTask
from registry.store import Registry

_LOOK_S = 1.0

log = structlog.get_logger(__name__)


class Leadership:
    """How one process becomes leader. `meanwhile` is called at every check while it waits, `stands_by` once if another leads."""

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        stop: threading.Event,
        *,
        meanwhile: Callable[[], None],
        stands_by: Callable[[], None],
    ) -> None:
        self.holder = leader.name_of_this_process()
        self._settings = settings
        self._registry = registry
        self._stop = stop
        self._meanwhile = meanwhile
        self._stands_by = stands_by

    def acquire(self) -> int | None:
        """Wait for the lease and return its token; None when asked to stop while standing by."""
        lease_s, buffer_dir = self._settings.registry.lease_s, self._settings.buffer_dir
        waiting = False
        refused_since: float | None = None
        while not self._stop.is_set():
            self._meanwhile()
            try:
                token = self._registry.lease.acquire(self.holder, lease_s, above=fencing.highest_token(buffer_dir))
            except RetryError as error:
                log.warning("daemon.standby", reason=str(error), next="it requests the lease again")
                refused_since = refused_since or time.monotonic()
                if time.monotonic() - refused_since > lease_s and buffer_folder.writer_is_stopped(buffer_dir):
                    # A leader that was frozen within a transaction keeps an SQLite registry locked for everybody.
                    self._kill_former_leader(
                        f"it has locked the registry for more than {lease_s:.0f} s, and its process is frozen"
                    )
            else:
                refused_since = None
                if token is not None:
                    return token
                if not waiting:
                    leads = self._registry.lease.holder()
                    log.info("daemon.standby", leader=leads, next="it takes over when the leader's lease runs out")
                    self._stands_by()
                    waiting = True
            self._stop.wait(_LOOK_S)
        return None

    def keep(self, token: int, until: contextlib.ExitStack) -> SideTask:
        """Renew the lease from now on until `until` closes, after all else: opening a buffer or stopping may outlast a lease."""
        ended = threading.Event()
        lease_s = self._settings.registry.lease_s

        def renew() -> float:
            if not self._registry.lease.renew(self.holder, token, lease_s):
                message = (
                    f"{self._registry.lease.holder()} has taken over the leader's lease; this daemon stops so that two never "
                    "write. Start it again as a standby"
                )
                raise StopError(message)
            return lease_s / 3

        lease = SideTask("lease", renew, self._stop, until=ended)
        until.callback(lease.join)
        until.callback(ended.set)
        lease.start()
        return lease

    def open_buffer(
        self, erasures: Erasures, token: int, *, tasks: Callable[[], Mapping[str, TaskSpec]], patience_s: float
    ) -> BufferWriter | None:
        """Open the buffer for writing; None when asked to stop while a former leader still holds it.

        A former leader that is alive notices within its lease and stops. A frozen one does neither, and no lease keeps it from
        writing once it continues: where it runs on this machine it is killed after `patience_s`.
        """
        settings = self._settings
        waiting_since: float | None = None
        while not self._stop.is_set():
            self._meanwhile()
            try:
                return open_writer(
                    settings.buffer_dir,
                    settings.buffer,
                    tasks=tasks(),
                    fencing_token=token,
                    erasures=erasures,
                    min_quality=settings.enrich.min_quality,
                    removed_events=partial(removed_events, settings),
                    numbered_up_to=self._registry.runs.highest_seq(),
                )
            except RetryError as error:
                # The registry, or the log that is asked what it still holds.
                log.warning("daemon.buffer_not_open", reason=str(error), next="it is tried again")
                self._stop.wait(_LOOK_S)
                continue
            except WriterHeldError as error:
                reason = str(error)
            if waiting_since is None:
                log.warning("daemon.standby", reason=reason, next="it continues when that process has ended")
                waiting_since = time.monotonic()
            elif time.monotonic() - waiting_since > patience_s:
                self._kill_former_leader(f"its lease was taken over {patience_s:.0f} s ago and it still holds the buffer")
                waiting_since = time.monotonic()
            self._stop.wait(_LOOK_S)
        return None

    def _kill_former_leader(self, reason: str) -> None:
        killed = buffer_folder.kill_writer(self._settings.buffer_dir)
        log.error(
            "daemon.former_leader_hangs",
            reason=reason,
            killed=killed,
            next="this daemon continues"
            if killed
            else "end it by hand: no process on this machine seems to hold the buffer's lock",
        )
