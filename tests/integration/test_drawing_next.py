"""A draw of texts to label next over a real buffer: who is chosen and why, and what the labels are for."""

from __future__ import annotations

import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from config.errors import UserError
from config.settings import Settings, environment_of
from config.task_files.sections.next_labels import NextLabels
from consumers.buffer.writer import BufferWriter
from consumers.labelling import kept
from consumers.labelling.choosing.draw import Draw
from consumers.rows.backlog import TextRow
from daemon.cli.main import app
from daemon.operations import drawing_next
from tests.support.buffers import NOW, TOPICS, article, finding, judge, label, opened, stored
from tests.support.desks import NAME, Newsroom
from tests.support.tables import rows_of

TASK = TOPICS.model_copy(update={"new_label_min_examples": 1, "next_labels": NextLabels(enough=20)})
CORNERS = {"goal": 0, "vote": 1, "rate": 2}


def vector(text: str) -> list[float]:
    corner = CORNERS.get(text[:4], 3)
    noise = np.random.default_rng(zlib.crc32(text.encode())).normal(0, 0.15, 4)
    return list(np.eye(4)[corner] * 2.0 + noise)


def column(folder: Path, table: str, name: str) -> dict[str, str]:
    """Return one column by the texts."""
    return {row["text_sha256"]: row[name] for row in rows_of(folder, table, ["text_sha256", name]).to_pylist()}


def fill(buffer: BufferWriter, labels: dict[str, int], articles: dict[str, int]) -> None:
    names = {"goal": "sport", "vote": "politics", "rate": "economy"}
    given = [(word, n) for word, few in labels.items() for n in range(few)]
    sent = [(word, n) for word, some in articles.items() for n in range(some)]
    buffer.insert(stored(*(label(f"l-{word}-{n}", f"{word} label {n}", names[word]) for word, n in given)))
    events = [article(f"a-{word}-{n}", f"a-{word}-{n}", f"{word} article {n}") for word, n in sent]
    buffer.insert(stored(*events, offset=5_000))

    def found(row: TextRow) -> Any:
        side = "test" if row.text.endswith(("3", "7")) and "article" in row.text else "train"
        return finding(row, side, embedding=vector(row.text), story_id=f"story-{row.text}")

    for table in ("articles", "examples"):
        while rows := buffer.unenriched(table, 1000):
            buffer.apply_enrichment(table, [found(row) for row in rows])
    judge(buffer)


def test_a_draw_mixes_scarce_diverse_uncertain_and_random_texts(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    with opened(tmp_path / "b") as buffer:
        fill(buffer, {"goal": 30, "vote": 30, "rate": 6}, {"goal": 40, "vote": 40, "rate": 20, "else": 5})
        made = drawing_next.draw(settings, TASK, buffer, requested=(), count=20, now=NOW)
    sides = column(tmp_path / "b", "article_enrichment", "split")
    texts = column(tmp_path / "b", "articles", "text")
    assert kept.read(settings.next_labels_dir, Draw, TASK.name) == made
    assert Counter(one.way for one in made.picks) == {"uncertain": 14, "diverse": 1, "short": 1, "random": 4}
    assert made.looked_at == 105
    assert [(one.label, one.there) for one in made.scarce if one.there] == [("economy", 6)]
    assert "about 14 more of `economy` (6 of 20)" in made.gain
    assert all(texts[one.text_sha256].startswith("rate") for one in made.picks if one.way == "short")
    # One corner has no label: a model is unsure of its texts, and the first of them is far from everything.
    assert any(texts[one.text_sha256].startswith("else") for one in made.picks if one.way != "random")
    assert {sides[one.text_sha256] for one in made.picks if one.way != "random"} == {"train"}
    assert made.without_model is None
    assert made.doubling is not None
    assert b"article" not in (settings.next_labels_dir / f"{TASK.name}.json").read_bytes(), "no text is kept"


def test_without_labels_texts_are_chosen_by_what_they_are_like_and_what_is_asked_elsewhere_is_left(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    with opened(tmp_path / "b") as buffer:
        fill(buffer, {}, {"goal": 5, "vote": 5})
        asked = sorted(column(tmp_path / "b", "articles", "text"))[:2]
        made = drawing_next.draw(settings, TASK, buffer, requested=asked, count=50, now=NOW)
    assert made.without_model is not None
    assert made.doubling is None
    assert len(made.picks) == made.looked_at == 8
    assert not {one.text_sha256 for one in made.picks} & set(asked)
    assert {one.way for one in made.picks} == {"diverse", "random"}


@pytest.fixture
def room(tmp_path: Path) -> Any:
    with Newsroom(tmp_path) as found:
        yield found


def test_an_answer_says_how_its_text_was_chosen(room: Newsroom) -> None:
    room.articles([f"Story {number}" for number in range(20)])
    room.held_out(20, prefix="b")
    made: Draw = drawing_next.draw(
        room.settings, room.task, room.buffer, requested=(), count=20, now=room.registry.clock()
    )  # fmt: skip
    shown = room.look(lane="next")
    assert [one.item for one in shown.items] == [one.text_sha256 for one in made.picks]
    assert {one.why for one in shown.items} == {one.why for one in made.picks}
    assert shown.gain == made.gain
    desk = room.desk()
    for one in shown.items:
        desk.say("next", one.item, {"label": "A"})
    assert room.look(lane="next").items == ()
    room.take_in()
    how = {True: "audit", False: "model"}
    assert column(room.settings.buffer_dir, "example_enrichment", "selected_by") == {
        one.text_sha256: how[one.way == "random"] for one in made.picks
    }
    placed = column(room.settings.buffer_dir, "example_enrichment", "split")
    deciding = {text for text, side in placed.items() if side == "test"}
    assert deciding <= {one.text_sha256 for one in made.picks if one.way == "random"}


def test_the_command_draws_and_says_what_it_cannot(room: Newsroom, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment_of(room.settings).items():
        monkeypatch.setenv(name, value)
    none = CliRunner().invoke(app, ["review", NAME, "--next", "5", "--json"])
    assert isinstance(none.exception, UserError)
    both = CliRunner().invoke(app, ["review", NAME, "--next", "5", "--random", "5"])
    assert isinstance(both.exception, UserError)
    room.articles(["one", "two"])
    found = CliRunner().invoke(app, ["review", NAME, "--next", "5", "--json"])
    assert found.exit_code == 0
    made = kept.read(room.settings.next_labels_dir, Draw, NAME)
    assert made is not None
    assert [found.stdout.count(one.text_sha256) for one in made.picks] == [1, 1]
    assert "only 2 texts of the 5" in found.output
