"""The sandbox's process: started with serving's limits, watched, and what its end says of the candidate."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog
from pydantic import ValidationError

from config.files.durable import write_atomic
from daemon.process import child_environment
from daemon.training.retries import TryLaterError
from daemon.training.runners.child import Child
from daemon.training.sandbox import order as protocol
from daemon.training.sandbox.order import Findings, Order
from trainers import orphans

# -P: modules are not looked for in the folder that the daemon was started in; a user may have a `config.py` there.
CHILD = (sys.executable, "-P", "-m", "daemon.serving.sandbox")
LOG_FILE = "sandbox.log"
"""In the run's folder: it tells of a failure also when the texts are gone."""
_POLL_S = 0.02
_LOG_TAIL_CHARS = 600
_MIB = 1 << 20
# Children start from the files that are installed now; this process has loaded those of its own start.
_OTHER_VERSION = (
    "perhaps another version of the program was installed while the daemon ran. Restart the daemon, and the run goes on"
)

log = structlog.get_logger(__name__)


def carry_out(
    order: Order, folder: Path, *, time_limit_s: float, stopped: Callable[[], bool], command: Sequence[str] = CHILD
) -> Findings | None:
    """Return what the sandbox's child finds, its order in `folder`; None when `stopped` meanwhile.

    A child that something kills is started once more: the kernel may have taken it where another process used the memory.
    Raises `TryLaterError` for what is not the candidate's fault. Call it from a thread that lives as long as the process.
    """
    cpu_s, code = 0.0, 0
    for attempt in (1, 2):
        found, spent = _attempt(order, folder, time_limit_s, stopped, command)
        cpu_s += spent or 0.0
        if found is None:
            return None
        if isinstance(found, Findings):
            return found.model_copy(update={"cpu_s": cpu_s})
        code = found
        if code != -signal.SIGKILL:
            break
        if attempt == 1:
            log.warning("sandbox.killed", version=order.version, next="it is started once more")
    if not (folder / protocol.BEGUN_FILE).exists():
        ended = f"the sandbox's process ended with code {code} before it looked at the candidate"
        message = f"{ended}; {_OTHER_VERSION}; the end of its log: {_tail(folder.parent / LOG_FILE)}"
        raise TryLaterError(message)
    return failed(order, f"{_ending(code)}; the end of its log: {_tail(folder.parent / LOG_FILE)}", cpu_s)


def _attempt(
    order: Order, folder: Path, time_limit_s: float, stopped: Callable[[], bool], command: Sequence[str]
) -> tuple[Findings | int | None, float | None]:
    """Return what one child found, else its exit code, None where it was stopped; and its processor seconds."""
    findings = folder / protocol.FINDINGS_FILE
    for left in (findings, folder / protocol.BEGUN_FILE):
        left.unlink(missing_ok=True)
    write_atomic(folder / protocol.ORDER_FILE, order.model_dump_json().encode())
    try:
        with (folder.parent / LOG_FILE).open("wb") as job_log:
            child = Child(
                subprocess.Popen(
                    [*command, str(folder)], stdin=subprocess.DEVNULL, stdout=job_log, stderr=job_log, start_new_session=True,
                    env=_environment(order),
                )
            )  # fmt: skip
    except OSError as error:
        message = f"the sandbox could not be started ({error.strerror or error})"
        raise TryLaterError(message) from error
    until = time.monotonic() + time_limit_s
    try:
        while child.poll() is None:
            if stopped():
                return None, None
            if time.monotonic() > until:
                limit = f"it was not opened and asked within {time_limit_s:g} s (sandbox.time_limit_s), and was killed"
                _kill(child)
                return failed(order, f"{limit}; the end of its log: {_tail(folder.parent / LOG_FILE)}", None), child.cpu_s
            time.sleep(_POLL_S)
    finally:
        # Also where it ended by itself: it may have left processes of its own.
        _kill(child)
    return _outcome(child.process.returncode, findings), child.cpu_s


def _outcome(exit_code: int, findings: Path) -> Findings | int:
    """Return what the child left; its exit code where it left nothing. Raises `TryLaterError` where it says so."""
    if exit_code not in (protocol.EXIT_DONE, protocol.EXIT_TRY_LATER):
        return exit_code
    try:
        left = json.loads(findings.read_bytes())
        if exit_code == protocol.EXIT_TRY_LATER:
            message = f"the sandbox could not say anything: {left['try_later']}"
            raise TryLaterError(message)
        return Findings.model_validate(left)
    except ValidationError as error:
        message = f"the sandbox left findings that this daemon cannot read; {_OTHER_VERSION}"
        raise TryLaterError(message) from error
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return exit_code


def _ending(exit_code: int) -> str:
    if exit_code == -signal.SIGKILL:
        return "it was killed twice by SIGKILL while it was opened and asked (usually: out of memory)"
    if exit_code < 0:
        return f"it crashed ({signal.Signals(-exit_code).name}) while it was opened and asked"
    return f"its process ended with code {exit_code} before it had answered everything"


def failed(order: Order, reason: str, cpu_s: float | None) -> Findings:
    """Return what is found of a candidate whose process could not say it itself."""
    return Findings(
        outcome="failed", reason=reason, scope="model" if order.features is None else "head", cpu_s=cpu_s,
        size_mib=sum(path.stat().st_size for path in order.folder.rglob("*") if path.is_file()) / _MIB,
    )  # fmt: skip


def _environment(order: Order) -> dict[str, str]:
    environment = child_environment.computing(child_environment.for_sandbox(), order.threads)
    return environment | {orphans.PARENT_VARIABLE: str(os.getpid())}


def _kill(child: Child) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.process.pid, signal.SIGKILL)
    child.wait()


def _tail(path: Path) -> str:
    text = path.read_text(errors="replace").strip() if path.exists() else ""
    return " ".join(text[-_LOG_TAIL_CHARS:].split()) or "(empty)"
