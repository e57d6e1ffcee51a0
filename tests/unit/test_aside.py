"""Scratch folders: gone at the end, gone after a kill, left alone while their process lives; and an erasure takes them."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from config.errors import RetryError, RunFailedError
from config.settings import load_settings
from daemon.training import aside
from trainers.job.spec import JobResult, JobSpec, Progress

ROOT = Path(__file__).parents[2]


def test_it_is_gone_at_the_end_also_after_a_failure(tmp_path: Path) -> None:
    with aside.scratch_folder(tmp_path / "runs") as folder:
        (folder / "rows").write_text("texts")
        assert folder.is_absolute()
    with pytest.raises(RunFailedError), aside.scratch_folder(tmp_path / "runs"):
        raise RunFailedError
    assert list((tmp_path / "runs").iterdir()) == []


def test_what_a_killed_process_left_is_swept_and_a_living_ones_stays(tmp_path: Path) -> None:
    (tmp_path / f"{aside.PREFIX}dead").mkdir()
    (tmp_path / "some-run").mkdir()
    with aside.scratch_folder(tmp_path) as folder:
        assert sorted(path.name for path in tmp_path.iterdir()) == [folder.name, "some-run"]
        assert aside.sweep(tmp_path) == 0
        assert folder.exists()


def test_a_folder_that_an_erasure_took_ends_with_words_about_it(tmp_path: Path) -> None:
    def erased_meanwhile() -> None:
        with aside.scratch_folder(tmp_path) as folder:
            shutil.rmtree(folder)
            (folder / "rows").write_text("texts")

    with pytest.raises(RetryError, match="an erasure removed some of its texts"):
        erased_meanwhile()


class Runner:
    """Stands in for the one that starts children."""

    def __init__(self, stop: threading.Event, ends: Callable[[JobSpec, threading.Event], JobResult]) -> None:
        self._stop = stop
        self._ends = ends

    def run(self, spec: JobSpec, _report: Callable[[Progress], None]) -> JobResult:
        return self._ends(spec, self._stop)


def carried_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: Callable[[JobSpec, threading.Event], JobResult]
) -> JobResult:
    monkeypatch.setattr(aside, "open_runner", lambda _settings, stop: Runner(stop, ends))
    spec = JobSpec.model_construct(run_id="r", run_dir=tmp_path)
    return aside.carry_out(spec, load_settings(data_dir=tmp_path), lambda _progress: None)


def test_a_child_that_fails_tells_the_end_of_its_log_because_the_log_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "job.log").write_text("the traceback")
    with pytest.raises(RunFailedError, match=r"no rows\. Nothing was kept; the end of its log: the traceback"):
        carried_out(tmp_path, monkeypatch, lambda spec, _stop: JobResult(run_id=spec.run_id, status="failed", error="no rows"))


@pytest.mark.process
def test_a_signal_stops_the_child_and_the_handlers_are_as_before(tmp_path: Path) -> None:
    # In a process of its own: libraries that other tests have loaded into this one answer signals too.
    script = f"from tests.unit.test_aside import stopped_by_a_signal; stopped_by_a_signal({str(tmp_path)!r})"
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout.strip()) == (0, "stopped, handlers as before"), ended.stderr


def stopped_by_a_signal(folder: str) -> None:
    """Send this process a signal while it waits for a child, and print what became of both."""

    def until_stopped(spec: JobSpec, stop: threading.Event) -> JobResult:
        signal.raise_signal(signal.SIGINT)
        deadline = time.monotonic() + 5
        while not stop.is_set() and time.monotonic() < deadline:
            time.sleep(0.01)
        return JobResult(run_id=spec.run_id, status="stopped" if stop.is_set() else "done")

    before = signal.getsignal(signal.SIGINT)
    with pytest.MonkeyPatch.context() as patched:
        with pytest.raises(RunFailedError, match="stopped; nothing was kept"):
            carried_out(Path(folder), patched, until_stopped)
        assert signal.getsignal(signal.SIGINT) == before
    sys.stdout.write("stopped, handlers as before")
