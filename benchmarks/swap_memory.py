"""Memory of the serving process over many swaps of its model, under requests: 100 swaps, and what it holds after 5 and after 100.

Two versions of one model of each kind, published with weights of their own, so that every swap loads all of it: what a new head
on the same encoder takes over is not measured here. Beside it the same swaps of a plain app, by `/reload`.
"""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from benchmarks import report
from benchmarks.serving_models import CLASSIFICATION, NER, Models
from benchmarks.serving_processes import ask, ours, post, serving_by_task, stock, until, wait_for
from config.settings import load_settings

_EARLY = 5
_MIB = 1 << 20
_KINDS = {CLASSIFICATION: "classification", NER: "ner"}


def main() -> None:
    """Swap, and write what was held (`--quick`: 20 swaps of entities)."""
    arguments = report.parser(__doc__ or "").parse_args()
    swaps = 20 if arguments.quick else 100
    results: dict[str, Any] = {"swaps": swaps}
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(
            data_dir=Path(folder), serving={"port": 0, "refresh_interval_s": 0.05, "texts_per_s": 0, "requests_per_s": 0}
        )
        models = Models(settings)
        for task in (NER,) if arguments.quick else (CLASSIFICATION, NER):
            results[_KINDS[task]] = _measure(models, task, swaps)
    report.write("swap_memory", arguments, results, arguments.json)


def _measure(models: Models, task: str, swaps: int) -> dict[str, Any]:
    labels = models.labels(task, 400)
    versions = []
    for number in range(2):
        # Trained twice on other rows: versions with the same files would share what is loaded.
        job = models.job(task, f"swap-{task}-{number}", labels[number::2], epochs=1)
        versions += models.publish(job, models.train(job), copies=1)
    models.promote(task, versions[0])
    texts = [str(label.text) for label in labels[:50]]
    found: dict[str, Any] = {}
    with ours(models) as (port, pid):
        wait_for(f"http://127.0.0.1:{port}/readyz")()

        def move_alias(number: int) -> None:
            models.promote(task, versions[number % 2])
            until(lambda: serving_by_task(port)[task] == versions[number % 2])

        with _asked(port, f"/v1/tasks/{task}/predict", [json.dumps({"text": text}) for text in texts]):
            found["ours"] = _held(pid, swaps, move_alias)
    with stock(_KINDS[task], models.folder(versions[0])) as (port, plain):

        def reload(number: int) -> None:
            post(port, "/reload", {"folder": str(models.folder(versions[number % 2]))})

        with _asked(port, "/predict", [json.dumps({"texts": [text]}) for text in texts]):
            found["plain_app"] = _held(plain.pid, swaps, reload)
    return found


def _held(pid: int, swaps: int, change: Callable[[int], None]) -> dict[str, Any]:
    process, held = psutil.Process(pid), []
    for number in range(1, swaps + 1):
        change(number)
        held.append(process.memory_info().rss / _MIB)
    early, late = max(held[_EARLY - 2 : _EARLY + 1]), max(held[-3:])
    return {"mib_after_5": early, "mib_after_all": late, "growth": late / early - 1, "most_mib": max(held)}


@contextmanager
def _asked(port: int, path: str, bodies: list[str]) -> Iterator[None]:
    """Have one client ask all along."""
    stop = threading.Event()

    def keep_asking() -> None:
        while not stop.is_set():
            ask(port, path, bodies, requests=50, clients=1)

    thread = threading.Thread(target=keep_asking)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


if __name__ == "__main__":
    main()
