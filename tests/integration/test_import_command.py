"""`perennial import`: what it says before it sends, what it sends, and how it ends."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from config.settings import load_settings
from consumers.buffer.open import open_writer
from consumers.events.parsing import parse
from consumers.events.schemas import ARTICLES_TOPIC, FEEDBACK_TOPIC
from consumers.log.open import open_event_log
from consumers.log.protocols import TopicPartition
from consumers.rows.arriving.event_rows import Stored
from daemon.cli.main import app
from daemon.flow.groups import CONSUMERS
from tests.support.sample_events import TASKS

ROWS = [{"text": f"Story number {number} of the day", "label": ["sports", "economy"][number % 2]} for number in range(5)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


def imported(*arguments: str) -> Result:
    done = CliRunner().invoke(app, ["import", *arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def written(folder: Path, name: str, rows: list[Any]) -> str:
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return name


def store_what_waits() -> int:
    """Do what the daemon does with events: into the buffer, then committed."""
    settings = load_settings()
    stored = 0
    with (
        closing(open_writer(settings.buffer_dir, settings.buffer, tasks=TASKS)) as buffer,
        closing(open_event_log(settings)) as log,
    ):
        for group, topic in CONSUMERS.items():
            with closing(log.source(group, [topic])) as source:
                for raw in source.poll(timeout_s=0, max_events=100):
                    assert raw.value is not None
                    event = parse(raw.value, tasks=TASKS, now=datetime.now(UTC))
                    stored += buffer.insert([Stored(event, raw.position)]).inserted
                    source.commit({TopicPartition(topic, raw.position.partition): raw.position.offset + 1})
    return stored


def test_it_says_how_much_is_new_and_how_much_is_known(folder: Path) -> None:
    name = written(folder, "rows.jsonl", ROWS)
    first = imported(name, "--task", "news-topics")
    assert first.exit_code == 0
    assert "labels: sports 3, economy 2" in first.stdout
    assert "5 rows read: 5 new, 0 already known" in first.stdout
    # Sent and not stored yet, then stored.
    for _ in range(2):
        again = imported(name, "--task", "news-topics")
        assert again.exit_code == 0
        assert "5 rows read: 0 new, 5 already known" in again.stdout
        store_what_waits()
    told = json.loads(imported(name, "--task", "news-topics", "--json").stdout)
    assert (told["rows"], told["sent"], told["known"], told["bad"], told["left_out"]) == (5, 0, 5, 0, 0)
    # Read otherwise the rows are others.
    assert "5 new, 0 already known" in imported(name, "--task", "news-topics", "--label-map", "sports=sport").stdout


def test_articles_are_known_again_too(folder: Path) -> None:
    name = written(
        folder, "rows.jsonl", [{"id": f"https://site.example/?p={number}", "title": f"Story {number}"} for number in range(3)]
    )
    assert "3 new, 0 already known" in imported(name, "--id", "id").stdout
    assert "0 new, 3 already known" in imported(name, "--id", "id").stdout
    assert store_what_waits() == 3
    assert "0 new, 3 already known" in imported(name, "--id", "id").stdout
    with closing(open_event_log(load_settings())) as log:
        assert (log.kept(ARTICLES_TOPIC), log.kept(FEEDBACK_TOPIC)) == (3, 0)


def test_what_was_recognised_and_what_is_odd_is_said_before_anything_is_sent(folder: Path) -> None:
    (folder / "rows.csv").write_bytes("text;label\nCafé prices;Politics\nx;politics\ny;7\nz;B-ORG\n".encode("cp1252"))
    done = imported("rows.csv", "--task", "news-topics", "--dry-run")
    assert done.exit_code == 0
    for said in (
        "encoding: cp1252", "delimiter: semicolon", "'Politics' and 'politics' differ in upper and lower case only",
        "'7' are whole numbers; --label-map gives them names", "'B-ORG' look like tags of tokens", "Nothing was sent (--dry-run)",
    ):  # fmt: skip
        assert said in done.stdout
    assert not (folder / "perennial-data").exists()


@pytest.mark.parametrize(
    ("name", "content", "code", "said"),
    [
        ("empty.csv", "", 1, "Nothing was imported: the file holds no rows."),
        ("head.csv", "text,label\n", 1, "Nothing was imported: the file holds no rows."),
        ("none.csv", "text,label\n,a\n", 1, "1 row read: 0 new, 0 already known, 1 unusable."),
        ("some.csv", "text,label\n,a\nb,c\n", 0, "2 rows read: 1 new, 0 already known, 1 unusable."),
        ("open.csv", 'text,label\nx,a\n"never closed,b\ny,c\n', 1, "3 rows read: 2 new, 0 already known, 1 unusable."),
    ],
)
def test_how_it_ends(folder: Path, name: str, content: str, code: int, said: str) -> None:
    (folder / name).write_text(content)
    done = imported(name, "--task", "news-topics")
    assert (done.exit_code, said in done.stdout) == (code, True), done.output


def test_nothing_that_strangers_wrote_moves_the_terminal(folder: Path) -> None:
    rows = [
        {"text": "x", "label": "[bold]a[/bold]", "\x1b[2Jcolumn": 1},
        {"text": "y", "label": "\x1b[31mred"},
        {"text": "\x1b]0;z\x07", "label": "[/]"},
    ]
    done = imported(written(folder, "rows.jsonl", rows), "--task", "news-topics")
    assert "\x1b" not in done.output
    assert "[bold]a[/bold] 1" in done.stdout
