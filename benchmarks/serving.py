"""Prediction latency over HTTP: idle, while a training child runs, and while the model is changed under load.

One client alone, and beside requests that take seconds, is measured too. Ours is the real serving process over real published
models; beside it, in the same run and on the same models, what a user would write: FastAPI calling transformers' pipeline (or
spaCy) in its endpoint, changed by `/reload` or by a restart; and the same around the very model that ours opens.
"""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import report
from benchmarks import serving_processes as processes
from benchmarks.serving_models import CLASSIFICATION, NER, Models
from config.settings import load_settings
from daemon.training.runners.local import LocalRunner
from trainers.job.spec import JobSpec, Progress

CLIENTS = 4
_KINDS = {CLASSIFICATION: "classification", NER: "ner"}
_CHANGE_PAUSE_S = 2.0
_MANY_TEXTS, _LONG_CHARS = 256, 100_000
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
    beside_long: int
    training: int
    swaps: int


# Both kinds together make 10,000 requests during swaps.
FULL = Sizes(served_rows=2_000, training_rows=14_000, idle=2_000, beside_long=300, training=2_000, swaps=5_000)
QUICK = Sizes(served_rows=400, training_rows=4_000, idle=100, beside_long=50, training=200, swaps=400)


def main() -> None:
    """Measure both kinds (`--quick`: entities only) and write the ratios."""
    parser = report.parser(__doc__ or "")
    parser.add_argument("--export", default="none", help="the variant that topics are served by: auto or a name (default none)")
    parser.add_argument("--tasks", nargs="+", choices=sorted(_KINDS), help="default both, with --quick entities alone")
    arguments = parser.parse_args()
    sizes = QUICK if arguments.quick else FULL
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(
            data_dir=Path(folder), serving={"port": 0, "refresh_interval_s": 0.2, "texts_per_s": 0, "requests_per_s": 0}
        )
        models = Models(settings, export=arguments.export)
        tasks = arguments.tasks or ([NER] if arguments.quick else [CLASSIFICATION, NER])
        kinds = {_KINDS[task]: _measure(models, task, sizes) for task in tasks}
    ours = [kind["ours"] for kind in kinds.values()]
    results: dict[str, Any] = {"clients": CLIENTS, "export": arguments.export, **kinds}
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
    long = _long_body(task, texts)
    at = [0]

    def phases(ask: Callable[[Sequence[str], int, int], Measured], change: Callable[[], None]) -> dict[str, Measured]:
        ask(bodies, 50, 1)
        found = {"idle_one_client": ask(bodies, sizes.idle, 1), "idle": ask(bodies, sizes.idle, CLIENTS)}
        _say(task, found)
        with _beside(lambda: ask([long], 2, 2)):
            found["one_client_beside_long"] = ask(bodies, sizes.beside_long, 1)
        _say(task, found)
        with _training(models, training) as pace:
            time.sleep(_ALONE_S)
            alone = pace.steps_per_s()
            found["one_client_beside_training"] = ask(bodies, sizes.training, 1)
            found["one_client_beside_training"]["training_speed_kept"] = pace.steps_per_s() / alone
            found["training"] = ask(bodies, sizes.training, CLIENTS)
            found["training"]["training_speed_kept"] = pace.steps_per_s() / alone
        _say(task, found)
        with _changing(change) as count:
            found["swaps"] = ask(bodies, sizes.swaps, CLIENTS)
        found["swaps"]["changes"] = count[0]
        _say(task, found)
        return found

    bodies = [json.dumps({"texts": [text]}) for text in texts]
    found: dict[str, Any] = {"variant": models.variant(versions[0])}
    with processes.ours(models) as (port, _pid):

        def move_alias() -> None:
            at[0] += 1
            models.promote(task, versions[at[0] % 2])
            processes.until(lambda: processes.serving_by_task(port)[task] == versions[at[0] % 2])

        processes.wait_for(f"http://127.0.0.1:{port}/readyz")()
        path = f"/v1/tasks/{task}/predict"
        found["ours"] = phases(lambda sent, number, clients: processes.ask(port, path, sent, number, clients), move_alias)

    for kind in (_KINDS[task], "same_model"):
        with processes.stock(kind, models.folder(versions[0])) as (port, _process):

            def reload() -> None:
                at[0] += 1
                processes.post(port, "/reload", {"folder": str(models.folder(versions[at[0] % 2]))})

            found[kind] = phases(
                lambda sent, number, clients: processes.ask(port, "/predict", sent, number, clients),
                reload,
            )
        found[f"{kind}_over_ours"] = _ratios(found[kind], found["ours"])
    found[_KINDS[task]]["restart"] = _restart(task, models.folder(versions[0]), bodies, requests=sizes.swaps)
    return found


def _ratios(theirs: dict[str, Measured], ours: dict[str, Measured]) -> dict[str, Measured]:
    return {
        name: {key: theirs[name][key] / ours[name][key] for key in ("p50_ms", "p99_ms", "max_ms")}
        | {"throughput": ours[name]["requests_per_s"] / theirs[name]["requests_per_s"]}
        for name in ours
    }


def _long_body(task: str, texts: Sequence[str]) -> str:
    """Return a request that takes seconds: many texts for a classifier, one long text where entities are found."""
    if task == NER:
        return json.dumps({"texts": [("\n".join(texts) * 10)[:_LONG_CHARS]]})
    return json.dumps({"texts": [texts[number % len(texts)] for number in range(_MANY_TEXTS)]})


def _say(task: str, found: dict[str, Measured]) -> None:
    name, last = list(found.items())[-1]
    line = f"p50 {last['p50_ms']:.1f} ms, p99 {last['p99_ms']:.1f} ms, {last['failures']} failures in {last['requests']} requests"
    print(f"{task}, {name}: {line}", flush=True)


def _restart(task: str, folder: Path, bodies: Sequence[str], requests: int) -> Measured:
    """Change the model by one restart on the same port while requests run; clients try again every 10 ms."""
    found: dict[str, Measured] = {}
    with processes.stock(_KINDS[task], folder) as (port, process):
        asker = threading.Thread(target=lambda: found.update(restart=processes.ask(port, "/predict", bodies, requests, CLIENTS)))
        asker.start()
        time.sleep(1.0)
        process.terminate()
        process.wait(30)
        stopped = time.monotonic()
        with processes.stock(_KINDS[task], folder, port):
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
def _beside(work: Callable[[], object]) -> Iterator[None]:
    """Repeat some work all along."""
    stop = threading.Event()

    def keep_on() -> None:
        while not stop.is_set():
            work()

    thread = threading.Thread(target=keep_on)
    thread.start()
    try:
        yield
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


if __name__ == "__main__":
    main()
