"""The runner against small real children that behave as a training child can."""

from __future__ import annotations

import errno
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from config.settings import SHIPPED_TASKS_DIR, load_settings
from config.tasks import load_tasks
from daemon.training.runners.local import CHILD as TRAINING
from daemon.training.runners.local import LocalRunner
from tests.support.served import eventually
from trainers.job.spec import JobSpec, Progress

pytestmark = pytest.mark.process

CHILD = """
import json, os, signal, sys, time
from pathlib import Path
spec = json.loads(Path(sys.argv[1]).read_text())
run_dir = Path(sys.argv[1]).parent
def say(phase, **more):
    print(json.dumps({"run_id": spec["run_id"], "at": "2026-11-20T00:00:00Z", "phase": phase, **more}), flush=True)
def result(status, **more):
    (run_dir / "result.json").write_text(json.dumps({"run_id": spec["run_id"], "status": status, **more}))
with open(run_dir / "attempts", "a") as file:
    file.write(f"{spec['batch_size']} {spec['attempt']} {os.environ['OMP_NUM_THREADS']}\\n")
"""


def spec(folder: Path, batch_size: int = 32) -> JobSpec:
    return JobSpec(
        run_id="news-topics-1", task=load_tasks(SHIPPED_TASKS_DIR)["news-topics"], training=load_settings().training, full=True,
        training_set=folder / "run" / "training_set", run_dir=folder / "run",
        champion=None, champion_version=None, batch_size=batch_size,
    )  # fmt: skip


def runner(folder: Path, body: str, *, stop: threading.Event | None = None, **limits: float) -> LocalRunner:
    script = folder / "child.py"
    script.write_text(CHILD + body)
    settings = load_settings().training.model_copy(update={"threads": 1, "stop_grace_s": 0.5, **limits})
    return LocalRunner(settings, stop or threading.Event(), command=(sys.executable, str(script)))


def attempts(folder: Path) -> list[str]:
    return (folder / "run" / "attempts").read_text().splitlines()


def test_progress_and_result_come_through_and_threads_are_capped(tmp_path: Path) -> None:
    body = "say('training', step=1, steps=2); print('not json', flush=True); say('done'); result('done', train_s=1.5)"
    seen: list[Progress] = []
    found = runner(tmp_path, body).run(spec(tmp_path), seen.append)
    assert (found.status, found.train_s) == ("done", 1.5)
    assert [progress.phase for progress in seen] == ["training", "done"]
    assert attempts(tmp_path) == ["32 1 1"]


def test_what_a_child_and_its_children_cost_is_counted_over_all_attempts(tmp_path: Path) -> None:
    spin = "until = time.process_time() + 0.2\nwhile time.process_time() < until: pass"
    body = f"import subprocess, time\nsubprocess.run([sys.executable, '-c', {'import time' + chr(10) + spin!r}])\n{spin}\n"
    found = runner(tmp_path, f"{body}result('out_of_memory', error='no room')").run(spec(tmp_path), lambda _progress: None)
    assert (found.status, len(attempts(tmp_path))) == ("try_later", 2)
    assert found.cpu_s is not None
    assert found.cpu_s > 0.8, "two attempts, each of two processes that spin for 0.2 s"


def test_a_module_in_the_working_folder_is_not_taken_for_ours(tmp_path: Path) -> None:
    (tmp_path / "config.py").write_text("raise SystemExit('not the one that was meant')")
    done = subprocess.run([*TRAINING, "nothing.json"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "nothing.json" in done.stderr
    assert "not the one that was meant" not in done.stderr


def test_out_of_memory_is_tried_once_more_at_half_the_batch(tmp_path: Path) -> None:
    body = """
if spec["batch_size"] > 16:
    result("out_of_memory", error="no memory")
    sys.exit(3)
result("done")
"""
    assert runner(tmp_path, body).run(spec(tmp_path), lambda _: None).status == "done"
    assert attempts(tmp_path) == ["32 1 1", "16 2 1"]


def test_half_the_batch_twice_as_often_is_the_same_step(tmp_path: Path) -> None:
    body = """
(run_dir / "steps").open("a").write(f"{spec['batch_size']} {spec['rows_per_step']}\\n")
(run_dir / "batch_size").write_text("5")  # what the run has chosen itself, of the 32 that it may
result("out_of_memory", error="no memory")
sys.exit(3)
"""
    tested = runner(tmp_path, body)
    order = spec(tmp_path)
    tested.run(order, lambda _: None)
    assert (tmp_path / "run" / "steps").read_text().splitlines() == ["32 None", "2 32"]


def test_a_child_killed_by_the_kernel_counts_as_out_of_memory_and_is_tried_later_after_the_second_time(tmp_path: Path) -> None:
    found = runner(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)").run(spec(tmp_path), lambda _: None)
    assert found.status == "try_later"
    assert found.error is not None
    assert "out of memory again at batch size 16" in found.error
    assert len(attempts(tmp_path)) == 2


@pytest.mark.parametrize(("limit_mib", "tried"), [(0, 1), (500, 2)])
def test_a_crash_counts_as_out_of_memory_where_memory_is_limited(tmp_path: Path, limit_mib: int, tried: int) -> None:
    crashing = runner(tmp_path, "os.kill(os.getpid(), signal.SIGSEGV)", memory_limit_mib=limit_mib)
    found = crashing.run(spec(tmp_path), lambda _: None)
    assert found.status == "try_later"
    assert len(attempts(tmp_path)) == tried
    assert ("crashed (SIGSEGV)" in (found.error or "")) == bool(limit_mib)


def test_a_batch_of_one_is_not_halved(tmp_path: Path) -> None:
    found = runner(tmp_path, "result('out_of_memory', error='no memory'); sys.exit(3)").run(spec(tmp_path, 1), lambda _: None)
    assert found.status == "try_later"
    assert "training.gradient_checkpointing" in (found.error or "")
    assert len(attempts(tmp_path)) == 1


def test_a_child_without_a_result_is_tried_later_and_shows_the_end_of_its_log(tmp_path: Path) -> None:
    found = runner(tmp_path, "raise RuntimeError('the tokenizer is broken')").run(spec(tmp_path), lambda _: None)
    assert found.status == "try_later"
    assert found.error is not None
    assert "code 1" in found.error
    assert "the tokenizer is broken" in found.error


def test_a_result_of_a_program_that_was_upgraded_under_the_daemon_is_tried_later_and_says_to_restart(tmp_path: Path) -> None:
    found = runner(tmp_path, "result('done', told_by_a_newer_program=1)").run(spec(tmp_path), lambda _progress: None)
    assert found.status == "try_later"
    assert "Restart the daemon" in (found.error or "")


def test_a_result_of_an_earlier_attempt_is_never_taken_for_this_ones(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "result.json").write_text('{"run_id": "news-topics-1", "status": "done"}')
    assert runner(tmp_path, "sys.exit(1)").run(spec(tmp_path), lambda _: None).status == "try_later"


def test_a_child_that_says_nothing_for_too_long_is_killed_with_its_children_though_it_is_frozen(tmp_path: Path) -> None:
    body = """
import subprocess
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
(run_dir / "grandchild").write_text(str(child.pid))
for step in range(8):  # longer in all than the limit, and never silent for so long
    say("training", step=step, steps=8)
    time.sleep(0.25)
os.kill(os.getpid(), signal.SIGSTOP)
"""
    seen: list[Progress] = []
    found = runner(tmp_path, body, stall_limit_s=1.5).run(spec(tmp_path), seen.append)
    assert (found.status, len(seen)) == ("try_later", 8)
    assert "training.stall_limit_s" in (found.error or "")
    grandchild = int((tmp_path / "run" / "grandchild").read_text())
    eventually(lambda: _is_gone(grandchild))


@pytest.mark.parametrize("error", [OSError(errno.EAGAIN, "no more processes"), OSError(errno.EMFILE, "too many open files")])
def test_a_child_that_cannot_be_started_is_tried_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    def refused(*_args: object, **_options: object) -> None:
        raise error

    monkeypatch.setattr(subprocess, "Popen", refused)
    found = runner(tmp_path, "result('done')").run(spec(tmp_path), lambda _: None)
    assert found.status == "try_later"
    assert error.strerror in (found.error or "")


def test_a_child_that_says_try_later_is_not_started_again_at_once(tmp_path: Path) -> None:
    body = "result('try_later', error='No space left on device'); sys.exit(5)"
    found = runner(tmp_path, body).run(spec(tmp_path), lambda _: None)
    assert (found.status, found.error) == ("try_later", "No space left on device")
    assert len(attempts(tmp_path)) == 1


def test_a_hung_child_that_ignores_the_polite_stop_is_killed_with_its_children(tmp_path: Path) -> None:
    body = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
import subprocess
stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
child = subprocess.Popen([sys.executable, "-c", stubborn])
(run_dir / "grandchild").write_text(str(child.pid))
time.sleep(60)
"""
    started = time.monotonic()
    found = runner(tmp_path, body, time_limit_s=1.5).run(spec(tmp_path), lambda _: None)
    assert found.status == "failed"
    assert found.error is not None
    assert "killed after its time limit of 2 s" in found.error
    assert time.monotonic() - started < 20
    grandchild = int((tmp_path / "run" / "grandchild").read_text())
    eventually(lambda: _is_gone(grandchild))  # the kill is sent when the call returns, and takes a moment under load


def test_a_stop_ends_the_child_and_leaves_the_run_to_go_on_later(tmp_path: Path) -> None:
    stop = threading.Event()
    found: list[str] = []
    tested = runner(tmp_path, "say('training', step=1, steps=9); time.sleep(60)", stop=stop)
    thread = threading.Thread(target=lambda: found.append(tested.run(spec(tmp_path), lambda _: stop.set()).status))
    thread.start()
    thread.join(timeout=20)
    assert found == ["stopped"]


def test_a_run_that_must_end_fails_though_nothing_else_stops(tmp_path: Path) -> None:
    here = runner(tmp_path, "time.sleep(60)")
    began = time.monotonic()
    threading.Timer(0.5, lambda: here.end("news-topics-1")).start()
    result = here.run(spec(tmp_path), lambda _progress: None)
    assert result.status == "failed"
    assert time.monotonic() - began < 30
    assert here.run(spec(tmp_path), lambda _progress: None).status == "failed", "a later attempt ends too"


def test_a_child_whose_daemon_died_while_it_was_starting_does_not_live_on(tmp_path: Path) -> None:
    body = """
from trainers import orphans
orphans.die_with_parent()  # passes: the daemon lives
os.environ[orphans.PARENT_VARIABLE] = "1"  # as if another process had taken this one over meanwhile
if os.getppid() != 1:
    orphans.die_with_parent()
say('training', step=1, steps=1)
"""
    seen: list[Progress] = []
    found = runner(tmp_path, body).run(spec(tmp_path), seen.append)
    assert found.status == "try_later", "killed by itself, twice, which looks like the kernel's doing"
    assert seen == []


@pytest.mark.parametrize("content", ["", "{", '{"run_id": 1}'])
def test_a_torn_result_is_no_result(tmp_path: Path, content: str) -> None:
    found = runner(tmp_path, f"(run_dir / 'result.json').write_text({content!r})").run(spec(tmp_path), lambda _: None)
    assert found.status == "try_later"


def _is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_stop_ends_a_child_that_is_frozen_too(tmp_path: Path) -> None:
    stop = threading.Event()
    body = "(run_dir / 'pid').write_text(str(os.getpid())); os.kill(os.getpid(), signal.SIGSTOP)"
    found = []
    frozen = runner(tmp_path, body, stop=stop)
    thread = threading.Thread(target=lambda: found.append(frozen.run(spec(tmp_path), lambda _: None)))
    thread.start()
    pid = tmp_path / "run" / "pid"
    eventually(
        lambda: pid.exists() and pid.read_text() and psutil.Process(int(pid.read_text())).status() == psutil.STATUS_STOPPED
    )
    stop.set()
    thread.join(30)
    assert [one.status for one in found] == ["stopped"]
    assert not psutil.pid_exists(int(pid.read_text()))
