"""Model files that are damaged in every way, in front of a real serving process: the old version answers on, and it is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx

from registry.artifacts.manifest import MANIFEST_FILE
from tests.support.served import TASK, TEXT, ServedData, eventually
from tests.support.serving_process import serving


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def put_another_beside(file: Path) -> None:
    file.with_name("extra.bin").write_bytes(b"extra")


def empty_the_manifest(file: Path) -> None:
    (file.parents[1] / MANIFEST_FILE).write_bytes(b"")


DAMAGE: tuple[Callable[[Path], None], ...] = (flip_a_bit, truncate, Path.unlink, put_another_beside, empty_the_manifest)


def test_no_damaged_version_is_ever_served(tmp_path: Path) -> None:
    data = ServedData(tmp_path)
    good = data.champion()
    with serving(data.settings) as (_process, address), httpx.Client(base_url=address, timeout=30) as client:
        eventually(lambda: client.get("/readyz").status_code == 200, within_s=60)

        def answers() -> str:
            response = client.post(f"/v1/tasks/{TASK}/predict", json={"text": TEXT})
            response.raise_for_status()
            return str(response.json()["version"])

        def failures() -> float:
            lines = client.get("/metrics").text.splitlines()
            name = f'perennial_model_load_failures_total{{task="{TASK}"}}'
            return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))

        assert answers() == good
        for damage in DAMAGE:
            version = data.publish()
            damage(data.artifact_file(version))
            before = failures()
            data.promote(version)
            eventually(lambda before=before: failures() > before, within_s=60)
            assert answers() == good
        fixed = data.champion()
        eventually(lambda: answers() == fixed, within_s=60)
    # A process that starts on a damaged champion has no older one in memory: it says that it is not ready, and answers nothing.
    truncate(data.artifact_file(fixed))
    with serving(data.settings) as (_process, address), httpx.Client(base_url=address, timeout=30) as client:
        eventually(lambda: f'perennial_model_load_failing{{task="{TASK}"}} 1.0' in client.get("/metrics").text, within_s=60)
        assert client.post(f"/v1/tasks/{TASK}/predict", json={"text": TEXT}).status_code == 503
        data.promote(good)
        eventually(lambda: client.get("/readyz").status_code == 200, within_s=60)
        assert client.post(f"/v1/tasks/{TASK}/predict", json={"text": TEXT}).json()["version"] == good
