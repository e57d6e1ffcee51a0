"""Whatever comes in whatever order: no cap is exceeded, and what is counted is what trains."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.task_files.sections.feedback import FeedbackPolicy
from consumers.buffer.writer import BufferWriter
from tests.support.buffers import FEEDBACK, NOW, TASKS, TOPICS, feedback, finding, label, opened, stored
from tests.support.tables import rows_of
from trainers.job.rows import shares

# Its labels are declared: what users alone name waits, whatever was counted.
TASK = TOPICS.model_copy(update={"new_label_min_examples": 1, "label_names": ("a", "b")})
LENIENT = {**TASKS, TASK.name: TASK}
USERS, TEXTS, LABELS = 4, 5, "ab"
CAPS = FEEDBACK.model_copy(update={"max_per_user_day": 3, "max_per_source_day": 6, "max_per_article": 4})
# One contradiction excludes, so that trust turns often.
FREE = FEEDBACK.model_copy(
    update={
        "max_per_user_day": 0, "max_per_source_day": 0, "max_per_article": 0, "trust_min_evidence": 1, "exclude_below": 0.8
    }
)  # fmt: skip

answers = st.builds(
    dict,
    user=st.integers(0, USERS - 1), text=st.integers(0, TEXTS - 1), name=st.sampled_from(LABELS),
    verdict=st.sampled_from(["correction", "correction", "confirmation"]), source=st.sampled_from([None, "key:a"]),
    hours=st.sampled_from([0, 0, 9, 30]), aged=st.integers(0, 50),
)  # fmt: skip
gold = st.builds(dict, gold=st.just(1), text=st.integers(0, TEXTS - 1), name=st.sampled_from(LABELS), aged=st.integers(0, 50))
histories = st.lists(st.one_of(answers, answers, answers, gold), min_size=1, max_size=30)


class World:
    """A buffer whose arrivals are given; when they are enriched and judged is another matter."""

    def __init__(self, buffer: BufferWriter, now: list[datetime]) -> None:
        self.buffer = buffer
        self.now = now

    def arrive(self, number: int, one: Mapping[str, Any]) -> None:
        self.now[0] += timedelta(hours=one.get("hours", 0))
        text, aged = f"text {one['text']}", one["aged"]
        if "gold" in one:
            event: Any = label(f"g-{number}", text, one["name"], hours=aged)
        else:
            more = {"user_id": f"u-{one['user']}", "verdict": one["verdict"], "source": one["source"]}
            event = feedback(f"f-{number}", text, one["name"], hours=aged, **more)
        self.buffer.insert(stored(event, offset=number))

    def enrich(self, portion: int) -> bool:
        rows = self.buffer.unenriched("examples", portion)
        self.buffer.apply_enrichment("examples", [finding(row) for row in rows])
        return bool(rows)

    def judge(self, policy: Any, limit: int = 500) -> None:
        while self.buffer.judge_feedback(policy, limit).waiting:
            pass

    def rows(self) -> list[dict[str, Any]]:
        columns = ["row_id", "contributor", "source", "arrived_day", "story_id", "text_sha256", "standing"]
        return sorted(rows_of(self.buffer.folder, "feedback_judgements", columns).to_pylist(), key=lambda row: row["row_id"])


def play(folder: Path, history: Sequence[Mapping[str, Any]], policy: Any, *, portion: int, every: int, limit: int) -> World:
    """Let all arrive, enriching and judging after every so many."""
    now = [NOW]
    with opened(folder / "b", tasks=LENIENT, clock=lambda: now[0]) as buffer:
        world = World(buffer, now)
        for number, one in enumerate(history, start=1):
            world.arrive(number, one)
            if number % every == 0:
                while world.enrich(portion):
                    buffer.judge_feedback(policy, limit)
        while world.enrich(portion):
            buffer.judge_feedback(policy, limit)
        world.judge(policy, limit)
        trained = buffer.freeze(TASK, run_id="r", folder=folder / "set", learnt=frozenset()).manifest
        counts = buffer.counts(TASK.name)
        assert counts.train == trained.counts["train"], "what is counted is what is handed out"
        assert counts.unenriched == 0
        world.found = world.rows()  # type: ignore[attr-defined]
        return world


orders = {"portion": st.sampled_from([1, 3, 100]), "every": st.sampled_from([1, 4, 100]), "limit": st.sampled_from([1, 4, 500])}


@given(history=histories, **orders)
@settings(max_examples=20, deadline=None)
@pytest.mark.slow
def test_no_cap_is_ever_exceeded(history: list[dict[str, Any]], portion: int, every: int, limit: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = play(Path(folder), history, CAPS, portion=portion, every=every, limit=limit)
        found: list[dict[str, Any]] = world.found  # type: ignore[attr-defined]
    effective = [row for row in found if row["standing"] == "effective"]
    assert all(count <= 3 for count in Counter((row["contributor"], row["arrived_day"]) for row in effective).values())
    assert all(count <= 6 for count in Counter((row["source"], row["arrived_day"]) for row in effective).values())
    assert all(count <= 4 for count in Counter(row["story_id"] for row in effective).values())
    assert all(count == 1 for count in Counter((row["contributor"], row["text_sha256"]) for row in effective).values())


@given(history=histories, **orders)
@settings(max_examples=20, deadline=None)
@pytest.mark.slow
def test_within_the_caps_it_does_not_matter_when_what_has_arrived_is_judged(
    history: list[dict[str, Any]], portion: int, every: int, limit: int
) -> None:
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        at_once = play(Path(one), history, FREE, portion=100, every=100, limit=500)
        piecemeal = play(Path(other), history, FREE, portion=portion, every=every, limit=limit)
        assert piecemeal.found == at_once.found  # type: ignore[attr-defined]


@given(
    others=st.integers(0, 200), by_user=st.lists(st.integers(1, 120), max_size=12), share=st.floats(0.05, 1.0),
    user_share=st.floats(0.01, 1.0),
)  # fmt: skip
def test_the_shares_of_a_run_hold_for_what_is_left_of_it(
    others: int, by_user: list[int], share: float, user_share: float
) -> None:
    policy = FeedbackPolicy(max_share=share, max_user_share=user_share)
    found = shares.limits(others, by_user, policy)
    kept = min(found.feedback, sum(min(count, found.user) for count in by_user))
    total = others + kept
    assert kept <= share * total
    assert kept == 0 or found.user <= user_share * total
    assert shares.limits(others, sorted(by_user), policy) == found
