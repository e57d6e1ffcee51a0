"""Signals, each on a process of its own: obeyed, limited in time, and a closed terminal told from a wish to reload."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

PROGRAM = """
import os, sys, threading
from daemon.process import signals

ended = threading.Event()
signals.obey(
    stop=lambda: ({stop}), reload=lambda: print("reloaded", flush=True), stop_limit_s={limit_s}
)
print("up", flush=True)
while not ended.wait(0.2):
    pass
print("ended", flush=True)
"""
LIMIT_S = 20


def start(tmp_path: Path, *, stop: str = "ended.set()", limit_s: float = 60.0, **options: object) -> subprocess.Popen[str]:
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(PROGRAM.format(stop=stop, limit_s=limit_s)))
    process = subprocess.Popen(
        [sys.executable, str(program)], stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}, **options,
    )  # fmt: skip
    assert process.stdout.readline() == "up\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_stop_is_obeyed_and_a_hang_up_reloads(tmp_path: Path, number: signal.Signals) -> None:
    with start(tmp_path) as process:
        for _ in range(2):
            process.send_signal(signal.SIGHUP)
            assert process.stdout.readline() == "reloaded\n"
        process.send_signal(number)
        assert process.wait(LIMIT_S) == 0
        assert process.stdout.read() == "ended\n"


def test_a_stop_that_hangs_is_ended_with_code_1_once_its_time_is_over(tmp_path: Path) -> None:
    with start(tmp_path, stop="None", limit_s=0.5, stderr=subprocess.STDOUT) as process:
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT_S) == 1
        assert "process.killed_itself" in process.stdout.read()


def test_signals_that_meet_a_held_lock_do_not_hang(tmp_path: Path) -> None:
    """A burst of them, while the main thread goes in and out of the very lock that `stop` takes."""
    stop = "(count.append(1), busy.__enter__(), busy.__exit__(None, None, None), len(count) == 200 and ended.set())"
    program = PROGRAM.replace(
        "while not ended.wait(0.2):\n    pass", "while not ended.is_set():\n    busy.acquire()\n    busy.release()\nos._exit(0)"
    )
    program = program.replace("ended = threading.Event()", "ended, busy, count = threading.Event(), threading.Lock(), []")
    file = tmp_path / "program.py"
    file.write_text(program.format(stop=stop, limit_s=60))
    with subprocess.Popen(
        [sys.executable, str(file)], stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    ) as process:  # fmt: skip
        assert process.stdout.readline() == "up\n"
        deadline = time.monotonic() + LIMIT_S
        while process.poll() is None and time.monotonic() < deadline:
            process.send_signal(signal.SIGTERM)
            time.sleep(0.001)
        assert process.wait(LIMIT_S) == 0


def test_closing_the_terminal_of_a_process_started_by_hand_stops_it(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    process = start(tmp_path, stdin=slave, stderr=slave, start_new_session=True, preexec_fn=lambda: _take_terminal(slave))
    os.close(slave)
    with process:
        process.send_signal(signal.SIGHUP)
        assert process.stdout.readline() == "reloaded\n", "the terminal is still there"
        os.close(master)  # the kernel hangs up: SIGHUP to the session
        assert process.wait(LIMIT_S) == 0
        assert process.stdout.read() == "ended\n"


def _take_terminal(slave: int) -> None:
    import fcntl  # noqa: PLC0415 - in the child, between fork and exec
    import termios  # noqa: PLC0415 - as above

    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
