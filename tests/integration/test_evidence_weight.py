"""What new evidence weighs for a trigger: counted from the real tables, for labels, corrections and confirmations."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from consumers.buffer.writer import BufferWriter
from tests.support import buffers
from tests.support.buffers import FEEDBACK, TASKS, TOPICS, feedback, label, opened
from tests.support.cycles import NAME, World, better, task

TASK = TOPICS.model_copy(update={"new_label_min_examples": 1})
UNCAPPED = FEEDBACK.model_copy(update={"max_per_user_day": 0, "max_per_source_day": 0})


@pytest.fixture
def buffer(tmp_path: Path) -> Iterator[BufferWriter]:
    with opened(tmp_path / "b", tasks={**TASKS, TASK.name: TASK}) as made:
        yield made


def take(buffer: BufferWriter, *events: Any, offset: int = 0) -> None:
    """Store, enrich and judge."""
    buffer.insert(buffers.stored(*events, offset=offset))
    while rows := buffer.unenriched("examples", 1000):
        buffer.apply_enrichment("examples", [buffers.finding(row) for row in rows])
    buffers.judge(buffer, UNCAPPED)


def weights(buffer: BufferWriter, after_seq: int = 0) -> tuple[float, float]:
    counts = buffer.counts(TASK.name, after_seq=after_seq)
    return round(counts.new_weight, 6), round(counts.new_confirmed_weight, 6)


def confirmed(prefix: str, count: int, **more: Any) -> list[Any]:
    return [feedback(f"{prefix}-{n}", f"text {prefix} {n}", verdict="confirmation", **more) for n in range(count)]


def test_each_text_weighs_as_much_as_its_heaviest_row(buffer: BufferWriter) -> None:
    take(buffer, *(label(f"l-{n}", f"text {n}") for n in range(3)))
    take(buffer, *(feedback(f"c-{n}", f"corrected {n}", "sport") for n in range(2)), offset=10)
    take(buffer, *confirmed("y", 5), offset=20)
    assert weights(buffer) == (5.0, 1.5)
    take(buffer, label("l-y", "text y 0"), offset=40)
    assert weights(buffer) == (6.0, 1.2), "what a label says too is no mere confirmation"


def test_what_a_run_has_frozen_weighs_nothing_any_more(buffer: BufferWriter) -> None:
    take(buffer, label("l-0", "text 0"), *confirmed("y", 3))
    seen = buffer.counts(TASK.name).max_seq
    take(buffer, *confirmed("z", 10), offset=20)
    assert weights(buffer, after_seq=seen) == (0.0, 3.0)


def test_a_user_who_was_contradicted_counts_less_and_a_new_one_in_full(buffer: BufferWriter) -> None:
    take(buffer, *(label(f"l-{n}", f"gold {n}", "economy") for n in range(3)))
    seen = buffer.counts(TASK.name).max_seq
    take(buffer, *(feedback(f"w-{n}", f"gold {n}", "sport", user_id="wrong") for n in range(3)), offset=10)
    take(buffer, *(feedback(f"x-{n}", f"fresh {n}", "sport", user_id="wrong") for n in range(5)), offset=20)
    take(buffer, *(feedback(f"n-{n}", f"newer {n}", "sport", user_id="nobody-knows") for n in range(5)), offset=30)
    counts = buffer.counts(TASK.name, after_seq=seen)
    # Laplace: 1 of 5 is 0.2, and 0.5 is the trust of whom nobody knows.
    assert counts.new == 10
    assert weights(buffer, after_seq=seen) == (7.0, 0.0)


def test_two_users_who_confirm_everything_start_no_run_and_labels_beside_them_do(tmp_path: Path) -> None:
    with World(tmp_path, task(), train=better) as world:
        world.grow(10)
        world.cycle.step()
        for at, user in enumerate(("u-1", "u-2")):
            said = [
                feedback(f"{user}-{n}", f"{user} says yes {n}", "A", verdict="confirmation", user_id=user, task=NAME)
                for n in range(20)
            ]
            world.buffer.insert(buffers.stored(*said, offset=1_000 * (at + 1)))
        buffers.enrich(world.buffer)
        world.cycle.step()
        assert len(world.registry.runs.list()) == 1
        weighs, why = world.look().reasons[:2]
        assert weighs.startswith("40 new examples with a total weight of 0 of 10; 10 more labels")
        assert why.startswith("confirmations")
        world.clock.forward(timedelta(days=40).total_seconds())
        assert world.look().trigger is None, "however old they get"
        world.grow(5, "more")
        due = world.look().trigger
        assert due is not None
        assert due.reason.startswith("45 new examples with a total weight of 10;")
