"""A kind in a folder of its own, named in one setting, goes all the way: imported, trained, promoted, asked over HTTP."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from perennial_client import Client
from tests.support.daemons import lines_of, wait_until

HERE = Path(__file__).parent
TASK = "news-tone"
LIMIT_S = 150.0
WORDS = {-1: ("dreadful", "awful", "grim"), 0: ("ordinary", "usual", "plain"), 1: ("splendid", "lovely", "bright")}


class Shell:
    """Runs the real command over a data folder of its own."""

    def __init__(self, folder: Path, models: Path) -> None:
        self.folder = folder
        self.log_file = folder / "daemon.log"
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PERENNIAL_")}
        self.environment = clean | {
            "PYTHONPATH": str(HERE.parent), "PERENNIAL_EXTENSIONS__MODULES": "tone.extension",
            "PERENNIAL_TASKS_DIR": str(HERE / "tasks"), "PERENNIAL_DATA_DIR": str(folder / "data"),
            "PERENNIAL_SERVING__PORT": "0", "PERENNIAL_TELEMETRY__PORT": "-1", "PERENNIAL_SERVING__REFRESH_INTERVAL_S": "0.2",
            "PERENNIAL_ENRICH__ENCODER": str(models / "encoder"), "PERENNIAL_ENRICH__STORY_SIMILARITY": "1.0",
            "PERENNIAL_ENRICH__MIN_QUALITY": "0", "PERENNIAL_ENRICH__TEST_FRACTION": "0.3",
            "PERENNIAL_SCHEDULE__CHECK_INTERVAL_S": "0.5", "PERENNIAL_INGEST__MIN_FREE_DISK_MIB": "1",
            "PERENNIAL_TRAINING__DEVICE": "cpu", "PERENNIAL_LOG__FORMAT": "json", "COLUMNS": "200",
        }  # fmt: skip

    def __call__(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "daemon", *arguments], cwd=self.folder, env=self.environment,
            capture_output=True, text=True, timeout=LIMIT_S, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self(*arguments, "--json"))

    @contextmanager
    def daemon(self) -> Iterator[None]:
        with self.log_file.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "daemon", "run"], cwd=self.folder, env=self.environment, stdout=log, stderr=log
            )
        try:
            yield
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()
            process.wait()

    def wait_for(self, event: str) -> dict[str, Any]:
        """Wait until the daemon, or its serving child, has logged `event`; return that line."""
        wait_until(lambda: lines_of(self.log_file, event), what=event)
        return lines_of(self.log_file, event)[0]


@pytest.fixture
def perennial(tmp_path: Path, models: Path) -> Shell:
    return Shell(tmp_path, models)


def rows(count: int) -> str:
    chance = random.Random(7)
    lines = ["Headline,Mood"]
    for number in range(count):
        tone = (-1, 0, 1)[number % 3]
        others = " ".join(f"w{chance.randrange(100)}" for _ in range(4))
        lines.append(f"{others} {chance.choice(WORDS[tone])} day {number},{tone}")
    return "\n".join(lines) + "\n"


@pytest.mark.slow
def test_from_import_to_an_answer_over_http(perennial: Shell) -> None:
    (perennial.folder / "news.csv").write_text(rows(240) + "odd one,7\n")
    said = perennial.json("import", "news.csv", "--task", TASK, "--text", "Headline", "--column", "tone=Mood")
    assert (said["sent"], said["bad"]) == (240, 1)

    with perennial.daemon():
        decided = perennial.wait_for("run.decided")
        assert decided["verdict"] == "promote", decided["reasons"]
        swapped = perennial.wait_for("serving.model_swapped")
        assert (swapped["task"], swapped["version"]) == (TASK, f"{TASK}/v1")

        (version,) = perennial.json("models", "list", TASK)
        assert (version["alias"], version["metric"]) == ("champion", "tone_error")
        assert version["against"] == "baseline: most frequent tone"
        assert version["score"] < 0.5 < version["opponent_score"], "lower is better"
        assert "tone_error" in perennial("models", "show", f"{TASK}/v1")

        with Client(perennial.wait_for("serving.up")["address"]) as client:
            good, bad = client.predict(TASK, ["a splendid day", "a grim day"])
            assert good.answer["tone"] > 0.5 > -0.5 > bad.answer["tone"]
            assert (client.champion(TASK).kind, client.champion(TASK).backend) == ("tone", "counts")
            said = client.feedback(
                TASK, user_id="anna", verdict="correction", prediction_id=bad.prediction_id, target={"tone": 0}, text="a grim day"
            )
            wait_until(lambda: client.fate(said.event_id).status not in ("queued", "waiting"), what="the fate of feedback")
            assert client.fate(said.event_id).status == "joined"
        assert "+1.00  a lovely day" in perennial("predict", TASK, "a lovely day")
        assert "tone on counts" in perennial("tasks")
