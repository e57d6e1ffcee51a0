from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from trainers.job import guards

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the kernel feature exists on Linux only")


def python(code: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def wait_until_gone(pid: int, timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not gone(pid):
        assert time.monotonic() < deadline, f"{pid} lives on"
        time.sleep(0.02)


_STOPPED = """
import os, signal
from trainers.job import guards
stop = guards.StopRequest()
stop.listen()
stop.check()
os.kill(os.getpid(), signal.{name})
try:
    stop.check()
except guards.StoppedError as error:
    print(error)
"""


@pytest.mark.process
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_remembered_and_raised_between_two_steps(number: signal.Signals) -> None:
    # In a process of its own: others share this one.
    told, _errors = python(_STOPPED.format(name=number.name)).communicate(timeout=60)
    assert number.name in told


# The middle process starts a child and says its id; killing the middle one must end the child.
_MIDDLE = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", {child!r}], stdout=subprocess.PIPE, text=True)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(60)
"""
_BY_THE_KERNEL = (
    "import time; from trainers import orphans; orphans.die_with_parent(); print('ready', flush=True); time.sleep(60)"
)
_BY_WATCHING = """
import time; from trainers.job import guards
with guards.watch(0, print, interval_s=0.05):
    print('ready', flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize(
    "child", [pytest.param(_BY_THE_KERNEL, marks=LINUX, id="kernel"), pytest.param(_BY_WATCHING, id="watch")]
)
@pytest.mark.process
def test_a_child_does_not_outlive_its_killed_daemon(child: str) -> None:
    middle = python(_MIDDLE.format(child=child))
    assert middle.stdout is not None
    pid = int(middle.stdout.readline())
    assert not gone(pid)

    middle.kill()
    middle.communicate()

    wait_until_gone(pid)


def test_memory_above_the_limit_is_noticed_once() -> None:
    seen: list[float] = []
    noticed = threading.Event()

    def on_exceeded(in_use_mib: float) -> None:
        seen.append(in_use_mib)
        noticed.set()

    with guards.watch(1, on_exceeded, interval_s=0.01):
        assert noticed.wait(10)
        time.sleep(0.1)
    assert len(seen) == 1
    assert seen[0] > 1


def test_memory_below_the_limit_is_let_be() -> None:
    with guards.watch(1_000_000, lambda _in_use: pytest.fail("called"), interval_s=0.01):
        time.sleep(0.1)


@LINUX
@pytest.mark.process
def test_one_allocation_far_above_the_limit_fails_at_once() -> None:
    code = """
from trainers.job import guards
guards.limit_data(100)
kept = bytearray(50 << 20)
try:
    bytearray(400 << 20)
except MemoryError:
    print("refused")
"""
    out, err = python(code).communicate(timeout=60)
    assert (out, err) == ("refused\n", "")


@pytest.mark.process
def test_no_limit_means_no_limit() -> None:
    out, err = python("from trainers.job import guards; guards.limit_data(0); print(len(bytearray(400 << 20)))").communicate(
        timeout=60
    )
    assert (out, err) == (f"{400 << 20}\n", "")


@pytest.mark.parametrize(("asked", "expected"), [(3, "3"), (0, str(max(1, len(os.sched_getaffinity(0)) - 1)))])
@pytest.mark.process
def test_thread_pools_are_capped_before_anything_heavy_is_imported(asked: int, expected: str) -> None:
    code = f"""
import os, sys
import trainers.job
from trainers.job import guards
guards.cap_threads({asked})
heavy = [name for name in ("numpy", "torch", "spacy") if name in sys.modules]
print(os.environ["OMP_NUM_THREADS"], os.environ["RAYON_NUM_THREADS"], heavy)
"""
    out, err = python(code).communicate(timeout=60)
    assert (out, err) == (f"{expected} {expected} []\n", "")


@pytest.mark.parametrize(("asked", "before", "found"), [(10, 0, 10), (0, 0, 0), (5, 12, 12)])
@pytest.mark.process
def test_a_child_steps_back_and_never_pushes_forward(asked: int, before: int, found: int) -> None:
    code = f"""
import os
from trainers.job import guards
os.setpriority(os.PRIO_PROCESS, 0, max({before}, os.getpriority(os.PRIO_PROCESS, 0)))
least = os.getpriority(os.PRIO_PROCESS, 0)
guards.step_back({asked})
print(os.getpriority(os.PRIO_PROCESS, 0) == max(least, {found}))
"""
    out, err = python(code).communicate(timeout=60)
    assert (out, err) == ("True\n", "")


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="this system has no scheduling policy for idle time")
@pytest.mark.parametrize(("asked", "policy"), [(19, "SCHED_IDLE"), (18, "SCHED_OTHER"), (0, "SCHED_OTHER")])
@pytest.mark.process
def test_at_the_lowest_priority_a_child_runs_in_idle_time_alone_and_so_do_its_threads(asked: int, policy: str) -> None:
    code = f"""
import os, threading
from trainers.job import guards
guards.step_back({asked})
found = [os.sched_getscheduler(0)]
thread = threading.Thread(target=lambda: found.append(os.sched_getscheduler(0)))
thread.start()
thread.join()
print(found == [os.{policy}] * 2)
"""
    out, err = python(code).communicate(timeout=300)
    assert (out, err) == ("True\n", "")


def test_peak_memory_is_in_mebibytes() -> None:
    assert 10 < guards.peak_memory_mib() < 100_000


def test_the_collector_rests_while_libraries_are_imported_and_then_leaves_them_alone() -> None:
    before = gc.get_freeze_count()
    try:
        guards.wake_collector()
        # What was frozen may have been freed since.
        assert gc.get_freeze_count() <= before, "it did not rest: whoever runs a job in process keeps what was there"
        guards.rest_collector()
        assert not gc.isenabled()
        guards.wake_collector()
        assert gc.isenabled()
        assert gc.get_freeze_count() > before
    finally:
        gc.enable()
