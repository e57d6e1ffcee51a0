"""`perennial train`: a run requested by hand, done by the daemon when one runs, else in this process."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import NamedTuple, Protocol, Self

from config.errors import PerennialError, RetryError, RunFailedError, UserError
from config.logging import configure_logging
from config.secrets import secrets_of
from config.settings import Settings
from config.task_files.overrides import Overrides
from config.tasks import load_tasks
from config.words import counted
from consumers.buffer.open import open_reader
from consumers.buffer.reader import BufferReader
from consumers.log.open import open_event_log
from consumers.training_set.counting import TaskCounts
from daemon.app import Daemon
from daemon.flow.groups import CONSUMERS, LABELS_TOPIC
from daemon.process import leader
from daemon.training.due import asking
from daemon.training.due.triggers import request_key
from daemon.views.models import runs
from daemon.views.models.runs import Progress
from registry.runs import Run
from registry.store import Registry

_FOLLOW_S = 0.3
_PICK_UP_LIMIT_S = 60.0
OVER = frozenset({"decided", "failed"})


class Ahead(NamedTuple):
    """What the daemon has to do before it serves the request."""

    unread: int
    """Events of the request's topic that are not buffered yet."""
    unenriched: int
    """Texts of the task that are not enriched yet; asked once all is read."""


class Watch(Protocol):
    """Receives the progress of the request."""

    def waits(self, ahead: Ahead) -> None:
        """No run has started: this is ahead of it."""
        ...

    def goes_on(self, run: runs.Run, progress: Progress | None) -> None:
        """The run is under way; `progress` is the newest that its child has said."""
        ...


def quiet_log(settings: Settings) -> None:
    """Log warnings and errors only: what goes on is shown otherwise."""
    configure_logging(settings.log.model_copy(update={"level": "warning"}), secrets=secrets_of(settings))


def train(
    settings: Settings, task: str, *, promote: bool, full: bool, watch: Watch, overrides: Overrides | None = None
) -> runs.Run:
    """Ask for a run, follow it to its end and return it. `overrides` are its settings that differ from the task file.

    Raises `UserError` for an unknown task and where there is nothing to train on (then nothing is queued), `RetryError` when the
    run failed temporarily and waits to be tried again.
    """
    asking.refuse_unknown(settings, task)
    quiet_log(settings)
    _refuse_without_examples(settings, task)
    with ExitStack() as stack:
        registry = Registry.open(settings.registry_url)
        stack.callback(registry.close)
        asking.refuse_paused(registry, task)
        event_id = asking.ask_for_run(
            settings, task, full=full, promote=promote, by="perennial train", why="asked for on the command line",
            overrides=overrides,
        )  # fmt: skip
        queue = Queue(settings, task)
        stack.callback(queue.close)
        check = nothing_to_check
        if leader.of(registry).holder is None:
            check = stack.enter_context(DaemonHere(settings)).check
        run = follow(settings, registry, task, request_key(event_id), queue=queue, check=check, watch=watch)
        return runs.of(run)


def _refuse_without_examples(settings: Settings, task: str) -> None:
    """Raise `UserError` when nothing is there to train on, and nothing on its way that could become it."""
    nothing = f"{task} has no training examples. Import some, then train again. Nothing was queued."
    if not settings.buffer_dir.exists() and settings.events.backend == "embedded" and not settings.event_log_file.exists():
        raise UserError(nothing)
    with closing(Queue(settings, task)) as queue:
        unread = queue.unread()
        counts = queue.counts()
    if unread or (counts is not None and (counts.train or counts.unenriched)):
        return
    if counts is not None and counts.unfit:
        rules = f"the rules of its task file (quality) keep {counted(counts.unfit, 'text')} from training"
        message = f"{task} has nothing to train on: {rules}; `perennial data policy {task}` shows which. Nothing was queued."
        raise UserError(message)
    if counts is not None and counts.waiting:
        missing = f"{counted(counts.waiting, 'label')} still without an article"
        raise UserError(
            nothing.replace(". Import some,", f": {missing}. Send those articles, or import labels with their texts,")
        )
    raise UserError(nothing)


class DaemonHere:
    """A daemon without serving in this process, for as long as the block lasts."""

    def __init__(self, settings: Settings) -> None:
        self._daemon = Daemon(settings, serve=False)
        self._thread = threading.Thread(target=self._run, name="daemon")
        self._error: Exception | None = None

    def __enter__(self) -> Self:
        signal.signal(signal.SIGTERM, lambda _number, _frame: self._daemon.stop())
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._daemon.stop()
        self._thread.join()

    def check(self) -> None:
        """Raise what ended the daemon before its time."""
        if not self._thread.is_alive():
            message = "the daemon in this process has ended (see its log above); the request stays queued for the next one"
            raise self._error or RunFailedError(message)

    def _run(self) -> None:
        try:
            self._daemon.run()
        except PerennialError as error:  # told by `check`; anything else shows its traceback here
            self._error = error


def nothing_to_check() -> None:
    """Do nothing: a daemon elsewhere does the work, and the registry shows it."""


Check = Callable[[], None]
"""Raises what ended the daemon in this process."""


class Queue:
    """What the daemon has to do before it can serve a request that was just published."""

    def __init__(self, settings: Settings, task: str) -> None:
        self._settings = settings
        self._task = task
        self._buffer: BufferReader | None = None
        self._log = open_event_log(settings)
        group = next(name for name, topic in CONSUMERS.items() if topic == LABELS_TOPIC)
        self._source = self._log.source(group, [LABELS_TOPIC])

    def unread(self) -> int:
        """Return the events of the request's topic not buffered yet. Raises `RetryError` when the log does not answer."""
        return sum(self._source.lag().values())

    def counts(self) -> TaskCounts | None:
        """Return what the buffer holds for the task; None before there is a buffer."""
        if self._buffer is None and self._settings.buffer_dir.exists():
            self._buffer = open_reader(
                self._settings.buffer_dir, tasks=load_tasks(self._settings.tasks_folder),
                min_quality=self._settings.enrich.min_quality,
            )  # fmt: skip
        return None if self._buffer is None else self._buffer.counts(self._task)

    def ahead(self) -> Ahead:
        """Return the events of the request's topic not buffered yet and, once there are none, the task's texts not enriched."""
        if unread := self.unread():
            return Ahead(unread, 0)
        counts = self.counts()
        return Ahead(0, counts.unenriched if counts is not None else 0)

    def close(self) -> None:
        """Release the handles."""
        self._source.close()
        self._log.close()
        if self._buffer is not None:
            self._buffer.close()


class Patience:
    """Runs out after `limit_s` in which neither a run was under way nor the queue became shorter than ever before."""

    def __init__(self, limit_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit_s = limit_s
        self._clock = clock
        self._since = clock()
        self._shortest: tuple[int, int] | None = None

    def is_out(self, ahead: tuple[int, int] | None) -> bool:
        """Take in what is ahead (None: a run is under way) and return whether waiting longer is of no use."""
        if ahead is None or self._shortest is None or ahead < self._shortest:
            self._since = self._clock()
            self._shortest = self._shortest if ahead is None else ahead
        return self._clock() - self._since > self._limit_s


def follow(
    settings: Settings,
    registry: Registry,
    task: str,
    key: str,
    *,
    queue: Queue,
    check: Callable[[], None],
    watch: Watch,
) -> Run:
    """Return the run of a request once it is over. Raises `RetryError` where it waits to be tried again."""
    patience = Patience(_PICK_UP_LIMIT_S)
    while True:
        run = next(iter(registry.runs.triggered(key, task)), None)
        if run is not None and run.state in OVER:
            return run
        if run is not None and run.retry_at is not None:
            raise RetryError(_tried_later(run))
        check()
        if run is not None:
            watch.goes_on(runs.of(run), runs.last_progress(settings.runs_dir / run.run_id))
        else:
            ahead = _ahead(registry, queue)
            if ahead is not None:
                watch.waits(ahead)
            if patience.is_out(ahead):
                message = (
                    f"no run of {task} started, and the daemon made no progress for {_PICK_UP_LIMIT_S:.0f} s; `perennial status` "
                    "says why. The request stays queued"
                )
                raise RunFailedError(message)
        time.sleep(_FOLLOW_S)


def _tried_later(run: Run) -> str:
    return (
        f"run {run.run_id} failed with a temporary error: {run.error}. The daemon retries it at {run.retry_at:%H:%M:%S} UTC "
        f"(failure {run.failures}). To retry at once, fix the cause and run `perennial train {run.task}`"
    )


def _ahead(registry: Registry, queue: Queue) -> Ahead | None:
    """Return what is ahead of the request; None while a daemon is busy with a run."""
    busy = registry.lease.holder() is not None and any(run.retry_at is None for run in registry.runs.unfinished())
    return None if busy else queue.ahead()
