"""Prediction latency over HTTP: idle, while a training child runs, and while the model is changed under load.

Ours is the real serving process over real published models; beside it, in the same run and on the same models, what a user
would write: FastAPI calling transformers' pipeline (or spaCy) in its endpoint, changed by `/reload` or by a restart.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks.serving_load import Order
from benchmarks.serving_models import CLASSIFICATION, NER, Models
from config.settings import environment_of, load_settings
from daemon.training.runners.local import LocalRunner
from trainers.job.spec import JobSpec, Progress

CLIENTS = 4
_KINDS = {CLASSIFICATION: "classification", NER: "ner"}
_CHANGE_PAUSE_S = 2.0
_READY_S = 180.0
_ALONE_S = 10.0
"""How long a training child runs before the first request, to know its speed alone."""

Measured = dict[str, Any]


@dataclass(frozen=True)
class Sizes:
    """How much is measured: rows of the served model and of the training child beside it, requests per phase and kind."""

    served_rows: int
    training_rows: int
    idle: int
    training: int
    swaps: int


# Both kinds together make 10,000 requests during swaps.
FULL = Sizes(served_rows=2_000, training_rows=14_000, idle=2_000, training=2_000, swaps=5_000)
QUICK = Sizes(served_rows=400, training_rows=4_000, idle=100, training=200, swaps=400)


def main() -> None:
    """Measure both kinds (`--quick`: entities only) and write the ratios."""
    arguments = report.parser(__doc__ or "").parse_args()
    sizes = QUICK if arguments.quick else FULL
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(
            data_dir=Path(folder), serving={"port": 0, "refresh_interval_s": 0.2, "texts_per_s": 0, "requests_per_s": 0}
        )
        models = Models(settings)
        tasks = (NER,) if arguments.quick else (CLASSIFICATION, NER)
        kinds = {_KINDS[task]: _measure(models, task, sizes) for task in tasks}
    ours = [kind["ours"] for kind in kinds.values()]
    results: dict[str, Any] = {"clients": CLIENTS, **kinds}
    results["failures_in_ours"] = sum(phase["failures"] for phases in ours for phase in phases.values())
    results["requests_during_swaps"] = sum(phases["swaps"]["requests"] for phases in ours)
    report.write("serving", arguments, results, arguments.json)
    assert results["failures_in_ours"] == 0, "a request failed; 0 are owed"


def _measure(models: Models, task: str, sizes: Sizes) -> dict[str, Any]:
    labels = models.labels(task, sizes.served_rows)
    job = models.job(task, f"bench-{task}", labels, epochs=1)
    versions = models.publish(job, models.train(job), copies=2)
    models.promote(task, versions[0])
    print(f"{task}: model trained and published", flush=True)
    texts = [str(label.text) for label in labels[:500]]
    training = models.job(task, f"bench-{task}-busy", models.labels(task, sizes.training_rows), epochs=500)

    def phases(ask: Callable[[int, int], Measured], change: Callable[[], None]) -> dict[str, Measured]:
        ask(50, 1)
        found = {"idle_one_client": ask(sizes.idle, 1), "idle": ask(sizes.idle, CLIENTS)}
        _say(task, found)
        with _training(models, training) as pace:
            time.sleep(_ALONE_S)
            alone = pace.steps_per_s()
            found["training"] = ask(sizes.training, CLIENTS)
            found["training"]["training_speed_kept"] = pace.steps_per_s() / alone
        _say(task, found)
        with _changing(change) as count:
            found["swaps"] = ask(sizes.swaps, CLIENTS)
        found["swaps"]["changes"] = count[0]
        _say(task, found)
        return found

    with _ours(models) as port:
        wait = _wait_for(f"http://127.0.0.1:{port}/readyz")
        bodies = [json.dumps({"text": text}) for text in texts]
        at = [0]

        def move_alias() -> None:
            at[0] += 1
            models.promote(task, versions[at[0] % 2])
            _until(lambda: _get(port, "/v1/tasks")[task] == versions[at[0] % 2])

        wait()
        ours = phases(lambda number, clients: _load(port, f"/v1/tasks/{task}/predict", bodies, number, clients), move_alias)

    bodies = [json.dumps({"texts": [text]}) for text in texts]
    with _stock(task, models.folder(versions[0])) as (port, _process):
        at = [0]

        def reload() -> None:
            at[0] += 1
            _post(port, "/reload", {"folder": str(models.folder(versions[at[0] % 2]))})

        stock = phases(lambda number, clients: _load(port, "/predict", bodies, number, clients), reload)
    stock["restart"] = _restart(task, models.folder(versions[0]), bodies, requests=sizes.swaps)
    shared = [name for name in ours if name in stock]
    ratios = {
        name: {key: stock[name][key] / ours[name][key] for key in ("p50_ms", "p99_ms")}
        | {"throughput": ours[name]["requests_per_s"] / stock[name]["requests_per_s"]}
        for name in shared
    }
    return {"ours": ours, "stock": stock, "stock_over_ours": ratios}


def _say(task: str, found: dict[str, Measured]) -> None:
    name, last = list(found.items())[-1]
    line = f"p50 {last['p50_ms']:.1f} ms, p99 {last['p99_ms']:.1f} ms, {last['failures']} failures in {last['requests']} requests"
    print(f"{task}, {name}: {line}", flush=True)


def _load(port: int, path: str, bodies: Sequence[str], requests: int, clients: int) -> Measured:
    order = Order("127.0.0.1", port, path, bodies, requests, clients)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.serving_load"],
        input=json.dumps(asdict(order)),
        capture_output=True,
        text=True,
        check=True,
    )
    found: Measured = json.loads(done.stdout)
    found.pop("versions")
    return found


@contextmanager
def _ours(models: Models) -> Iterator[int]:
    log = models.settings.data_dir / "serving.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", "-m", "daemon.serving"], env=os.environ | environment_of(models.settings),
            stdout=subprocess.PIPE, stderr=errors, text=True,
        )  # fmt: skip
    try:
        assert process.stdout is not None
        yield int(json.loads(process.stdout.readline())["address"].rpartition(":")[2])
    finally:
        process.terminate()
        exit_code = process.wait(30)
        assert exit_code == 0, f"serving ended with {exit_code}: {log.read_text()[-4000:]}"


@contextmanager
def _stock(task: str, folder: Path, port: int = 0) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.serving_stock", _KINDS[task], str(folder), str(port)], stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline()), process
    finally:
        process.terminate()
        process.wait(30)


def _restart(task: str, folder: Path, bodies: Sequence[str], requests: int) -> Measured:
    """Change the model by one restart on the same port while requests run; clients try again every 10 ms."""
    found: dict[str, Measured] = {}
    with _stock(task, folder) as (port, process):
        asker = threading.Thread(target=lambda: found.update(restart=_load(port, "/predict", bodies, requests, CLIENTS)))
        asker.start()
        time.sleep(1.0)
        process.terminate()
        process.wait(30)
        stopped = time.monotonic()
        with _stock(task, folder, port):
            away_s = time.monotonic() - stopped
            asker.join()
    return found["restart"] | {"away_s": away_s}


class _Pace:
    """How fast a training child takes its steps, told by its own progress."""

    def __init__(self) -> None:
        self.started = threading.Event()
        self._seen: list[tuple[float, int]] = []
        self._asked = 0

    def take(self, progress: Progress) -> None:
        """Note one line of progress."""
        if progress.phase == "training" and progress.step:
            self._seen.append((time.monotonic(), progress.step))
            self.started.set()

    def steps_per_s(self) -> float:
        """Return the speed since the last call."""
        (began, first), (ended, last) = self._seen[self._asked], self._seen[-1]
        self._asked = len(self._seen) - 1
        return (last - first) / max(1e-9, ended - began)


@contextmanager
def _training(models: Models, job: JobSpec) -> Iterator[_Pace]:
    """Keep the real training child at work."""
    stop, pace = threading.Event(), _Pace()
    runner = LocalRunner(models.settings.training, stop)

    thread = threading.Thread(target=runner.run, args=(job, pace.take))
    thread.start()
    try:
        assert pace.started.wait(_READY_S), "the training child took no step"
        yield pace
        assert thread.is_alive(), "training ended before the requests did"
    finally:
        stop.set()
        thread.join()


@contextmanager
def _changing(change: Callable[[], None]) -> Iterator[list[int]]:
    """Change the model again and again; yields the count."""
    stop, count = threading.Event(), [0]

    def keep_changing() -> None:
        while True:
            change()
            count[0] += 1
            if stop.wait(_CHANGE_PAUSE_S):
                return

    thread = threading.Thread(target=keep_changing)
    thread.start()
    try:
        yield count
    finally:
        stop.set()
        thread.join()
        assert count[0], "the model did not change once while requests ran"


def _wait_for(url: str) -> Callable[[], None]:
    def ready() -> bool:
        try:
            return bool(urllib.request.urlopen(url, timeout=5).status == 200)  # noqa: S310 - our own address
        except OSError:
            return False

    return lambda: _until(ready)


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _READY_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def _get(port: int, path: str) -> dict[str, str | None]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
        return {task["name"]: task["serving"] for task in json.load(answer)["tasks"]}


def _post(port: int, path: str, body: dict[str, Any]) -> None:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    urllib.request.urlopen(request, timeout=120).read()  # noqa: S310 - our own address


if __name__ == "__main__":
    main()
