"""The alias moves again and again while requests run in a real process: none fails, none mixes two versions."""

from __future__ import annotations

import threading
from pathlib import Path

import httpx

from tests.support.served import TASK, TEXT, ServedData, eventually
from tests.support.serving_process import serving

REQUESTS = 1_000
CLIENTS = 4


def failed_loads(address: str) -> float:
    lines = httpx.get(f"{address}/metrics").text.splitlines()
    name = f'perennial_model_load_failures_total{{task="{TASK}"}}'
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


def test_a_thousand_requests_during_swaps_and_one_corrupt_champion(tmp_path: Path) -> None:
    data = ServedData(tmp_path)
    versions = [data.publish() for _ in range(3)]
    corrupt = data.publish()
    data.artifact_file(corrupt).write_text("{}")
    data.promote(versions[0])
    answers: list[tuple[str, str]] = []
    failures: list[str] = []
    moved = 0

    with serving(data.settings_with(refresh_interval_s=0.02)) as (_process, address):
        eventually(lambda: httpx.get(f"{address}/readyz").status_code == 200, within_s=60)

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
