"""`classify` over HTTP: how long a title and a description take, with the keywords of `city-signals` and with a model of it.

Serving runs as its own process on one thread. The model is what a first run learns with `tuning: never` from HuffPost headlines
that the shipped keywords label, only to be timed. Requests hold a headline and its short description, one at a time on one
connection, and then by four clients at once; their latencies are those that the clients see.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks import huffpost, report
from benchmarks.serving_load import Order
from benchmarks.serving_models import Models
from config.settings import SHIPPED_TASKS_DIR, Settings, environment_of, load_settings
from config.tasks import load_task
from perennial_artifact.keywords import is_version_of_keywords
from trainers import hardware
from trainers.learners.catalog import learner_for
from trainers.learners.protocols import Example, TrainingPlan

TASK = "city-signals"
_TASK_FILE = SHIPPED_TASKS_DIR / "examples" / f"{TASK}.yaml"
_MONTH = "2014-01"
_LEARNT, _ASKED = 400, 500
_WARM_UP = 20
_AT_ONCE = 4
_READY_S = 300.0


def main() -> None:
    """Read the arguments, measure, report."""
    parser = report.parser(__doc__ or "")
    parser.add_argument("--requests", type=int, default=1_000, help="of each measurement")
    arguments = parser.parse_args()
    requests = 200 if arguments.quick else arguments.requests
    rows = huffpost.by_month()[_MONTH]
    bodies = [_body(row.text) for row in rows[:_ASKED]]
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        tasks = Path(folder) / "tasks"
        tasks.mkdir()
        (tasks / _TASK_FILE.name).write_bytes(_TASK_FILE.read_bytes())
        settings = load_settings(
            data_dir=Path(folder) / "data",
            tasks_dir=str(tasks),
            serving={"port": 0, "threads": 1, "requests_per_s": 10_000, "texts_per_s": 10_000},
        )
        with _serving(settings) as (port, process):
            results["keywords"] = _measured(port, process, bodies, requests, by_keywords=True)
        _publish(settings, Path(folder), [row.text for row in rows[-_LEARNT:]])
        with _serving(settings) as (port, process):
            results["model"] = _measured(port, process, bodies, requests, by_keywords=False)
    report.write("classify", arguments, results, arguments.json)


def _body(text: str) -> str:
    title, _blank, description = text.partition("\n\n")
    return json.dumps({"title": title, "description": description or title})


def _measured(port: int, process: psutil.Process, bodies: Sequence[str], requests: int, *, by_keywords: bool) -> dict[str, Any]:
    path = f"/v1/tasks/{TASK}/classify"
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=_READY_S) as client:
        answer = client.post(path, content=bodies[0], headers={"Content-Type": "application/json"}).json()
    assert is_version_of_keywords(answer["version"]) is by_keywords, answer
    _load(port, process, path, bodies, _WARM_UP, 1)
    return {
        "one at a time": _load(port, process, path, bodies, requests, 1),
        f"{_AT_ONCE} clients": _load(port, process, path, bodies, requests, _AT_ONCE),
    }


def _load(  # noqa: PLR0917 - all of them are what one measurement has
    port: int, process: psutil.Process, path: str, bodies: Sequence[str], requests: int, clients: int
) -> dict[str, Any]:
    """Return the latencies that clients see, and the processor time of serving for a request, which other work hardly changes."""
    order = Order("127.0.0.1", port, path, bodies, requests, clients)
    began = process.cpu_times()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.serving_load"], input=json.dumps(asdict(order)), capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    ended = process.cpu_times()
    found: dict[str, Any] = json.loads(done.stdout)
    assert found.pop("failures") == 0, found
    spent_s = ended.user + ended.system - began.user - began.system
    shown = ("p50_ms", "p99_ms", "max_ms", "requests_per_s")
    return {name: found[name] for name in shown} | {"serving_cpu_ms": 1_000.0 * spent_s / requests}


@contextmanager
def _serving(settings: Settings) -> Iterator[tuple[int, psutil.Process]]:
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    log = settings.data_dir / "serving.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "daemon.serving"], env=os.environ | environment_of(settings), stdout=subprocess.PIPE,
            stderr=errors, text=True,
        )  # fmt: skip
    try:
        assert process.stdout is not None
        port = int(json.loads(process.stdout.readline())["address"].rpartition(":")[2])
        transport = httpx.HTTPTransport(retries=3)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=_READY_S, transport=transport) as client:
            while client.get("/readyz").status_code != httpx.codes.OK:
                pass
        yield port, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(30)


def _publish(settings: Settings, folder: Path, texts: Sequence[str]) -> None:
    """Publish and promote a model that learnt what keywords say of texts."""
    task = load_task(_TASK_FILE)
    task = task.model_copy(update={"training": task.training.model_copy(update={"tuning": "never"})})
    assert task.keywords is not None
    said = [{"signals": answer["signals"]} for answer in task.keywords.predict(texts)]
    rows = [Example(f"h{at}", text, target) for at, (text, target) in enumerate(zip(texts, said, strict=True))]
    plan = TrainingPlan(
        spec=task, rows=rows, full=True, warm_start=None, seed=0,
        hardware=hardware.resolve(settings.training.model_copy(update={"threads": 1})), batch_size=task.training.batch_size,
        work_dir=folder / "work", report=lambda _step: None,
    )  # fmt: skip
    learner_for(task).train(plan, folder / "model")
    models = Models(settings)
    models.promote(TASK, models.publish_folder(TASK, folder / "model", run_id="classify"))


if __name__ == "__main__":
    main()
