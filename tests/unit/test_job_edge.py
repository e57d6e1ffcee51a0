"""What the edge of the training child makes of everything that can happen inside."""

from __future__ import annotations

import errno
import io
import json
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from config.errors import RetryError, RunFailedError, UserError
from config.settings import SHIPPED_TASKS_DIR, load_settings
from config.tasks import load_task
from trainers.job import guards
from trainers.job import run as job_run
from trainers.job import spec as job_spec
from trainers.job import steps as job_steps
from trainers.job.progress import ProgressLog
from trainers.job.scoring import declared_baseline
from trainers.job.spec import JobResult, JobSpec
from trainers.learners.protocols import TrainingStep


@pytest.fixture
def spec(tmp_path: Path) -> JobSpec:
    return JobSpec(
        run_id="r1",
        task=load_task(SHIPPED_TASKS_DIR / "news-entities.yaml"),
        training=load_settings().training.model_copy(update={"device": "cpu", "precision": "fp32", "threads": 1}),
        full=True,
        training_set=tmp_path / "run" / "training_set",
        run_dir=tmp_path / "run",
        champion=None,
        champion_version=None,
        batch_size=16,
    )


def outcome(spec: JobSpec, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> JobResult:
    def fail(*_: object) -> JobResult:
        raise error

    monkeypatch.setattr(job_steps, "execute", fail)
    spec.run_dir.mkdir(exist_ok=True)
    progress = ProgressLog("r1", spec.run_dir / "history.jsonl", None)
    return job_run.outcome_of(spec, lambda: job_steps.execute(spec, guards.StopRequest(), progress))


def wrapped(inner: Exception) -> RunFailedError:
    error = RunFailedError("the pipeline cannot be loaded")
    error.__cause__ = inner
    return error


class OutOfMemoryError(RuntimeError):
    """As torch names its own."""


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes"),
        wrapped(MemoryError()),
    ],
)
def test_every_form_of_running_out_of_memory_asks_for_half_the_batch(
    spec: JobSpec, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    result = outcome(spec, monkeypatch, error)
    assert result.status == "out_of_memory"
    assert "at batch size 16" in (result.error or "")


class ConnectError(Exception):
    """As httpx names its own."""


ConnectError.__module__ = "httpx2"


class HubError(Exception):
    """An answer of the hub."""

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.response = SimpleNamespace(status_code=status)


def unloadable(inner: BaseException) -> UserError:
    error = UserError("base_model 'some/model' cannot be loaded")
    error.__cause__ = inner
    return error


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        wrapped(OSError(errno.EDQUOT, "Disk quota exceeded")),
        OSError(errno.EMFILE, "Too many open files"),
        RuntimeError("SafetensorError: I/O error: No space left on device (os error 28)"),
        unloadable(ConnectError("[Errno -2] Name or service not known")),
        unloadable(socket.gaierror(-2, "Name or service not known")),
        unloadable(TimeoutError("timed out")),
        unloadable(HubError(503)),
        unloadable(HubError(429)),
        RetryError("the registry is locked"),
    ],
)
def test_what_passes_by_itself_is_tried_later(spec: JobSpec, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    result = outcome(spec, monkeypatch, error)
    assert result.status == "try_later"
    assert str(error) in (result.error or "")


@pytest.mark.parametrize(
    "error",
    [
        unloadable(HubError(404)),
        unloadable(OSError("no file named config.json")),
        wrapped(ValueError("no such label")),
        KeyError("x"),
    ],
)
def test_what_no_waiting_changes_fails_at_once(spec: JobSpec, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    assert outcome(spec, monkeypatch, error).status == "failed"


def test_a_stop_is_recognised_through_a_library_that_wraps_it(spec: JobSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    error = RuntimeError("callback failed")
    error.__cause__ = guards.StoppedError("stopped by SIGTERM")
    assert outcome(spec, monkeypatch, error).status == "stopped"


def test_a_run_that_cannot_succeed_keeps_its_message(spec: JobSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    result = outcome(spec, monkeypatch, RunFailedError("no rows; send labels"))
    assert (result.status, result.error) == ("failed", "no rows; send labels")


def test_an_unexpected_error_is_told_in_words_a_person_understands(spec: JobSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    result = outcome(spec, monkeypatch, ZeroDivisionError("division by zero"))
    assert result.status == "failed"
    assert "unexpected ZeroDivisionError ended the run: division by zero" in (result.error or "")
    assert "The champion is unchanged" in (result.error or "")


@pytest.mark.parametrize(
    ("status", "code", "last"),
    [
        ("done", 0, "done"),
        ("failed", 1, "failed"),
        ("out_of_memory", 3, "failed"),
        ("stopped", 4, None),
        ("try_later", 5, "failed"),
    ],
)
def test_the_end_is_written_three_times_over(spec: JobSpec, status: Any, code: int, last: str | None) -> None:
    spec.run_dir.mkdir()
    stream = io.StringIO()
    progress = ProgressLog("r1", spec.run_dir / "history.jsonl", stream)

    assert job_run.finish(spec, progress, JobResult(run_id="r1", status=status, error="why")) == code

    written = job_spec.read_result(spec.run_dir)
    assert written is not None
    assert written.status == status
    assert written.peak_memory_mib > 0
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["phase"] for line in lines] == ([last] if last else [])


def step(number: int, message: str = "") -> TrainingStep:
    return TrainingStep(step=number, steps=100, epoch=number / 100, loss=1.0, examples_per_s=5.0, message=message)


def test_quick_steps_are_thinned_out_but_never_the_last_or_one_with_a_message(tmp_path: Path) -> None:
    now = [0.0]
    progress = ProgressLog("r1", tmp_path / "history.jsonl", None, monotonic=lambda: now[0])
    for number in range(1, 101):
        now[0] += 0.01
        progress.step(step(number, "2 spans skipped" if number == 7 else ""))
    written = [json.loads(line)["step"] for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert written == [1, 7, 32, 57, 82, 100]


def test_a_reader_that_went_away_does_not_end_the_run(tmp_path: Path) -> None:
    class Gone(io.StringIO):
        def write(self, _text: str) -> int:
            raise BrokenPipeError

    progress = ProgressLog("r1", tmp_path / "history.jsonl", Gone())
    progress.write("starting")
    progress.write("done")
    assert len((tmp_path / "history.jsonl").read_text().splitlines()) == 2


def test_a_line_torn_by_a_kill_does_not_spoil_the_next(tmp_path: Path) -> None:
    (tmp_path / "history.jsonl").write_text('{"run_id": "r1", "ph')
    ProgressLog("r1", tmp_path / "history.jsonl", None).write("starting")
    assert json.loads((tmp_path / "history.jsonl").read_text().splitlines()[1])["phase"] == "starting"


@pytest.mark.parametrize(
    ("kind", "baseline", "name"),
    [
        ("news-entities", "majority", "baseline: finds no entity"),
        ("news-entities", "base", "baseline: untouched blank:en"),
        ("news-topics", "majority", "baseline: most frequent label"),
    ],
)
def test_the_baseline_has_a_name_people_read(kind: str, baseline: Any, name: str) -> None:
    task = load_task(SHIPPED_TASKS_DIR / f"{kind}.yaml")
    named = task.model_copy(update={"promotion": task.promotion.model_copy(update={"baseline": baseline})})
    assert declared_baseline.baseline_name(named) == name


@pytest.mark.process
def test_a_child_that_cannot_import_an_extension_says_so_and_ends(spec: JobSpec, tmp_path: Path) -> None:
    order = tmp_path / "spec.json"
    order.write_text(spec.model_copy(update={"modules": ("no_such_module",)}).model_dump_json())
    child = [sys.executable, "-P", "-m", "trainers.job", str(order)]
    ended = subprocess.run(child, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == job_spec.EXIT_FAILED
    assert "'no_such_module'" in ended.stderr
