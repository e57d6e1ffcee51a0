"""The report of a task's data over a real buffer: counts, leaks, shifts, holes, and the file that opens from disk."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from config.settings import Settings
from consumers.buffer.writer import BufferWriter
from consumers.rows.backlog import TextRow
from consumers.text import near_copies
from daemon.operations import near_copies as near_copy_operations
from daemon.views.data import report, sections
from daemon.views.data.report import DataReport
from tests.support.buffers import NOW, TASKS, TOPICS, feedback, finding, judge, label, opened, stored

TASK = TOPICS.model_copy(update={"label_names": ("economy", "sport", "weather"), "new_label_min_examples": 5})


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data")


def placed(row: TextRow) -> Any:
    side = "test" if "held out" in row.text else "train"
    # Two texts of one story on both sides, as no enrichment would place them.
    return finding(row, side, **({"story_id": "shared"} if "shared" in row.text else {}))


def fill(buffer: BufferWriter, *events: Any) -> None:
    buffer.insert(stored(*events))
    while rows := buffer.unenriched("examples", 1000):
        buffer.apply_enrichment("examples", [placed(row) for row in rows])
    judge(buffer)


def at(event: Any, days: float) -> Any:
    return event.model_copy(update={"occurred_at": NOW - timedelta(days=days)})


def read(buffer: BufferWriter, settings: Settings, **more: Any) -> DataReport:
    return report.read(buffer, TASK, settings, now=NOW, **more)


def test_rows_are_counted_by_label_source_language_month_and_side(tmp_path: Path, settings: Settings) -> None:
    rows = [at(label(f"e-{n}", f"rates {n} rise", "economy", source="wire"), 60) for n in range(6)]
    rows += [label(f"s-{n}", f"goal {n} {'held out' if n < 2 else ''}", "sport", source="desk") for n in range(4)]
    rows += [feedback("f-1", "goal 1 more", "sport")]
    with opened(tmp_path / "b") as buffer:
        fill(buffer, *rows)
        buffer.insert(stored(label("late", "not enriched"), offset=900))
        found = read(buffer, settings)
    assert (found.rows, found.texts, found.feedback, found.unenriched) == (10, 10, 1, 1)
    assert found.sides == {"train": 8, "test": 2, "anchor": 0, "dropped": 0}
    assert [(one.name, one.rows, one.train, one.test) for one in found.labels] == [("economy", 6, 6, 0), ("sport", 4, 2, 2)]
    assert {one.name: one.rows for one in found.sources} == {"wire": 6, "desk": 4}
    assert {one.name: one.rows for one in found.languages} == {"en": 10}
    assert [(one.name, one.rows) for one in found.months] == [("2024-03", 6), ("2024-05", 4)]
    assert not found.leaks
    holes = {one.sort: one.names for one in found.holes}
    assert holes["label"] == ("weather",)
    assert holes["test"] == ("economy",)
    assert holes["few"] == ("sport",)
    assert holes["month"] == ("2024-04",)


def test_one_source_per_label_is_a_warning(tmp_path: Path, settings: Settings) -> None:
    rows = [label(f"e-{n}", f"rates {n} rise", "economy", source="wire") for n in range(12)]
    rows += [label(f"s-{n}", f"goal number {n}", "sport", source="desk") for n in range(12)]
    with opened(tmp_path / "b") as buffer:
        fill(buffer, *rows)
        found = read(buffer, settings, near=False)
        assert [one.names for one in found.holes if one.sort == "every_source"] == [("economy", "sport")]
        assert any("source" in one for one in found.warnings)
        buffer.insert(stored(*(label(f"m-{n}", f"rates {n} mixed", "economy", source="desk") for n in range(3)), offset=700))
        while some := buffer.unenriched("examples", 100):
            buffer.apply_enrichment("examples", [placed(row) for row in some])
        mixed = read(buffer, settings, near=False)
    assert [(one.sort, one.names) for one in mixed.holes if "source" in one.sort] == [("source", ("sport",))]


def test_what_stands_on_both_sides_leaks(tmp_path: Path, settings: Settings) -> None:
    rows = [
        label("a", "a shared story", document_id="d-1"),
        label("b", "a shared story held out", document_id="d-1"),
        label("c", "else"),
    ]
    with opened(tmp_path / "b") as buffer:
        fill(buffer, *rows)
        found = read(buffer, settings, near=False)
    assert {one.sort: (one.times, one.train) for one in found.leaks} == {"document": (1, 1), "story": (1, 1)}
    assert len(found.warnings) >= 2


def test_a_shift_between_the_sides_and_over_time_is_told(tmp_path: Path, settings: Settings) -> None:
    rows = [at(label(f"o-{n}", f"rates {n} then", "economy"), 200 - n) for n in range(60)]
    rows += [label(f"t-{n}", f"goal {n} held out", "sport") for n in range(20)]
    with opened(tmp_path / "b") as buffer:
        fill(buffer, *rows)
        found = read(buffer, settings, near=False)
    by = {(one.what, one.between): one for one in found.shifts}
    sides = by["labels", "train and test"]
    assert (sides.distance, sides.rows, sides.matters) == (1.0, (60, 20), True)
    assert sides.chance < 1e-6
    assert by["labels", "older and newest"].matters
    assert not by["languages", "train and test"].matters


def test_near_copies_across_the_sides_are_found_by_words_and_by_embedding(tmp_path: Path, settings: Settings) -> None:
    body = "the central bank raised its main rate by a quarter of a point on thursday and said that more would follow"
    rows = [
        label("train", body),
        label("test", f"{body} soon, held out"),
        label("other", "a goal in the last minute decided the match"),
    ]
    with opened(tmp_path / "b") as buffer:
        fill(buffer, *rows)
        found = read(buffer, settings)
    assert found.near_copies is not None
    assert (found.near_copies.test, found.near_copies.train, found.near_copies.by_words) == (1, 2, 1)
    assert found.near_copies.examples[0].train_id == "train"


def test_the_file_opens_from_disk_and_what_strangers_wrote_is_inert(tmp_path: Path, settings: Settings) -> None:
    rows = [label(f"e-{n}", f"rates <script>alert({n})</script>", "<b>$economy$", source="\x1b[2Jwire") for n in range(6)]
    rows += [label(f"s-{n}", f"goal {n} held out", "sport") for n in range(4)]
    with opened(tmp_path / "b") as buffer:
        fill(buffer, *rows)
        page = sections.html(read(buffer, settings)).decode()
    assert "<script" not in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "&lt;b&gt;$economy$" in page
    assert "\x1b" not in page
    assert page.count("<svg") >= 2
    assert "prefers-color-scheme: dark" in page


def test_nothing_is_a_report_too(tmp_path: Path, settings: Settings) -> None:
    with opened(tmp_path / "b", tasks=TASKS) as buffer:
        found = read(buffer, settings)
        assert found.rows == 0
        assert b"</html>" in sections.html(found)


def test_pairs_within_one_list_come_once() -> None:
    rows = np.eye(4, dtype=np.float32)[[0, 0, 1, 0]]
    assert {(pair.one, pair.other) for pair in near_copies.by_embedding(rows)} == {(0, 1), (0, 3), (1, 3)}
    texts = ["rates rise again", "rates rise again", "a goal"]
    assert {(pair.one, pair.other) for pair in near_copies.by_words(texts)} == {(0, 1)}
    assert list(near_copies.by_words(["", "!?"])) == []
    assert list(near_copies.by_words([])) == []


def test_people_who_label_alike_and_how_far_they_agree_are_told(tmp_path: Path, settings: Settings) -> None:
    said = [label(f"a-{n}", f"text {n}", "sport", annotator="anna", origin="audit") for n in range(20)]
    said += [label(f"b-{n}", f"text {n}", "sport" if n % 2 else "economy", annotator="bo", origin="audit") for n in range(20)]
    with opened(tmp_path / "b") as buffer:
        fill(buffer, *said)
        found = read(buffer, settings, near=False)
    assert found.annotators.people == 2
    assert found.annotators.agreement[0].compared == 20
    assert [one for one in found.warnings if "anna" in one] == list(found.annotators.one_sided)
    assert b"anna" in sections.html(found)


def test_near_copies_that_were_found_stay_in_sight_without_another_look(tmp_path: Path, settings: Settings) -> None:
    text = " ".join(f"word{n}" for n in range(60))
    with opened(tmp_path / "b") as buffer:
        fill(buffer, label("one", f"{text} held out", "sport"), label("two", f"{text} again", "sport"))
        assert read(buffer, settings, near=False).near_copies is None
        found = read(buffer, settings)
        assert found.near_copies is not None
        settings.near_copies_dir.parent.mkdir(parents=True, exist_ok=True)
        settings.near_copies_dir.write_bytes(b"")
        assert str(settings.near_copies_dir) in near_copy_operations.keep(settings, TASK.name, found.near_copies, at=NOW)
        settings.near_copies_dir.unlink()
        assert not near_copy_operations.keep(settings, TASK.name, found.near_copies, at=NOW)
        kept = read(buffer, settings, near=False)
    assert kept.near_copies is not None
    assert kept.near_copies.at == NOW
    assert [(one.test_id, one.train_id) for one in kept.near_copies.examples] == [("one", "two")]
    assert kept.near_copies.either == 1
    file = settings.near_copies_dir / f"{TASK.name}.json"
    assert b"word1" not in file.read_bytes(), "no text is kept"
    assert any("near copy" in one for one in kept.warnings)
