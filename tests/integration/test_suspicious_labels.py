"""Labels in doubt over a real buffer: found, kept without texts, asked about at the desk, and settled by a person."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from config.settings import Settings
from config.tasks import TaskSpec
from consumers.buffer.writer import BufferWriter
from consumers.events.schemas import content_sha256
from consumers.labelling import kept
from consumers.labelling.doubts.doubt import Doubt, Doubts, ranked
from consumers.labelling.lanes import Asked
from consumers.labelling.offers import Pool, Said
from consumers.labelling.queue import OnTheWay, queue
from consumers.rows.backlog import TextRow
from daemon.operations import doubting
from tests.support.buffers import NOW, TASKS, TOPICS, feedback, finding, judge, label, opened, spans, stored
from tests.support.desks import Newsroom
from tests.support.tables import rows_of

TASK = TOPICS.model_copy(update={"new_label_min_examples": 1})


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data")


def vector(text: str) -> list[float]:
    """Texts that begin alike lie around one corner; the same words in capitals are a near copy."""
    corner = {"goal": 0, "vote": 1, "rate": 2}.get(text[:4].lower(), 3)
    noise = np.random.default_rng(zlib.crc32(text.lower().encode())).normal(0, 0.15, 4)
    return list(np.eye(4)[corner] * 2.0 + noise)


def fill(buffer: BufferWriter, events: Sequence[Any]) -> None:
    buffer.insert(stored(*events))

    def found(row: TextRow) -> Any:
        story = f"story-{zlib.crc32(row.text.lower().encode())}"
        split = "test" if "held out" in row.text else "train"
        return finding(row, split, embedding=vector(row.text), story_id=story)

    while rows := buffer.unenriched("examples", 1000):
        buffer.apply_enrichment("examples", [found(row) for row in rows])
    judge(buffer)


def news(count: int = 12) -> list[Any]:
    names = {"goal": "sport", "vote": "politics", "rate": "economy"}
    return [label(f"{word}-{n}", f"{word} number {n} of the day", name) for word, name in names.items() for n in range(count)]


def look(buffer: BufferWriter, settings: Settings, task: TaskSpec = TASK, **more: Any) -> dict[str, Doubt]:
    found = doubting.look(settings, task, buffer, now=NOW, **more)
    return {one.example_id: one for one in found.doubts}


def test_what_is_wrong_is_found_by_each_sign(tmp_path: Path, settings: Settings) -> None:
    wrong = [
        label("turned", "goal in the last minute", "politics"),
        label("twice-1", "vote on the budget", "politics", hours=2), label("twice-2", "vote on the budget", "economy"),
        label("copy", "RATE NUMBER 3 OF THE DAY", "sport"),
    ]  # fmt: skip
    with opened(tmp_path / "b") as buffer:
        fill(buffer, [*news(), *wrong])
        found = look(buffer, settings)
        last = kept.read(settings.suspicious_dir, Doubts, TASK.name)
    assert "contradicted" in found["turned"].sorts
    assert found["turned"].suggested == {"label": "sport"}
    assert found["twice-2"].sorts[0] == "same_text"
    assert found["twice-2"].beside == ("twice-1",)
    assert {"near_copy", "contradicted"} <= set(found["copy"].sorts)
    assert last is not None
    assert (last.texts, last.judged, last.not_judged) == (39, 39, None)
    assert [len(one.sorts) for one in found.values()] == sorted((len(one.sorts) for one in found.values()), reverse=True)
    assert b"budget" not in (settings.suspicious_dir / f"{TASK.name}.json").read_bytes(), "no text is kept"


def test_what_a_person_settled_is_doubted_no_more_and_counts(tmp_path: Path, settings: Settings) -> None:
    events = [
        *news(), label("twice-1", "vote on the budget", "politics"), label("twice-2", "vote on the budget", "economy"),
        label("turned", "goal in the last minute", "politics"),
    ]  # fmt: skip
    with opened(tmp_path / "b") as buffer:
        fill(buffer, events)
        assert {"twice-2", "turned"} <= look(buffer, settings).keys()
        settled = {"annotator": "anna", "settles": True}
        first, second = (
            label("a-1", "vote on the budget", "politics", **settled),
            label("a-2", "goal in the last minute", "sport", **settled),
        )
        buffer.insert(stored(first, second, offset=500))
        while rows := buffer.unenriched("examples", 10):
            buffer.apply_enrichment("examples", [finding(row, embedding=vector(row.text)) for row in rows])
        assert look(buffer, settings) == {}
        frozen = buffer.freeze(TASK, run_id="r", folder=tmp_path / "f", learnt=frozenset())
        chosen = set(frozen.rows("train")["example_id"].to_pylist())
    assert {"a-1", "a-2"} <= chosen, "though the ids of others are higher"
    assert not chosen & {"twice-1", "twice-2", "turned"}
    assert [rows for why, rows in frozen.manifest.left_out.items() if "same text" in why] == [2]


def test_users_answers_and_labels_that_fit_no_more_cast_no_doubt(tmp_path: Path, settings: Settings) -> None:
    events = [
        *news(6),
        feedback("f-1", "goal number 1 of the day", "politics"),
        label("bad", "goal number 2 of the day", target={"labels": []}),
    ]
    with opened(tmp_path / "b") as buffer:
        fill(buffer, events)
        assert look(buffer, settings) == {}


def test_a_class_with_two_rows_is_told_and_not_judged(tmp_path: Path, settings: Settings) -> None:
    few = [label("w-1", "a storm is coming", "weather"), label("w-2", "a storm has passed", "weather")]
    with opened(tmp_path / "b") as buffer:
        fill(buffer, [*news(), *few])
        found = doubting.look(settings, TASK, buffer, now=NOW)
    assert (found.texts, found.judged) == (38, 36)
    assert found.not_judged is not None
    assert "weather (2)" in found.not_judged


def test_an_empty_task_and_one_of_entities_are_looked_at_too(tmp_path: Path, settings: Settings) -> None:
    entities = TASKS["news-entities"]
    with opened(tmp_path / "b") as buffer:
        assert look(buffer, settings) == {}
        fill(buffer, [
            spans("s-1", "Nova buys Acme", (0, 4, "ORG")), spans("s-2", "Nova buys Acme", (0, 4, "PERSON")),
            spans("s-3", "Nova sells", (0, 4, "ORG")),
        ])  # fmt: skip
        found = look(buffer, settings, entities)
    assert [one.sorts for one in found.values()] == [("same_text",)]


def test_only_the_newest_are_judged_where_so_many_are_asked_for(tmp_path: Path, settings: Settings) -> None:
    with opened(tmp_path / "b") as buffer:
        fill(buffer, news())
        found = doubting.look(settings, TASK, buffer, now=NOW, most=30)
    assert found.judged <= 30
    assert found.not_judged is not None
    assert "30 of 36" in found.not_judged


def test_the_lane_asks_the_worst_first_until_somebody_settles() -> None:
    pool = Pool(doubted=["x", "y"], said=[Said("x", "bob", {"label": "A"}, "e-1", "import")])
    asked = Asked("anna", 0.0)
    assert [item.text_sha256 for item in queue("suspicious", pool, OnTheWay(), asked)] == ["x", "y"]
    done = OnTheWay(said=[Said("x", "carl", {"label": "B"}, "e-2", "gold", settles=True)])
    assert [item.text_sha256 for item in queue("suspicious", pool, done, asked)] == ["y"]


def test_several_signs_of_one_text_are_one_doubt() -> None:
    def doubt(sort: Any, score: float, **more: Any) -> Doubt:
        return Doubt(
            text_sha256="x", example_id="e", sorts=(sort,), given={"label": "A"}, score=score, side="train",
            **{"suggested": None, "beside": (), **more},
        )  # fmt: skip

    [one] = ranked([doubt("contradicted", 0.7, suggested={"label": "B"}), doubt("same_text", 1.0, beside=("o",))])
    assert one.sorts == ("contradicted", "same_text")
    assert (one.score, one.suggested, one.beside) == (1.0, {"label": "B"}, ("o",))


def test_an_answer_in_the_lane_corrects_the_labels_themselves_or_settles_what_was_right(tmp_path: Path) -> None:
    wrong, right = "goal in the last minute", "vote number 1 of the day"
    with Newsroom(tmp_path) as room:
        twice = [label(f"import-{n}", wrong, name, task=room.task.name) for n, name in enumerate(("A", "B"))]
        fill(room.buffer, [*twice, label("import-9", right, "A", task=room.task.name)])
        doubting.look(room.settings, room.task, room.buffer, now=room.clock())
        [item] = room.look(lane="suspicious").items
        assert (item.text, item.said) == (wrong, ()), "blind"
        assert room.desk().say("suspicious", item.item, {"label": "A"}).done
        assert room.look(lane="suspicious").items == (), "though the file still lists it"
        room.take_in()
        assert [one.label_id for one in room.buffer.labels.corrections()] == ["import-1"], "the one that said otherwise"
        assert rows_of(room.buffer.folder, "examples", ["row_id"]).num_rows == 3, "no second label"
        confirmed = content_sha256(right)
        assert room.desk().say("suspicious", confirmed, {"label": "A"}).done
        room.take_in()
        settling = [row for row in rows_of(room.buffer.folder, "examples", ["text", "settles"]).to_pylist() if row["settles"]]
    assert settling == [{"text": right, "settles": True}]


def test_of_several_labels_each_is_judged_by_itself(tmp_path: Path, settings: Settings) -> None:
    task = TASK.model_copy(update={"kind": "multilabel"})
    names = {"goal": ["sport"], "vote": ["politics"], "rate": ["economy", "politics"]}

    def said(event_id: str, text: str, labels: list[str]) -> Any:
        return label(event_id, text, target={"labels": labels})

    rows = [said(f"{word}-{n}", f"{word} number {n} of the day", labels) for word, labels in names.items() for n in range(12)]
    rows += [said("missing", "rate cut at last", ["economy"]), said("too-many", "goal after the break", ["economy", "sport"])]
    rows += [said("rare", "goal in the snow", ["sport", "weather"])]
    with opened(tmp_path / "b", tasks={**TASKS, task.name: task}) as buffer:
        fill(buffer, rows)
        found = look(buffer, settings, task)
        last = kept.read(settings.suspicious_dir, Doubts, task.name)
    assert found["missing"].suggested == {"labels": ["economy", "politics"]}
    assert found["too-many"].suggested == {"labels": ["sport"]}
    assert set(found) == {"missing", "too-many"}
    assert last is not None
    assert last.judged == 39
    assert last.not_judged is not None
    assert "weather (1)" in last.not_judged
