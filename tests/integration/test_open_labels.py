"""Labels of open tasks under attack: users alone bring none into a model, and very many cost little; real tables, no model."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from config.tasks import TaskSpec
from consumers.buffer.writer import BufferWriter
from consumers.events.schemas import to_bytes
from consumers.training_set.snapshot import TrainingSet
from daemon.training.due import evidence
from tests.support import cycles
from tests.support.buffers import (
    ENTITIES,
    TASKS,
    TOPICS,
    Moving,
    accepted,
    enrich,
    feedback,
    judge,
    label,
    opened,
    renaming,
    review,
    spans,
    stored,
    take,
)

ACCOUNTS = 50
BELOW_THE_ALARM = 49
GOLD = [label(f"gold-{number}", f"The bank said {number}", ("economy", "sport")[number % 2]) for number in range(12)]
OPEN_ENTITIES = ENTITIES.model_copy(update={"labels": "open", "label_names": ("ORG",)})
LOOK_ALIKE = "ѕport"  # its first letter is Cyrillic


def attack(day: int, count: int, name: str = "scam", **more: Any) -> list[Any]:
    """One day of answers to texts of one topic; every account has an application of its own."""
    return [
        feedback(
            f"poison-{day}-{number}", f"Cheap loans of day {day}, offer {number}", name, user_id=f"sybil-{number % ACCOUNTS}",
            source=f"app-{number % ACCOUNTS}", **more,
        )
        for number in range(count)
    ]  # fmt: skip


def poisoned(buffer: BufferWriter, clock: Moving, name: str = "scam", *, days: int = 3, count: int = BELOW_THE_ALARM) -> None:
    take(buffer, *GOLD, offset=0)
    for day in range(days):
        clock.forward(days=2)
        take(buffer, *attack(day, count, name), offset=1000 * (day + 1))


def frozen(buffer: BufferWriter, folder: Path, task: TaskSpec = TOPICS) -> TrainingSet:
    return buffer.freeze(task, run_id="r", folder=folder, learnt=frozenset())


def labels(rows: TrainingSet) -> set[str]:
    return {json.loads(target)["label"] for target in rows.rows("train")["target"].to_pylist()}


@pytest.mark.parametrize("name", ["scam", "SPORT", LOOK_ALIKE, "economy (new)"])
def test_accounts_that_agree_below_the_alarm_bring_no_label_by_themselves(tmp_path: Path, name: str) -> None:
    clock = Moving()
    with opened(tmp_path / "b", clock=clock) as buffer:
        poisoned(buffer, clock, name)
        state = buffer.defence(TOPICS.name)
        assert (state.standings, state.alarms) == ({"effective": 3 * BELOW_THE_ALARM}, ()), "or nothing would be shown"
        found = frozen(buffer, tmp_path / "set")
        assert labels(found) == {"economy", "sport"}
        assert found.manifest.waiting == {name: 3 * BELOW_THE_ALARM}
        assert found.manifest.left_out == {f"users alone carry label {name}": 3 * BELOW_THE_ALARM}
        [told] = evidence.labels_that_wait(found.manifest)
        assert f"{name!r} ({3 * BELOW_THE_ALARM} rows)" in told
        fate = buffer.feedback_fate("poison-0-0")
        assert fate is not None
        assert "only users have given it" in buffer.explain(fate).reason
        declared = TOPICS.model_copy(update={"label_names": (name,)})
        assert name in labels(frozen(buffer, tmp_path / "declared", declared)), "only the label was in the way"


def test_above_the_alarm_a_person_decides_and_whoever_accepts_lets_the_label_join(tmp_path: Path) -> None:
    clock = Moving()
    with opened(tmp_path / "b", clock=clock) as buffer:
        poisoned(buffer, clock, days=1, count=120)
        state = buffer.defence(TOPICS.name)
        [alarm] = state.alarms
        assert state.standings == {"alarm": 120}
        assert frozen(buffer, tmp_path / "held").manifest.waiting == {}, "what is held does not even wait"
        buffer.insert(stored(review("r-1", "accept", task=TOPICS.name, alarm=alarm.move), offset=9000))
        judge(buffer)
        assert labels(frozen(buffer, tmp_path / "accepted")) == {"economy", "sport", "scam"}


@pytest.mark.parametrize(
    ("event", "split"),
    [
        (label("v", "One label of the desk", "scam"), "train"),
        (label("v", "One that is held out", "scam"), "test"),
        (label("v", "One of the anchor set", "scam", anchor=True), "train"),
        (label("v", "One that was imported", "scam", origin="import"), "dropped"),
        (label("v", "One that is named otherwise today", "fraud"), "train"),
        (accepted("v", "poison-0-7"), "train"),
        (review("v", "accept", user_id="sybil-7"), "train"),
        (renaming("v", spam="scam"), "train"),
    ],
    ids=["gold", "held out", "anchor", "import", "renamed", "accepted", "accepted user", "renamed to"],
)  # fmt: skip
def test_one_label_event_one_accepted_answer_or_a_rename_vouches_for_it(tmp_path: Path, event: Any, split: str) -> None:
    clock = Moving()
    task = (
        TOPICS.model_copy(update={"renames": {"fraud": "scam"}})
        if getattr(event, "target", None) == {"label": "fraud"}
        else TOPICS
    )
    with opened(tmp_path / "b", clock=clock) as buffer:
        poisoned(buffer, clock, days=1)
        assert labels(frozen(buffer, tmp_path / "before")) == {"economy", "sport"}
        take(buffer, event, offset=9000, split=lambda row: "anchor" if row.anchor else split)
        found = frozen(buffer, tmp_path / "set", task)
        assert labels(found) == {"economy", "sport", "scam"}
        assert (found.manifest.waiting, evidence.labels_that_wait(found.manifest)) == ({}, ())


def test_a_rejected_answer_or_another_task_vouches_for_nothing(tmp_path: Path) -> None:
    clock = Moving()
    with opened(tmp_path / "b", clock=clock) as buffer:
        poisoned(buffer, clock, days=1)
        take(buffer, review("r", "reject", event_ids=("poison-0-7",)), spans("s", "The scam", (4, 8, "scam")), offset=9000)
        assert frozen(buffer, tmp_path / "set").manifest.waiting == {"scam": BELOW_THE_ALARM - 1}


def test_of_a_text_with_such_an_entity_the_others_are_learnt(tmp_path: Path) -> None:
    def said(number: int, *marks: tuple[int, int, str]) -> Any:
        target = {"spans": [{"start": start, "end": end, "label": name} for start, end, name in marks]}
        text = f"ACME sells coins {number}"
        return feedback(f"f-{number}", text, task=ENTITIES.name, target=target, user_id=f"sybil-{number}", source=f"app-{number}")

    with opened(tmp_path / "b", tasks={**TASKS, ENTITIES.name: OPEN_ENTITIES}) as buffer:
        take(buffer, *(said(number, (0, 4, "ORG"), (11, 16, "SAFE")) for number in range(20)), offset=0)
        found = frozen(buffer, tmp_path / "set", OPEN_ENTITIES)
        assert (found.manifest.counts["train"], found.manifest.left_out) == (20, {})
        assert found.manifest.waiting == {"SAFE": 20}
        take(buffer, spans("gold", "Coins are safe", (10, 14, "SAFE")), offset=100)
        assert frozen(buffer, tmp_path / "later", OPEN_ENTITIES).manifest.waiting == {}


def test_a_run_says_which_label_waits_for_what(tmp_path: Path) -> None:
    with cycles.World(tmp_path, cycles.task(), train=cycles.better) as world:
        world.grow(10)
        answers = (
            feedback(
                f"f-{number}",
                f"Cheap loans {number}",
                "scam",
                task=cycles.NAME,
                user_id=f"sybil-{number}",
                source=f"app-{number}",
            )
            for number in range(20)
        )
        take(world.buffer, *answers, offset=5000)
        run = world.ask()
        assert run.verdict == "promote"
        assert any("'scam' (20 rows)" in reason and "label_names" in reason for reason in run.reasons)
        assert (world.run_folder(run) / "card.md").read_text().count("scam") == 1


def test_a_set_of_labels_that_wait_says_why_nothing_is_left(tmp_path: Path) -> None:
    with cycles.World(tmp_path, cycles.task(), train=cycles.better) as world:
        answers = (feedback(f"f-{n}", f"Cheap loans {n}", "scam", task=cycles.NAME, user_id=f"sybil-{n}") for n in range(20))
        take(world.buffer, *answers, offset=0)
        run = world.ask()
        assert run.state == "failed"
        assert "20 rows: users alone carry label scam" in str(run.error)


@pytest.mark.slow
@pytest.mark.parametrize(("count", "by_users"), [(20_000, False), (3_000, True)], ids=["label events", "users"])
def test_very_many_labels_cost_little_and_are_told_in_few_words(tmp_path: Path, count: int, *, by_users: bool) -> None:
    rng = random.Random(3)
    names = [f"tag-{number}" for number in range(count)]

    def event(number: int) -> Any:
        text = f"Text {number} on {rng.randrange(10**9)}"
        if by_users:
            return feedback(f"l-{number}", text, names[number], user_id=f"u-{number}", source=f"app-{number % 200}")
        return label(f"l-{number}", text, names[number])

    common = [label(f"c-{number}", f"Common {number}", ("economy", "sport")[number % 2]) for number in range(60)]
    with opened(tmp_path / "b") as buffer:
        everything: Sequence[Any] = [*map(event, range(len(names))), *common]
        assert max(len(to_bytes(one)) for one in everything) < 1000
        for start in range(0, len(everything), 5_000):
            buffer.insert(stored(*everything[start : start + 5_000], offset=start))
        enrich(buffer, split=lambda row: "test" if row.row_id.endswith("0") else "train", portion=5_000)
        short = buffer.hold_out_more(TOPICS, test_fraction=0.2, learnt=frozenset())
        assert {one.label for one in short} <= {"economy", "sport"}, "of one document none can be spared"
        found = frozen(buffer, tmp_path / "set")
        assert set(found.manifest.labels) == labels(found) == {"economy", "sport"}
        assert sum(found.manifest.left_out.values()) == 0.9 * count
        assert len(found.manifest.left_out) <= 25
        assert (tmp_path / "set" / "manifest.json").stat().st_size < 10_000
        assert len(found.manifest.left_out_told) < 1_000
        assert all(len(told) < 1_000 for told in evidence.labels_that_wait(found.manifest))
        assert buffer.counts(TOPICS.name).train > 0
