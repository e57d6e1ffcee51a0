"""The alias moves again and again while requests run in a real process: none fails, none mixes two versions, none stays."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import psutil
import pytest

from tests.support import sandboxed_format
from tests.support.served import TASK, TEXT, TOPICS, ServedData, eventually
from tests.support.serving_process import serving

REQUESTS = 1_000
CLIENTS = 4
ROOT = Path(__file__).parents[2]


def failed_loads(address: str) -> float:
    lines = httpx.get(f"{address}/metrics").text.splitlines()
    name = f'perennial_model_load_failures_total{{task="{TASK}"}}'
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


class Served(NamedTuple):
    """A real serving process."""

    data: ServedData
    pid: int
    address: str

    def answers(self, task: str, version: str) -> bool:
        found = httpx.get(f"{self.address}/readyz", timeout=30).json()["serving"]
        return bool(found[task] == version)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    data = ServedData(tmp_path_factory.mktemp("served"))
    settings = data.settings_with(refresh_interval_s=0.02)
    extensions = settings.extensions.model_copy(update={"modules": sandboxed_format.MODULE})
    with serving(settings.model_copy(update={"extensions": extensions}), cwd=ROOT) as (process, address):
        yield Served(data, process.pid, address)


def test_twenty_swaps_leave_the_memory_of_the_process_as_it_was_after_five(served: Served, tmp_path: Path) -> None:
    versions = []
    for number in range(2):
        folder = sandboxed_format.written(tmp_path / f"heavy-{number}", "is heavy")
        # Of other files: what is the same need not be loaded again.
        (folder / "number").write_text(str(number))
        versions.append(served.data.publish_folder(TOPICS, folder))
    process, after_five = psutil.Process(served.pid), 0
    for number in range(20):
        served.data.promote(versions[number % 2])
        eventually(lambda now=versions[number % 2]: served.answers(TOPICS, now), within_s=60)
        if number == 4:
            after_five = process.memory_info().rss
    bound = after_five * 1.05 + sandboxed_format.HEAVY_BYTES
    # The last one may be on its way out; fifteen that stay are far beyond.
    eventually(lambda: process.memory_info().rss < bound)


def test_a_thousand_requests_during_swaps_and_one_corrupt_champion(served: Served) -> None:
    data, address = served.data, served.address
    versions = [data.publish() for _ in range(3)]
    corrupt = data.publish()
    data.artifact_file(corrupt).write_text("{}")
    data.promote(versions[0])
    answers: list[tuple[str, str]] = []
    failures: list[str] = []
    moved = 0

    eventually(lambda: served.answers(TASK, versions[0]), within_s=60)

    def ask() -> None:
        with httpx.Client(base_url=address, timeout=30) as client:
            while len(answers) + len(failures) < REQUESTS or moved < 8:
                try:
                    response = client.post(f"/v1/tasks/{TASK}/predict", json={"text": TEXT})
                    response.raise_for_status()
                    body = response.json()
                    answers.append((body["version"], body["predictions"][0]["spans"][0]["label"]))
                except (httpx.HTTPError, KeyError, IndexError) as error:
                    failures.append(repr(error))

    askers = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    for asker in askers:
        asker.start()
    for number in range(1, 9):
        target = corrupt if number == 4 else versions[number % 3]
        data.promote(target)
        if target != corrupt:
            eventually(lambda wanted=target: answers and answers[-1][0] == wanted)
        else:
            eventually(lambda: failed_loads(address) > 0)
        moved = number
    for asker in askers:
        asker.join(120)
    metrics = httpx.get(f"{address}/metrics").text

    assert failures == []
    assert len(answers) >= REQUESTS
    assert {version for version, _label in answers} == set(versions), "the corrupt one never answered"
    assert all(version == f"{TASK}/{label.lower()}" for version, label in answers)
    swaps = next(line for line in metrics.splitlines() if line.startswith(f'perennial_model_swaps_total{{task="{TASK}"'))
    assert float(swaps.rpartition(" ")[2]) >= 7
