"""The process in which a pair of models answers: started, watched, and ended at once where something more urgent is due."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from config.errors import RunFailedError
from daemon.process import child_environment
from daemon.training.runners.child import Child
from trainers.orphans import PARENT_VARIABLE
from trainers.pair import order as protocol
from trainers.pair.order import PairOrder, PairResult

# -P: modules are not looked for in the folder that the daemon was started in; a user may have a `config.py` there.
CHILD = (sys.executable, "-P", "-m", "trainers.pair")
_POLL_S = 0.1
_ASK_S = 5.0
_LOG_TAIL_CHARS = 600
_SPARE_S = 1_800.0
"""To start, to open both models and to finish the part that it is at, of a child that is to answer for so long at most."""

CarryOut = Callable[[PairOrder, Path, Callable[[], bool]], PairResult | None]
"""From an order, the folder that holds what it needs, and whether to stop, to what was found; None where it was stopped."""

log = structlog.get_logger(__name__)


def carry_out(order: PairOrder, folder: Path, busy: Callable[[], bool]) -> PairResult | None:
    """Return what the child finds; None where it was ended because the daemon is `busy`: it goes on where it stopped.

    Raises `RunFailedError` where it cannot be started or leaves nothing. Call it from a thread that lives as long as the process.
    """
    protocol.write_order(order, folder)
    (folder / protocol.RESULT_FILE).unlink(missing_ok=True)
    try:
        with (folder / protocol.LOG_FILE).open("wb") as job_log:
            child = Child(
                subprocess.Popen(
                    [*CHILD, str(folder)], stdin=subprocess.DEVNULL, stdout=job_log, stderr=job_log, start_new_session=True,
                    env=_environment(order),
                )
            )  # fmt: skip
    except OSError as error:
        message = f"a process for pool {order.pool_id} could not be started ({error.strerror or error})"
        raise RunFailedError(message) from error
    try:
        if not _ended(child, order, busy):
            return None
    finally:
        # Also where it ended by itself: it may have left processes of its own.
        child.end(order.training.stop_grace_s)
    result = protocol.read_result(folder)
    if result is None:
        message = (
            f"the process for pool {order.pool_id} ended with code {child.process.returncode} and left no result; the end of its "
            f"log: {_tail(folder / protocol.LOG_FILE)}"
        )
        raise RunFailedError(message)
    return None if result.status == "stopped" else result


def _ended(child: Child, order: PairOrder, busy: Callable[[], bool]) -> bool:
    """Wait for the end; return False where it must stop before. Raises `RunFailedError` past the time limit."""
    limit_s = min(order.seconds + _SPARE_S, order.training.time_limit_s)
    began = asked = time.monotonic()
    while child.poll() is None:
        now = time.monotonic()
        if now - began > limit_s:
            message = f"the process for pool {order.pool_id} did not end within {limit_s:g} s, and was ended"
            raise RunFailedError(message)
        if now - asked >= _ASK_S:
            asked = now
            if busy():
                log.info("pool.waits", pool=order.pool_id, task=order.task.name, next="it goes on once nothing else is due")
                return False
        time.sleep(_POLL_S)
    return True


def _environment(order: PairOrder) -> dict[str, str]:
    environment = child_environment.computing(child_environment.for_training(order.task), order.training.threads)
    return environment | {PARENT_VARIABLE: str(os.getpid())}


def _tail(path: Path) -> str:
    text = path.read_text(errors="replace").strip() if path.exists() else ""
    return " ".join(text[-_LOG_TAIL_CHARS:].split()) or "(empty)"
