"""A training child for whoever asked, beside the daemon's runs: in a scratch folder, recorded nowhere, gone afterwards.

The scratch folder lies among the folders of runs: it holds texts, and an erasure looks there.
"""

from __future__ import annotations

import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from config.errors import PerennialError, RetryError, RunFailedError
from config.files import scratch
from config.settings import Settings
from daemon.training.runners.open import open_runner
from trainers.job import spec as job_spec
from trainers.job.spec import JobResult, JobSpec, Progress

PREFIX = ".aside-"
COPIES_PREFIX = ".copies-"
_LOG_TAIL_CHARS = 600


@contextmanager
def scratch_folder(runs_dir: Path) -> Iterator[Path]:
    """A new folder, absolute, that is removed at the end; what killed processes left of theirs goes first.

    Raises `RetryError` where an erasure removed the folder meanwhile.
    """
    sweep(runs_dir)
    with scratch.scratch_folder(runs_dir.resolve(), PREFIX) as folder:
        try:
            yield folder
        except (OSError, RunFailedError):
            if folder.exists():
                raise
            message = "an erasure removed some of its texts and with them this temporary folder; start the command again"
            raise RetryError(message) from None


@contextmanager
def copies_folder(runs_dir: Path) -> Iterator[Path]:
    """As `scratch_folder`, for copies of rows or models that a command works on; any erasure removes it."""
    sweep(runs_dir)
    with scratch.scratch_folder(runs_dir.resolve(), COPIES_PREFIX) as folder:
        folder.chmod(0o700)
        try:
            yield folder
        except (OSError, RuntimeError, PerennialError):
            # LanceDB reports a file that has gone as RuntimeError.
            if folder.exists():
                raise
            message = "an erasure removed the copies that this command worked on; start it again"
            raise RetryError(message) from None


def remove_copies(runs_dir: Path) -> int:
    """Remove the copies of every command, those that work too: they may hold what was erased. Return how many there were."""
    found = list(runs_dir.glob(f"{COPIES_PREFIX}*"))
    for folder in found:
        shutil.rmtree(folder, ignore_errors=True)
    return len(found)


def sweep(runs_dir: Path) -> int:
    """Remove the scratch folders of processes that were killed; return how many those were."""
    return scratch.sweep([*runs_dir.glob(f"{PREFIX}*"), *runs_dir.glob(f"{COPIES_PREFIX}*")])


def carry_out(spec: JobSpec, settings: Settings, report: Callable[[Progress], None]) -> JobResult:
    """Train and score in a child process; SIGINT and SIGTERM end it. From the main thread.

    Raises `RunFailedError` where it does not get to its end, with the end of its log.
    """
    stop = threading.Event()
    with set_by_signals(stop):
        result = open_runner(settings, stop).run(spec, report)
    if result.status == "done":
        return result
    if result.status == "stopped":
        message = "stopped; nothing was kept"
        raise RunFailedError(message)
    log = spec.run_dir / job_spec.LOG_FILE
    tail = log.read_text(errors="replace").strip()[-_LOG_TAIL_CHARS:] if log.exists() else ""
    message = f"{result.error}. Nothing was kept" + (f"; the end of its log: {tail}" if tail else "")
    raise RunFailedError(message)


@contextmanager
def set_by_signals(stop: threading.Event) -> Iterator[None]:
    """While it lasts, SIGINT and SIGTERM set `stop` and nothing else. From the main thread."""

    def note(_number: int, _frame: FrameType | None) -> None:
        # Nobody in this thread waits for the event under its lock.
        stop.set()

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
