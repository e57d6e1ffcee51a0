"""Two processes that tune together, started as the daemon starts a child: the metrics of one, and one result."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from config.settings import load_settings
from daemon.training.runners.local import LocalRunner
from tests.support.missing import missing
from tests.support.ner_rows import training_set
from tests.support.served import eventually
from tests.support.tiny_models import make_tiny_bert, toy_rows, toy_spec
from trainers.hardware import usable_cores
from trainers.job import spec as job_spec
from trainers.job import steps
from trainers.job.guards import StopRequest
from trainers.job.progress import ProgressLog
from trainers.job.spec import JobSpec, Progress

pytestmark = [pytest.mark.slow, pytest.mark.process]

SETTINGS = load_settings().training.model_copy(update={"device": "cpu", "precision": "fp32", "threads": 2, "stop_grace_s": 8.0})


@pytest.fixture(autouse=True)
def _two_cores() -> None:
    if usable_cores() < 2:
        missing("two processes need two cores")


def order(folder: Path, name: str, *, processes: int) -> JobSpec:
    """An order with 459 rows to learn, beside 51 that judge, in batches of 229: one process is left without a row of the last."""
    training = {
        "full_epochs": 3, "full_learning_rate": 5e-3, "max_tokens": 32, "batch_size": 229, "processes": processes,
        "gradient_accumulation": 2, "early_stopping": 3,
    }  # fmt: skip
    (folder / name).mkdir()
    return JobSpec(
        run_id=name, task=toy_spec(folder / "base", training=training), training=SETTINGS, full=True,
        training_set=folder / name / "set", run_dir=folder / name, champion=None, champion_version=None, batch_size=229,
    )  # fmt: skip


def history(run_dir: Path) -> list[Progress]:
    return [Progress.model_validate_json(line) for line in (run_dir / job_spec.HISTORY_FILE).read_text().splitlines()]


def test_two_processes_give_the_metrics_of_one(tmp_path: Path) -> None:
    make_tiny_bert(tmp_path / "base")
    rows, test = toy_rows(["SPORT", "MARKETS", "WEATHER"], 170), toy_rows(["SPORT", "MARKETS", "WEATHER"], 30, seed=9)
    together, alone = (order(tmp_path, name, processes=count) for name, count in (("together", 2), ("alone", 1)))
    for spec in (together, alone):
        training_set(spec.training_set, train=rows, test=test)
    seen: list[Progress] = []
    found = LocalRunner(SETTINGS, threading.Event()).run(together, seen.append)
    log = (together.run_dir / "job.log").read_text()
    assert (found.status, found.error) == ("done", None), log
    one = steps.execute(alone, StopRequest(), ProgressLog("alone", alone.run_dir / job_spec.HISTORY_FILE, None))
    assert found.hardware == f"2 processes, each {one.hardware.replace('2 threads', '1 thread')}"
    assert found.comparison is not None
    assert one.comparison is not None
    assert found.comparison.candidate_score == pytest.approx(one.comparison.candidate_score, abs=0.02)
    ours, its = (load_file(spec.run_dir / "model" / "model.safetensors") for spec in (together, alone))
    # A constant added to all keys moves no attention: its gradient is noise.
    assert all(torch.allclose(values, its[name], atol=5e-4) for name, values in ours.items() if "key.bias" not in name)
    lines = [line for line in seen if line.phase == "training"]
    assert (lines[0].step, lines[-1].step, lines[-1].steps) == (1, 6, 6)
    assert len({line.step for line in lines}) == len(lines), "the first process alone tells"
    told = [line for line in history(alone.run_dir) if line.phase == "training"]
    assert lines[0].loss == pytest.approx(told[0].loss, rel=1e-3)
    assert not list(together.run_dir.glob("result-*"))
    assert log.count("process_left") == 1
    judged = [[tried for tried in result.tried if "kept back" in tried.name] for result in (found, one)]
    assert len(judged[0]) == len(judged[1]) == 3
    for both, single in zip(*judged, strict=True):
        assert both.scores == pytest.approx(single.scores, abs=0.05)
        assert both.chosen == single.chosen


LAUNCH = """
import json, sys
from pathlib import Path
from trainers.job import guards
from trainers.job.several import launching
launching._CHILD = ("-c", '''{child}''')
path = Path(sys.argv[1])
stop = guards.StopRequest()
stop.listen()
sys.exit(launching.launch(json.loads(path.read_bytes()), stop, path, count=2))
"""
CHILD = """
import os, signal, time
from pathlib import Path
Path(os.environ["FOLDER"], "pid-" + os.environ["RANK"]).write_text(str(os.getpid()))
if os.environ["RANK"] == "1" and os.environ["END"] == "killed":
    while not Path(os.environ["FOLDER"], "pid-0").exists():
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)
time.sleep(60)
"""


@pytest.mark.parametrize(
    ("end", "code", "status", "said"),
    [
        ("killed", job_spec.EXIT_OUT_OF_MEMORY, "out_of_memory", "process 2 of 2 was killed by SIGKILL"),
        ("stopped", job_spec.EXIT_STOPPED, "stopped", "stopped before it was done"),
    ],
)
def test_the_end_of_one_process_and_a_stop_end_all(tmp_path: Path, end: str, code: int, status: str, said: str) -> None:
    spec = order(tmp_path, "run", processes=2)
    job_spec.write_spec(spec)
    environment = os.environ | {"FOLDER": str(tmp_path), "END": end}
    with subprocess.Popen(
        [sys.executable, "-c", LAUNCH.format(child=CHILD), str(spec.run_dir / job_spec.SPEC_FILE)],
        stdout=subprocess.PIPE, env=environment, start_new_session=True, cwd=Path(__file__).parents[2],
    ) as launcher:  # fmt: skip
        pids = [tmp_path / f"pid-{rank}" for rank in range(2)]
        eventually(lambda: all(pid.exists() and pid.read_text() for pid in pids), within_s=90)
        if end == "stopped":
            launcher.send_signal(signal.SIGTERM)
        assert launcher.wait(60) == code
    result = job_spec.read_result(spec.run_dir)
    assert result is not None
    assert result.status == status
    assert said in (result.error or "")
    for pid in pids:
        assert not Path(f"/proc/{pid.read_text()}").exists()
