"""From the post to the answer beside a real daemon: a correction answers within seconds, until a person rejects it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from config.files.private import prepare
from daemon.demo.installation import Installation
from daemon.process import presence
from registry import promotion
from registry.artifacts.local import LocalArtifacts
from registry.store import Registry
from tests.support.commands import perennial_here
from tests.support.served import TEXT, publish_ruler

TASK = "news-entities"
LIMIT_S = 120.0
RIGHT = [{"start": 4, "end": 11, "label": "ORG"}]


class App:
    """An application with a key whose users are trusted, beside a daemon with a champion."""

    def __init__(self, installation: Installation, key: str) -> None:
        here = presence.read(installation.settings.data_dir)
        assert here is not None
        self.installation = installation
        self._http = httpx.Client(base_url=here.address, headers={"Authorization": f"Bearer {key}"}, timeout=30)

    def ask(self) -> dict[str, Any]:
        response = self._http.post(f"/v1/tasks/{TASK}/predict", json={"text": TEXT})
        [answer] = response.json()["predictions"] if response.status_code == 200 else [{"answered_by": "nobody"}]
        return dict(answer)

    def correct(self, event_id: str, **more: Any) -> dict[str, Any]:
        body = {"task": TASK, "user_id": "desk-7", "verdict": "correction", "target": {"spans": RIGHT}, "event_id": event_id}
        response = self._http.post("/v1/feedback", json=body | more)
        assert response.status_code == 202, response.text
        return dict(response.json())

    def fate(self, event_id: str) -> dict[str, Any]:
        return dict(self._http.get(f"/v1/feedback/{event_id}").json())

    def wait_for(self, whose: str) -> dict[str, Any]:
        self.installation.wait_until(lambda: self.ask()["answered_by"] == whose, limit_s=LIMIT_S, what=f"an answer by {whose}")
        return self.ask()

    def close(self) -> None:
        self._http.close()


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    made = Installation(tmp_path, settings_overrides={"enrich": {"interval_s": 0.1}})
    prepare(made.settings.data_dir)
    return made


def test_a_trusted_correction_answers_and_its_receipt_says_so(installation: Installation) -> None:
    with Registry.open(installation.settings.registry_url) as registry:
        version = publish_ruler(registry, LocalArtifacts(installation.settings.artifacts_dir), TASK, installation.folder)
        promotion.promote(registry, TASK, version, expected=None, actor="test", reason="test")
        _, key = registry.api_keys.create("desk", ["predict", "feedback", "correct"])
    with installation:
        app = App(installation, key)
        shown = app.wait_for("model")
        assert shown["spans"] == [{"start": 4, "end": 11, "label": "V1"}]
        posted = app.correct("f-1", prediction_id=shown["prediction_id"])
        assert (posted["answers_since"], posted["learnt_in"], posted["in_champion"]) == (None, None, False)
        # The first text makes the daemon load its encoder; the second one shows what people wait for.
        answer = app.wait_for("correction")
        assert (answer["spans"], answer["correction_id"]) == (RIGHT, "f-1")
        began = time.monotonic()
        app.correct("f-2", text=TEXT, target={"spans": []})
        while app.ask()["correction_id"] != "f-2":
            assert time.monotonic() < began + LIMIT_S
            time.sleep(0.05)
        assert app.ask()["spans"] == []
        told = app.fate("f-2")
        assert (told["answers"], told["learnt_in"], told["in_champion"]) == (True, None, False)
        assert told["answers_since"] is not None
        assert app.fate("f-1")["answers_since"] is None
        assert app.correct("f-2", text=TEXT, target={"spans": []})["answers_since"] == told["answers_since"]
        shown_here = perennial_here(installation, "feedback", "show", "f-2").stdout
        assert [line.partition(":")[0] for line in shown_here.splitlines()][-3:] == ["answered", "learnt", "live"]
        assert json.loads(perennial_here(installation, "feedback", "show", "f-2", "--json").stdout)["answers"] is True

        # To confirm what a correction answered is logged as that and as nothing else.
        app.correct("f-3", prediction_id=answer["prediction_id"], verdict="confirmation", target=None, user_id="desk-8")
        assert perennial_here(installation, "feedback", "reject", "f-2", "f-1").returncode == 0
        app.wait_for("model")
        app.close()
