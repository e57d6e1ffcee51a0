"""Whoever rolls back twice names the version: the first rollback's champion would come back otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.errors import UserError
from config.settings import load_settings
from daemon.cli.models import versions as commands
from registry import promotion
from registry.store import Registry
from tests.support.registries import TASK, add_version


def test_a_second_rollback_without_a_version_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = load_settings(data_dir=tmp_path, serving={"host": "127.0.0.1", "port": 8310})
    monkeypatch.setattr(commands, "load_settings", lambda: settings)
    with Registry.open(settings.registry_url) as registry:
        for before in (None, f"{TASK}/v1"):
            version = add_version(registry, parent=before)
            promotion.promote(registry, TASK, version.name, expected=before, actor="ann", reason="better")
        commands.rollback(TASK, to=None, reason="worse")
        with pytest.raises(UserError, match=f"--to {TASK}/v2"):
            commands.rollback(TASK, to=None, reason="worse")
        assert registry.versions.champion(TASK).version == f"{TASK}/v1"  # type: ignore[union-attr]  # there is one
        commands.rollback(TASK, to=f"{TASK}/v2", reason="it was right after all")
        told = [row.event["uri"] for row in registry.outbox.pending(1000) if row.event["type"] == "model.rolled_back"]
    assert told == [f"http://127.0.0.1:8310/v1/models/{TASK}/v{number}/manifest" for number in (1, 2)]
    assert f"{TASK}/v1 is the champion" in capsys.readouterr().out
