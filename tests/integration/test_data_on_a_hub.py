"""A task's rows go to a hub as a data set and come back from there; wrong names, tokens and servers are said in words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from config.errors import RetryError, UserError
from config.settings import Settings, load_settings
from consumers.events.schemas import Label
from consumers.formats.importing import plan
from consumers.training_set.labelled import Wanted
from daemon.operations.handing.data.publishing import PublishedData, publish
from daemon.operations.handing.fetching import local
from registry.store import Registry
from tests.support.buffers import NOW, TASKS, label, opened, take
from tests.support.hub import OWNER, TOKEN, Hub, Repository, hub_server

REPO = f"{OWNER}/topics"
DATA = f"datasets/{REPO}"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", "/nowhere/token")
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with hub_server() as found:
        yield found


@pytest.fixture
def settings(tmp_path: Path, hub: Hub) -> Settings:
    found = load_settings(data_dir=tmp_path / "data")
    with opened(found.buffer_dir) as buffer:
        take(buffer, *(label(f"gold-{at}", f"Text {at}", "sport" if at % 2 else "economy", hours=at) for at in range(6)))
    return found.model_copy(update={"hub": found.hub.model_validate({"endpoint": hub.url, "token": TOKEN})})


def sent(settings: Settings, **options: Any) -> PublishedData:
    with Registry.open(settings.registry_url) as registry:
        found = publish(settings, registry, "news-topics", REPO, wanted=Wanted(), sleep=lambda _s: None, **options)
        assert registry.audit.newest("news-topics", 1) or found.dry_run
        return found


def test_rows_go_out_privately_and_come_back(settings: Settings, hub: Hub) -> None:
    found = sent(settings)
    assert found.private
    assert hub.repositories[DATA].private
    assert (found.counts.rows, found.already) == (6, False)
    assert sorted(found.files) == ["README.md", "data/train-00000-of-00001.parquet"]
    folder = local(settings, f"hf://datasets/{REPO}")
    events = list(plan(folder, TASKS["news-topics"], clock=lambda: NOW).events())
    assert sorted(one.text or "" for one in events if isinstance(one, Label)) == [f"Text {at}" for at in range(6)]


def test_nothing_is_sent_or_fetched_twice(settings: Settings, hub: Hub) -> None:
    sent(settings)
    commits = hub.commits()
    assert sent(settings).already
    assert hub.commits() == commits
    assert sent(settings, revision="spring").revision == "spring"
    assert list(hub.repositories[DATA].tags) == ["spring"]
    local(settings, f"hf://{REPO}@spring")
    fetched = list(hub.fetched)
    local(settings, f"hf://{REPO}@main")
    assert hub.fetched == fetched


def test_a_dry_run_asks_nobody(settings: Settings, hub: Hub) -> None:
    found = sent(settings, dry_run=True)
    assert not hub.asked
    assert "split: train" in found.card


def test_a_public_data_set_is_written_to_only_when_meant(settings: Settings, hub: Hub) -> None:
    hub.repositories[DATA] = Repository(private=False, commits=[{}])
    with pytest.raises(UserError, match="data set is published privately unless you say --public"):
        sent(settings)
    assert not sent(settings, public=True).private


def test_only_a_folder_of_it(settings: Settings, hub: Hub) -> None:
    rows = b'{"text": "En text", "label": "sport"}\n'
    hub.repositories[DATA] = Repository(private=True, commits=[{"sv/train.jsonl": rows, "en/train.jsonl": rows, "code.py": b""}])
    folder = local(settings, f"hf://{REPO}/sv")
    assert [path.name for path in folder.iterdir()] == ["train.jsonl"]
    assert hub.fetched == ["sv/train.jsonl"]


@pytest.mark.parametrize("place", ["hf://", "hf://a b", "hf://owner/name/../x", "hf://owner/name@"])
def test_no_address(settings: Settings, place: str) -> None:
    with pytest.raises(UserError, match="is no data set"):
        local(settings, place)


def test_paths_stay_paths(settings: Settings, tmp_path: Path) -> None:
    assert local(settings, str(tmp_path / "rows.csv")) == tmp_path / "rows.csv"


def test_no_such_data_set_and_no_rows_in_it(settings: Settings, hub: Hub) -> None:
    with pytest.raises(UserError, match="has no data set"):
        local(settings, f"hf://{OWNER}/nothing")
    hub.repositories[DATA] = Repository(private=True, commits=[{"code.py": b"print()"}])
    with pytest.raises(UserError, match="no file of rows"):
        local(settings, f"hf://{REPO}")


def test_a_server_in_trouble(settings: Settings, hub: Hub) -> None:
    hub.repositories[DATA] = Repository(private=True, commits=[{"train.jsonl": b"{}"}])
    hub.faults = lambda _method, path: 503 if "resolve" in path else None
    with pytest.raises(RetryError, match="did not give"):
        local(settings, f"hf://{REPO}")
