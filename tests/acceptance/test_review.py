"""`perennial review` as a process: the queue as JSON, answers as lines, and a person at a terminal of 80 columns."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.settings import environment_of
from tests.support.desks import HELD_OUT, NAME, Newsroom
from tests.support.looked_at import LONG, RTL
from tests.support.tables import rows_of

LIMIT_S = 240.0
STRANGE = f"{HELD_OUT} \x1b[2J a terminal's \x9b31m own words and {RTL} and {LONG}"


@pytest.fixture
def news(tmp_path: Path) -> Iterator[Newsroom]:
    with Newsroom(tmp_path) as room:
        room.learn((f"train-{number}", f"text {number}", ["politics", "sport"][number % 2]) for number in range(4))
        room.articles([STRANGE, *(f"{HELD_OUT} story {number}" for number in range(3))])
        yield room


def command(news: Newsroom, *arguments: str) -> tuple[list[str], dict[str, str]]:
    told = [sys.executable, "-P", "-m", "daemon", "review", NAME, *arguments]
    return told, os.environ | environment_of(news.settings) | {"COLUMNS": "80", "TERM": "xterm"}


def review(news: Newsroom, *arguments: str, lines: str = "") -> subprocess.CompletedProcess[str]:
    told, environment = command(news, *arguments)
    return subprocess.run(
        told, env=environment, input=lines, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )  # fmt: skip


def said(news: Newsroom) -> dict[str, tuple[str, str]]:
    """Return who said what, by text, of the labels that people gave."""
    rows = rows_of(news.settings.buffer_dir, "examples", ["row_id", "text", "annotator", "target"]).sort_by("row_id").to_pylist()
    return {row["text"]: (row["annotator"], json.loads(row["target"])["label"]) for row in rows if row["annotator"]}


def test_a_program_lists_the_queue_and_answers_a_line_each(news: Newsroom) -> None:
    listed = review(news, "--json", "--annotator", "script")
    assert listed.returncode == 0, listed.stderr
    assert "\x1b" not in listed.stdout
    queue: dict[str, Any] = json.loads(listed.stdout)
    assert (queue["lane"]["name"], queue["lane"]["waiting"], queue["annotator"]) == ("test", 4, "script")
    assert queue["progress"] == {"test_rows": 0, "needed": 5, "coming": 0}
    assert [choice["name"] for choice in queue["choices"]] == ["politics", "sport"]
    first, second, third, fourth = (one["item"] for one in queue["items"])
    answers = [
        {"lane": "test", "item": first, "target": {"label": "sport"}, "note": "odd"},
        {"lane": "test", "item": second, "skip": True},
        {"lane": "test", "item": third, "target": {"spans": []}},
        {"lane": "test", "item": fourth, "target": {"label": "politics"}},
    ]
    done = review(news, "--annotator", "script", lines="\n".join([*map(json.dumps, answers), "no JSON"]) + "\n")
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(one["line"], one["done"]) for one in results] == [(1, True), (2, True), (3, False), (4, True), (5, False)]
    assert done.returncode == 2
    news.take_in()
    assert said(news) == {
        queue["items"][0]["text"]: ("script", "sport"), queue["items"][3]["text"]: ("script", "politics"),
    }  # fmt: skip


def test_a_person_labels_at_a_terminal(news: Newsroom) -> None:
    texts = [item.text for item in news.look(lane="test").items]
    shown = _typed(news, ["x", "2", "s", "n a note", "1", "u", "2", "q"])
    assert "\x1b[2J" not in shown
    assert "\x9b" not in shown
    assert f"{NAME}" in shown
    assert "0 of 5 test rows" in shown
    assert "'x' is no key and no label so far; =x makes it one" in shown.replace("\r\n", " ")
    assert "your next answer replaces it" in shown.replace("\r\n", " ")
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    words = [line for line in plain.splitlines() if "unbroken" not in line]
    assert all(len(line) <= 80 for line in words), [line for line in words if len(line) > 80]
    news.take_in()
    assert said(news) == {texts[0]: ("anna", "sport"), texts[2]: ("anna", "sport")}


def _typed(news: Newsroom, lines: list[str]) -> str:
    """Run the command at a terminal, type each line once it is asked for one, and return what the screen got."""
    told, environment = command(news, "--annotator", "anna", "--lane", "test")
    mine, its = pty.openpty()
    with subprocess.Popen(told, env=environment, stdin=its, stdout=its, stderr=its, close_fds=True) as child:
        os.close(its)
        shown, typed, ends = b"", 0, time.monotonic() + LIMIT_S
        while time.monotonic() < ends:
            try:
                piece = os.read(mine, 65536)
            except OSError:
                break
            if not piece:
                break
            shown += piece
            if shown.endswith(b"> ") and typed < len(lines):
                os.write(mine, f"{lines[typed]}\n".encode())
                typed += 1
        child.kill()
        os.close(mine)
    assert typed == len(lines), shown.decode("utf-8", "replace")
    return shown.decode("utf-8", "replace")
