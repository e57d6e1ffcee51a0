from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from config.errors import RetryError, StopError
from daemon.process import side_task as module
from daemon.process.side_task import SideTask


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_BACKOFF_S", 0.01)


def run(side_task: SideTask) -> list[dict[str, object]]:
    with capture_logs() as lines:
        side_task.start()
        assert side_task.join(20)
    return [dict(line) for line in lines]


def test_a_step_is_repeated_until_the_stop() -> None:
    stop, steps = threading.Event(), 0

    def step() -> float:
        nonlocal steps
        steps += 1
        if steps == 3:
            stop.set()
        return 0.0

    task = SideTask("counter", step, stop)
    task.succeeded_at = 0
    assert run(task) == []
    assert (steps, task.failure) == (3, None)
    assert time.time() - task.succeeded_at < 60


@pytest.mark.parametrize(
    "fault",
    [
        RetryError("the log is locked"),
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        RuntimeError(f"lance error: LanceError(IO): {os.strerror(errno.ENOSPC)} (os error 28)"),
        OSError(errno.EMFILE, os.strerror(errno.EMFILE)),
        BlockingIOError(errno.EAGAIN, "no process to be had"),
        MemoryError("out of memory"),
    ],
)
def test_what_passes_by_itself_is_tried_again_with_growing_pauses(fault: Exception) -> None:
    stop = threading.Event()
    faults: Iterator[Exception | None] = iter([fault, fault, None])

    def step() -> float:
        if (error := next(faults)) is not None:
            raise error
        stop.set()
        return 0.0

    task = SideTask("writer", step, stop)
    lines = run(task)
    assert task.failure is None
    assert [(line["event"], line["reason"], line["again_in_s"]) for line in lines] == [
        ("side_task.retry", str(fault), 0.01),
        ("side_task.retry", str(fault), 0.02),
    ]


@pytest.mark.parametrize(
    ("fault", "traceback"), [(KeyError("text"), True), (RuntimeError("a bug"), True), (StopError("two lead"), False)]
)
def test_anything_else_ends_it_loudly_and_stops_the_daemon(fault: Exception, traceback: bool) -> None:
    stop = threading.Event()

    def step() -> float:
        raise fault

    task = SideTask("cycle", step, stop)
    (line,) = run(task)
    assert (line["event"], line["side_task"], line["reason"], line["exc_info"]) == (
        "side_task.died", "cycle", str(fault), traceback,
    )  # fmt: skip
    assert task.failure is fault
    assert stop.is_set()


def test_one_that_must_outlive_the_others_ends_by_its_own_event_and_still_stops_them_when_it_dies() -> None:
    stop, until = threading.Event(), threading.Event()
    stop.set()
    steps = 0

    def step() -> float:
        nonlocal steps
        steps += 1
        if steps == 2:
            until.set()
        return 0.0

    assert run(SideTask("lease", step, stop, until=until)) == []
    assert steps == 2
    stop.clear()
    until.clear()

    def dying() -> float:
        message = "taken over"
        raise StopError(message)

    run(SideTask("lease", dying, stop, until=until))
    assert stop.is_set()
    assert not until.is_set()


def test_a_step_that_hangs_stops_the_daemon_and_says_where() -> None:
    stop, release = threading.Event(), threading.Event()

    def hang_here() -> float:
        release.wait(20)
        return 0.0

    task = SideTask("ingest", hang_here, stop, step_limit_s=0.05)
    with capture_logs() as lines:
        task.check_progress()
        assert not stop.is_set(), "it has not begun"
        task.start()
        deadline = time.monotonic() + 20
        while not stop.is_set() and time.monotonic() < deadline:
            task.check_progress()
            time.sleep(0.01)
        assert stop.is_set()
        release.set()
        assert task.join(20)
    (line,) = [line for line in lines if line["event"] == "side_task.hung"]
    assert isinstance(task.failure, StopError)
    assert "hang_here" in line["stack"]


def test_many_short_steps_are_no_hanging_step() -> None:
    stop, steps = threading.Event(), 0

    def step() -> float:
        nonlocal steps
        steps += 1
        time.sleep(0.02)
        return 0.0

    task = SideTask("ingest", step, stop, step_limit_s=5.0)
    task.start()
    while steps < 5:
        task.check_progress()
        time.sleep(0.01)
    assert not stop.is_set()
    stop.set()
    assert task.join(20)


def test_what_makes_no_progress_says_why_and_nothing_once_it_does() -> None:
    stop, entered, release = threading.Event(), threading.Event(), threading.Event()
    faults: Iterator[Exception | None] = iter([RetryError("the log is locked"), None])

    def step() -> float:
        entered.set()
        release.wait(20)
        if (error := next(faults)) is not None:
            raise error
        stop.set()
        return 0.0

    task = SideTask("enrich", step, stop, deadline_s=0.0)
    assert task.problem() is None
    task.start()
    assert entered.wait(20)
    assert "longer than its deadline" in (task.problem() or "")
    task._deadline_s = None
    entered.clear()
    release.set()
    assert entered.wait(20)
    assert task.join(20)
    assert task.problem() is None
    failing = SideTask("cycle", lambda: (_ for _ in ()).throw(KeyError("a bug")), threading.Event())
    run(failing)
    assert failing.problem() == "'a bug'"
