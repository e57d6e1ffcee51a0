"""The client's examples, run as processes against a really running serving process."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.served import TASK, TEXT, ServedData, eventually
from tests.support.serving_process import serving

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "client" / "examples"
KEY = "s3cret"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> ServedData:
    made = ServedData(tmp_path_factory.mktemp("server"))
    made.champion()
    return made


@pytest.fixture(scope="module")
def address(data: ServedData) -> Iterator[str]:
    with serving(data.settings_with(token=KEY)) as (_process, address):
        eventually(lambda: httpx.get(f"{address}/readyz").status_code == 200, within_s=60)
        yield address


def environment(**more: str) -> dict[str, str]:
    path = os.pathsep.join((str(ROOT / "artifact"), str(ROOT / "client")))
    return os.environ | {"PYTHONPATH": path, "PERENNIAL_API_KEY": KEY} | more


def batch(
    tmp_path: Path, address: str, rows: list[Any], *options: str, **more: str
) -> tuple[subprocess.CompletedProcess[str], Path]:
    source, answers = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    command = [sys.executable, "batch.py", str(source), str(answers), "--task", TASK, "--url", address, *options]
    done = subprocess.run(
        command, cwd=EXAMPLES, env=environment(**more), capture_output=True, text=True, check=False, timeout=120
    )
    return done, answers


def test_a_batch_is_answered_alike_by_serving_and_in_process(address: str, data: ServedData, tmp_path: Path) -> None:
    rows = [{"id": number, "text": f"{number}: {TEXT}"} for number in range(250)]
    done, answers = batch(tmp_path, address, rows)
    assert (done.returncode, done.stdout) == (0, f"250 by {TASK}/v1\n"), done.stderr
    served = [json.loads(line) for line in answers.read_text(encoding="utf-8").splitlines()]
    assert [line["id"] for line in served] == list(range(250))
    assert {line["spans"][0]["label"] for line in served} == {"V1"}
    cache = str(tmp_path / "cache")
    done, answers = batch(tmp_path, address, rows, "--cache", cache)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line) for line in answers.read_text(encoding="utf-8").splitlines()] == served
    data.champion()
    done, _answers = batch(tmp_path, address, rows[:1], "--cache", cache)
    assert (done.returncode, done.stdout) == (0, f"1 by {TASK}/v2\n"), "not the older one of the cache"


def test_a_batch_that_cannot_be_answered_says_why_and_leaves_no_answers(address: str, tmp_path: Path) -> None:
    done, answers = batch(tmp_path, address, [{"text": TEXT}, {"text": " "}])
    assert done.returncode == 1
    assert "number 1" in done.stderr
    assert "holds only white space" in done.stderr
    assert not answers.exists()
    done, _answers = batch(tmp_path, address, [{"text": TEXT}], PERENNIAL_API_KEY="wrong")
    assert done.returncode == 1
    assert "Authorization" in done.stderr
    assert "Traceback" not in done.stderr


@contextmanager
def desk(address: str, cache: Path) -> Iterator[httpx.Client]:
    command = [sys.executable, "-m", "uvicorn", "--app-dir", str(EXAMPLES), "fastapi_app:app", "--port", "0", "--no-use-colors"]
    variables = environment(PERENNIAL_URL=address, PERENNIAL_TASK=TASK, PERENNIAL_CACHE=str(cache))
    process = subprocess.Popen(command, cwd=ROOT, env=variables, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        said = ""
        while (found := re.search(r"running on (http://[0-9.:]+)", said)) is None:
            line = process.stderr.readline()
            assert line, f"it ended: {said}"
            said += line
        with httpx.Client(base_url=found[1], timeout=60) as client:
            yield client
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


def test_the_web_app_answers_corrects_and_follows(address: str, data: ServedData, tmp_path: Path) -> None:
    now = data.champion()
    headers = {"Authorization": f"Bearer {KEY}"}
    eventually(lambda: httpx.get(f"{address}/readyz").json()["serving"][TASK] == now, within_s=60)
    with desk(address, tmp_path / "cache") as app:
        answer = app.post("/answer", json={"text": TEXT}).json()
        assert answer == {"version": now, "spans": [{"start": 4, "end": 11, "label": now.partition("/")[2].upper()}]}
        correction = {"text": TEXT, "user": "desk-7", "version": answer["version"], "target": {"spans": []}}
        posted = app.post("/correct", json=correction)
        assert posted.status_code == 202
        fate = httpx.get(f"{address}/v1/feedback/{posted.json()['event_id']}", headers=headers).json()
        assert (fate["status"], fate["task"]) == ("queued", TASK)
        refused = app.post("/correct", json=correction | {"target": {"label": "x"}})
        assert refused.status_code == 422
        assert "target" in refused.json()["where"]
        health = app.get("/health")
        assert (health.status_code, health.json()["version"], health.json()["last_error"]) == (200, now, None)
        following = data.champion()
        eventually(lambda: app.post("/answer", json={"text": TEXT}).json()["version"] == following, within_s=60)
    with desk("http://127.0.0.1:9", tmp_path / "cache") as app:
        assert app.post("/answer", json={"text": TEXT}).json()["version"] == following, "serving is away, the app is not"
