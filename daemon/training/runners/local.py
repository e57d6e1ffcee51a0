"""Carries a run out on this machine: a child process whose limits are watched, tried again at once when memory ran out."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

import structlog
from pydantic import ValidationError

from config.sections import TrainingSettings
from daemon.process import child_environment
from daemon.training.runners.child import Child
from trainers import orphans
from trainers.job import spec as job_spec
from trainers.job.spec import JobResult, JobSpec, Progress

# -P: modules are not looked for in the folder that the daemon was started in; a user may have a `config.py` there.
CHILD = (sys.executable, "-P", "-m", "trainers.job")
_KILLED_BY_KERNEL = -signal.SIGKILL
# What native code ends with where an allocation that it took for granted is refused.
_CRASHES = (-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS)
_POLL_S = 0.1
_LOG_TAIL_CHARS = 600

log = structlog.get_logger(__name__)


class LocalRunner:
    """Starts `python -m trainers.job` and waits for it.

    Call `run` from a thread that lives as long as the process: on Linux the child is told to die with the *thread* that
    created it.
    """

    def __init__(
        self, settings: TrainingSettings, stop: threading.Event, *, command: Sequence[str] = CHILD,
        environment: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        """`environment` is what a child gets beside what every child gets."""
        self._settings = settings
        self._stop = stop
        self._command = command
        self._environment = dict(environment or {})
        self._ended: set[str] = set()
        self._cpu_s: float | None = None

    def run(self, spec: JobSpec, report: Callable[[Progress], None]) -> JobResult:
        """Return what the child found; after running out of memory it is started once more with half the batch, twice as often.

        The status `try_later` says that the same order may succeed later; any other failure is for good.
        """
        self._cpu_s = None
        return self._carried_out(spec, report).model_copy(update={"cpu_s": self._cpu_s})

    def _carried_out(self, spec: JobSpec, report: Callable[[Progress], None]) -> JobResult:
        result = self._attempt(spec, report)
        if result.status != "out_of_memory" or self._stop.is_set():
            return result
        if job_spec.rows_held(spec) == 1:
            return _try_later(spec, f"{result.error}; the batch cannot get smaller. {_less_memory(spec)}")
        smaller = job_spec.halved(spec)
        log.warning("training.retry", run_id=spec.run_id, reason=result.error, batch_size=smaller.batch_size)
        result = self._attempt(smaller, report)
        if result.status == "out_of_memory":
            return _try_later(
                spec, f"out of memory again at batch size {smaller.batch_size}. {result.error}. {_less_memory(spec)}"
            )
        return result

    def end(self, run_id: str) -> None:
        """Stop the child of this run, now or when it is started, as one that failed; from any thread."""
        self._ended.add(run_id)

    @staticmethod
    def prepare(spec: JobSpec) -> None:
        """Write the order of a run, durably, before anything is started. Raises `ValueError` for a path outside the folder."""
        job_spec.write_spec(spec)

    def _attempt(self, spec: JobSpec, report: Callable[[Progress], None]) -> JobResult:
        try:
            child = self._start(spec)
        except OSError as error:
            # The machine lacks processes, descriptors or memory just now; the other threads continue.
            return _try_later(spec, f"the training child could not be started ({error.strerror or error})")
        assert child.process.stdout is not None  # noqa: S101 - asked for; narrows the type
        heard = _Heard()

        def listen(progress: Progress) -> None:
            heard.now()
            report(progress)

        reader = threading.Thread(
            target=_forward, args=(spec.run_id, child.process.stdout, listen), name=f"progress-{spec.run_id}", daemon=True
        )
        reader.start()
        ended_by = self._wait(child, spec.run_id, heard)
        reader.join(timeout=self._settings.stop_grace_s)
        if child.cpu_s is not None:
            self._cpu_s = (self._cpu_s or 0.0) + child.cpu_s
        return self._outcome(spec, child.process.returncode, ended_by)

    def _start(self, spec: JobSpec) -> Child:
        """Write the order and start the child. Raises OSError."""
        spec.run_dir.mkdir(parents=True, exist_ok=True)
        self.prepare(spec)
        (spec.run_dir / job_spec.RESULT_FILE).unlink(missing_ok=True)
        with (spec.run_dir / job_spec.LOG_FILE).open("ab") as job_log:
            return Child(
                subprocess.Popen(
                    [*self._command, str(spec.run_dir / job_spec.SPEC_FILE)],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=job_log,
                    start_new_session=True,
                    env=_environment(spec) | self._environment,
                )
            )

    def _wait(self, child: Child, run_id: str, heard: _Heard) -> str:
        """Wait for the child; return why it was stopped from outside, or an empty string."""
        deadline = time.monotonic() + self._settings.time_limit_s
        while child.poll() is None:
            if ended_by := self._ends_it(run_id, heard, deadline):
                log.info("training.child_ended", run_id=run_id, by=ended_by, pid=child.process.pid)
                child.end(self._settings.stop_grace_s)
                return ended_by
            time.sleep(_POLL_S)
        return ""

    def _ends_it(self, run_id: str, heard: _Heard, deadline: float) -> str:
        if self._stop.is_set():
            return "stopped"
        if run_id in self._ended:
            return "ended"
        if time.monotonic() > deadline:
            return "timed out"
        return "stalled" if heard.ago_s() > self._settings.stall_limit_s else ""

    def _outcome(self, spec: JobSpec, exit_code: int, ended_by: str) -> JobResult:
        if ended_by == "timed out":
            limit = self._settings.time_limit_s
            return _failed(
                spec, f"killed after its time limit of {limit:.0f} s; raise training.time_limit_s or lower training.max_rows"
            )
        if ended_by == "stalled":
            limit = self._settings.stall_limit_s
            return _try_later(spec, f"killed because it reported no progress for {limit:.0f} s (training.stall_limit_s)")
        if ended_by == "ended":
            return _failed(spec, "it was stopped on request")
        if ended_by == "stopped" or exit_code == job_spec.EXIT_STOPPED:
            return JobResult(
                run_id=spec.run_id, status="stopped", error="stopped before it was done; it continues at the next start"
            )
        if (result := job_spec.read_result(spec.run_dir) or self._out_of_memory(spec, exit_code)) is not None:
            return result
        what = f"the child ended with code {exit_code} and left no result"
        if exit_code == 0 and (spec.run_dir / job_spec.RESULT_FILE).is_file():
            # Children start from the files that are installed now; this process has loaded those of its own start.
            what = (
                "the child left a result that this daemon cannot read; perhaps another version of the program was installed "
                "while the daemon ran. Restart the daemon, and the run goes on"
            )
        # Whatever it was, the child could not even say so: killed, crashed, or the disk is full.
        return _try_later(spec, f"{what}; the end of its log: {_tail(spec.run_dir / job_spec.LOG_FILE)}")

    def _out_of_memory(self, spec: JobSpec, exit_code: int) -> JobResult | None:
        """Return the result of a child that could not write one because it got no memory, None when it ended otherwise."""
        if exit_code == _KILLED_BY_KERNEL:
            message = "the kernel killed the child (usually: out of memory)"
        elif exit_code in _CRASHES and self._settings.memory_limit_mib:
            how = signal.Signals(-exit_code).name
            message = (
                f"the child crashed ({how}), probably beyond training.memory_limit_mib; the end of its log: "
                f"{_tail(spec.run_dir / job_spec.LOG_FILE)}"
            )
        else:
            return None
        return JobResult(run_id=spec.run_id, status="out_of_memory", error=message)


class _Heard:
    """When the child last reported progress."""

    def __init__(self) -> None:
        self._at = time.monotonic()

    def now(self) -> None:
        self._at = time.monotonic()

    def ago_s(self) -> float:
        return time.monotonic() - self._at


def _try_later(spec: JobSpec, message: str) -> JobResult:
    return JobResult(run_id=spec.run_id, status="try_later", error=message)


def _less_memory(spec: JobSpec) -> str:
    """Return what to do where a batch of one row is too large."""
    if spec.task.backend != "transformer":
        return "Give the machine more memory, or lower training.max_rows in the task file"
    return (
        "Give the machine more memory, or set in the task file training.gradient_checkpointing, a smaller training.max_tokens, "
        "training.lora_rank or a smaller base_model"
    )


def _failed(spec: JobSpec, message: str) -> JobResult:
    return JobResult(run_id=spec.run_id, status="failed", error=message)


def _environment(spec: JobSpec) -> dict[str, str]:
    environment = child_environment.computing(child_environment.for_training(spec.task), spec.training.threads)
    return environment | {orphans.PARENT_VARIABLE: str(os.getpid())}


def _forward(run_id: str, stream: IO[bytes], report: Callable[[Progress], None]) -> None:
    with stream:
        for line in stream:
            try:
                progress = Progress.model_validate_json(line)
            except ValidationError:
                log.warning("training.unreadable_line", run_id=run_id, line=line[:200].decode(errors="replace"))
                continue
            report(progress)


def _tail(path: Path) -> str:
    text = path.read_text(errors="replace").strip() if path.exists() else ""
    return text[-_LOG_TAIL_CHARS:] or "(empty)"
