"""What a real child finds in its environment: what it needs, and nothing that is secret."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from config.settings import SHIPPED_TASKS_DIR, load_settings
from config.tasks import TaskSpec, load_tasks
from daemon.process import child_environment
from daemon.process.supervision import ServingChild
from daemon.training.runners.local import LocalRunner
from trainers.job.spec import JobSpec

pytestmark = pytest.mark.process

TOPICS = load_tasks(SHIPPED_TASKS_DIR)["news-topics"]
SECRETS = {
    "PERENNIAL_SERVING__TOKEN": "the-serving-token",
    "PERENNIAL_KAFKA__PASSWORD": "the-password-of-kafka",
    "PERENNIAL_REGISTRY__URL": "sqlite:////tmp/the-registry.db",
    "AWS_SECRET_ACCESS_KEY": "the-key-of-the-store", "AWS_SESSION_TOKEN": "the-session", "PGPASSWORD": "of-postgres",
    "OPENAI_API_KEY": "the-oracle", "HF_TOKEN": "the-hub", "HTTPS_PROXY": "http://me:proxy-word@proxy:1",
    "CUDA_API_TOKEN": "hidden-in-a-family", "SOMETHING_NOBODY_KNOWS": "of-the-unit",
}  # fmt: skip
KNOBS = {
    "OMP_PROC_BIND": "true",
    "HF_HOME": "/models",
    "LC_ALL": "C.UTF-8",
    "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
}
TELL = """
import json, sys
from pathlib import Path
spec = json.loads(Path(sys.argv[1]).read_text())
run_dir = Path(sys.argv[1]).parent
for name in ("environ", "cmdline"):
    (run_dir / name).write_bytes(Path(f"/proc/self/{name}").read_bytes())
(run_dir / "result.json").write_text(json.dumps({"run_id": spec["run_id"], "status": "done"}))
"""

needs_proc = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="this system shows no process's environment")


@pytest.fixture(autouse=True)
def _a_daemon_with_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (SECRETS | KNOBS).items():
        monkeypatch.setenv(name, value)


def found_by_a_training_child(folder: Path, task: TaskSpec) -> tuple[dict[str, str], bytes]:
    """Run a real child through the real runner; return its environment as the kernel has it, and all that it was told."""
    script = folder / "child.py"
    script.write_text(TELL)
    training = load_settings().training
    spec = JobSpec(
        run_id="r-1", task=task, training=training, full=True, training_set=folder / "run" / "training_set",
        run_dir=folder / "run",
        champion=None, champion_version=None, batch_size=1,
    )  # fmt: skip
    result = LocalRunner(training, threading.Event(), command=(sys.executable, str(script))).run(spec, lambda _: None)
    assert result.status == "done", result.error
    told = b"".join((folder / "run" / name).read_bytes() for name in ("environ", "cmdline", "spec.json"))
    pairs = (folder / "run" / "environ").read_bytes().rstrip(b"\0").split(b"\0")
    return dict(pair.decode().split("=", 1) for pair in pairs), told


@needs_proc
def test_a_training_child_finds_no_secret_of_the_daemon(tmp_path: Path) -> None:
    found, told = found_by_a_training_child(tmp_path, TOPICS)
    assert not [name for name, value in SECRETS.items() if name in found or value.encode() in told]
    assert not [name for name in found if name.startswith("PERENNIAL_")]
    assert {name: found.get(name) for name in KNOBS} == KNOBS
    assert "PATH" in found


def test_waiting_threads_of_a_child_that_computes_give_their_core_up_unless_told_otherwise() -> None:
    assert child_environment.computing({}, 3) == {
        "OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "3", "MKL_NUM_THREADS": "3", "TOKENIZERS_PARALLELISM": "false",
    }  # fmt: skip
    assert child_environment.computing({"OMP_WAIT_POLICY": "ACTIVE"}, 0)["OMP_WAIT_POLICY"] == "ACTIVE"


@needs_proc
def test_the_hubs_token_goes_only_where_the_base_model_may_come_from_the_hub(tmp_path: Path) -> None:
    found, told = found_by_a_training_child(tmp_path, TOPICS.model_copy(update={"base_model": "some-org/gated-model"}))
    allowed = {"HF_TOKEN", "HTTPS_PROXY"}
    assert {name for name, value in SECRETS.items() if value.encode() in told} == allowed == SECRETS.keys() & found.keys()
    for base_model in ("minilm", "blank:de", str(tmp_path)):
        assert "HF_TOKEN" not in child_environment.for_training(TOPICS.model_copy(update={"base_model": base_model}))


@needs_proc
def test_the_serving_child_finds_the_settings_in_force_and_no_other_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "serving"
    program.write_text(
        f'#!/bin/sh\ncat /proc/$$/environ > {tmp_path}/environ\necho \'{{"address": "http://127.0.0.1:2"}}\'\nsleep 60\n'
    )
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    child = ServingChild(load_settings(data_dir=tmp_path), threading.Event())
    try:
        child.step()
        told = (tmp_path / "environ").read_bytes()
    finally:
        child.stop()
    settings = {"PERENNIAL_SERVING__TOKEN", "PERENNIAL_KAFKA__PASSWORD", "PERENNIAL_REGISTRY__URL"}
    assert {name for name, value in SECRETS.items() if value.encode() in told} == settings
