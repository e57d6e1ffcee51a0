"""The file of sources is read each time; what is wrong with it is said once, and each source comes when it is due."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from config.errors import UserError
from config.settings import Settings, load_settings
from consumers.collecting import listed
from daemon.flow import collecting
from daemon.flow.collecting import Collected
from daemon.flow.sources import Sources

SOURCES = """
- rss: [https://a.example/rss, https://b.example/rss]
  every_minutes: 10
- gdelt: {country: sweden}
  every_minutes: 60
  articles: 5
- jsonl: [/nowhere/at/all]
  every_minutes: 1
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    file = tmp_path / "sources.yaml"
    file.write_text(SOURCES)
    return load_settings(data_dir=tmp_path / "data", collect={"file": str(file)})


def test_each_source_is_read_when_it_is_due(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    at = [0.0]

    def rss(_settings: Settings, urls: list[str], *_: Any) -> list[Collected]:
        read.extend(urls)
        return [Collected(urls[0], error="not now")]

    def gdelt(_settings: Settings, query: Any, limits: Any, **_: Any) -> list[Collected]:
        read.append(f"{query.text} {limits.articles}")
        return [Collected("gdelt", sent=3)]

    monkeypatch.setattr(collecting, "rss", rss)
    monkeypatch.setattr(collecting, "gdelt", gdelt)
    sources = Sources(settings, threading.Event(), now=lambda: at[0])

    def until_idle() -> list[str]:
        read.clear()
        while sources.step() == 0.0:
            pass
        return list(read)

    with capture_logs() as logs:
        assert sorted(until_idle()) == ["https://a.example/rss", "https://b.example/rss", "sourcecountry:sweden 5"]
    assert [one["event"] for one in logs].count("source.read") == 1
    assert [one["source"] for one in logs if one["event"] == "source.failed"] == ["/nowhere/at/all"]
    at[0] = 11 * 60
    assert sorted(until_idle()) == ["https://a.example/rss", "https://b.example/rss"]


def test_a_wrong_file_is_said_once_and_mended_at_the_next_look(settings: Settings) -> None:
    file = Path(settings.collect.file)
    file.write_text("- rss: 7\n")
    sources = Sources(settings, threading.Event())
    with capture_logs() as logs:
        assert sources.step() > 0
        assert sources.step() > 0
    assert [one["event"] for one in logs] == ["sources.wrong"]
    file.write_text("[]\n")
    assert sources.step() > 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("rss: x", "must be a list"),
        ("- {}", "exactly one of"),
        ("- {rss: [a], jsonl: [b]}", "exactly one of"),
        ("- {rss: [a], every_minutes: 0}", "entry 1: every_minutes"),
        ("- {gdelt: {}}", "ask for something"),
        ("- {atom: [a]}", "atom"),
        ("- [", "cannot be read"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "sources.yaml"
    file.write_text(content)
    with pytest.raises(UserError, match=said):
        listed.read(file)
