"""Threads predict in an app's process while the champion moves over HTTP: no prediction fails, none mixes two versions."""

from __future__ import annotations

import threading
from pathlib import Path

import httpx

from perennial_client import Client, Model
from tests.support.served import TASK, TEXT, ServedData, eventually
from tests.support.serving_process import serving

THREADS = 4
PREDICTIONS = 1_000


def test_a_thousand_predictions_during_swaps_and_one_corrupt_champion(tmp_path: Path) -> None:
    data = ServedData(tmp_path)
    versions = [data.publish() for _ in range(3)]
    corrupt = data.publish()
    patterns = data.artifact_file(corrupt)
    patterns.write_bytes(b"{}".ljust(patterns.stat().st_size))
    data.promote(versions[0])
    answers: list[tuple[str, frozenset[str]]] = []
    failures: list[str] = []
    moved = 0

    with serving(data.settings_with(refresh_interval_s=0.05)) as (_process, address), Client(address) as client:
        eventually(lambda: httpx.get(f"{address}/readyz").status_code == 200, within_s=60)
        with Model.follow(TASK, client=client, cache_dir=tmp_path / "cache", poll_s=0.05, keep=2) as model:

            def predict() -> None:
                while len(answers) + len(failures) < PREDICTIONS or moved < 8:
                    try:
                        # More than one portion: other threads, and swaps, come between them.
                        predictions = model.predict([TEXT] * 40)
                    except Exception as error:  # noqa: BLE001 - whatever it is, it counts
                        failures.append(repr(error))
                        continue
                    [version] = {one.version for one in predictions}
                    answers.append((version, frozenset(span.label for one in predictions for span in one.spans)))

            threads = [threading.Thread(target=predict) for _ in range(THREADS)]
            for thread in threads:
                thread.start()
            for number in range(1, 9):
                target = corrupt if number == 4 else versions[number % 3]
                data.promote(target)
                if target == corrupt:
                    eventually(lambda: model.last_error and "patterns.jsonl" in model.last_error, within_s=60)
                else:
                    eventually(lambda wanted=target: answers and answers[-1][0] == wanted, within_s=60)
                moved = number
            for thread in threads:
                thread.join(120)

    assert failures == []
    assert len(answers) >= PREDICTIONS
    assert {version for version, _labels in answers} == set(versions), "the corrupt one never answered"
    assert all(labels == {version.partition("/")[2].upper()} for version, labels in answers)
