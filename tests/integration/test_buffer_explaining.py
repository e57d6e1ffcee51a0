"""Why an answer is not learnt from: told from the rows of its text, by the rules that a training set follows."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from consumers.buffer.writer import BufferWriter
from consumers.defence.standings import IN_WORDS
from consumers.training_set.fate import Explanation
from tests.support.buffers import (
    NOW,
    SETTINGS,
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
    stored,
    take,
)

NEXT_RUN = "the next training run uses it"


def explained(buffer: BufferWriter, event_id: str) -> Explanation:
    fate = buffer.feedback_fate(event_id)
    assert fate is not None
    return buffer.explain(fate)


def tasks_with(**changes: Any) -> dict[str, Any]:
    return {**TASKS, TOPICS.name: TOPICS.model_copy(update=changes)}


LENIENT = tasks_with(new_label_min_examples=1, label_names=("economy",))


def test_those_who_say_the_same_of_one_text_teach_it_together(tmp_path: Path) -> None:
    with opened(tmp_path / "b", tasks=LENIENT) as buffer:
        buffer.insert(stored(feedback("f-1", "one"), feedback("f-2", "one", user_id="u-2"), feedback("other", "two")))
        fresh = explained(buffer, "f-1")
        assert fresh.same_answer == ("f-1", "f-2")
        assert "is being prepared" in fresh.reason
        enrich(buffer)
        assert explained(buffer, "f-2").same_answer == ("f-2", "f-1")
        assert NEXT_RUN in explained(buffer, "f-1").reason, "the other row is taken, but it says the same"
        assert NEXT_RUN in explained(buffer, "f-2").reason


def test_a_newer_answer_or_a_label_that_says_otherwise_is_told(tmp_path: Path) -> None:
    with opened(tmp_path / "b", tasks=LENIENT) as buffer:
        buffer.insert(stored(feedback("old", "one", "sport", hours=2), feedback("new", "one", "economy", hours=1)))
        take(buffer, feedback("user", "two", "sport"), label("gold", "two", "economy", hours=9), offset=9)
        old = explained(buffer, "old")
        assert (old.status, old.reason.partition(": ")[2]) == ("set_aside", IN_WORDS["replaced"])
        assert NEXT_RUN in explained(buffer, "new").reason
        user = explained(buffer, "user")
        assert user.status == "set_aside"
        assert "an independent label disagrees" in user.reason
        buffer.insert(stored(accepted("r-1", "user"), offset=20))
        judge(buffer)
        assert "not used for training: label gold (gold) disagrees" in explained(buffer, "user").reason


def test_answers_that_renames_make_equal_are_equal(tmp_path: Path) -> None:
    with opened(tmp_path / "b", tasks=LENIENT) as buffer:
        buffer.insert(stored(feedback("old", "one", "money"), feedback("new", "one", "economy", user_id="u-2")))
        take(buffer, renaming("s-1", money="economy"), offset=9)
        assert NEXT_RUN in explained(buffer, "old").reason


def test_poor_quality_is_told_with_its_reasons(tmp_path: Path) -> None:
    with opened(tmp_path / "b", tasks=LENIENT) as buffer:
        take(buffer, feedback("f-1", "Hm"), quality=0.2, quality_reasons=("too short: 2 letters",))
        reason = explained(buffer, "f-1").reason
        assert "quality of its text is 0.20 (too short: 2 letters); needed is 0.3 (enrich.min_quality)" in reason


def test_a_confirmation_without_weight_says_so(tmp_path: Path) -> None:
    silent = tasks_with(feedback=TOPICS.feedback.model_copy(update={"confirmation_weight": 0.0}))
    with opened(tmp_path / "b", tasks=silent) as buffer:
        take(buffer, feedback("f-1", "one", verdict="confirmation"))
        assert "task news-topics does not train on confirmations" in explained(buffer, "f-1").reason


def test_a_label_that_too_few_rows_carry_says_how_many_are_missing(tmp_path: Path) -> None:
    with opened(tmp_path / "b", tasks=tasks_with(new_label_min_examples=2, labels="open", label_names=())) as buffer:
        take(buffer, feedback("f-1", "one", "crypto's"))
        assert 'label "crypto\'s" is new and is learnt once 2 rows carry it (1 now)' in explained(buffer, "f-1").reason
        take(buffer, label("l-1", "two", "crypto's"), offset=9)
        assert NEXT_RUN in explained(buffer, "f-1").reason


def test_a_label_no_longer_accepted_and_a_text_that_measures_say_so(tmp_path: Path) -> None:
    with opened(tmp_path / "b", tasks=tasks_with(labels="closed", label_names=("sport",))) as buffer:
        buffer.insert(stored(feedback("f-1", "one", "economy"), feedback("f-2", "two", "sport"), label("t", "two", "sport")))
        take(
            buffer,
            label("a", "three", "sport", anchor=True),
            offset=9,
            split=lambda row: "anchor" if row.anchor else "test" if row.row_id == "t" else "train",
        )
        assert "no longer accepts its label" in explained(buffer, "f-1").reason
        assert "the same text is reserved for testing" in explained(buffer, "f-2").reason
        assert "anchor set" in explained(buffer, "a").reason


def test_an_example_past_the_retention_or_of_a_removed_task_says_so(tmp_path: Path) -> None:
    kept = SETTINGS.model_copy(update={"retention_days": 1.0})
    with opened(tmp_path / "b", kept, clock=(clock := Moving())) as buffer:
        take(buffer, feedback("old", "one"))
        fate = buffer.feedback_fate("old")
        clock.forward(days=2)
        take(buffer, feedback("f-1", "two"), offset=9)
        buffer.enforce_retention()
        assert fate is not None
        assert "buffer.retention_days" in buffer.explain(fate).reason, "it went between the two questions"
        assert buffer.feedback_fate("old") is None
    with opened(tmp_path / "b", tasks={}) as buffer:
        assert "task 'news-topics' is no longer defined here" in explained(buffer, "f-1").reason


def test_a_prediction_an_hour_late_is_called_lost(tmp_path: Path) -> None:
    now = [NOW]
    with opened(tmp_path / "b", clock=lambda: now[0]) as buffer:
        buffer.insert(stored(feedback("f-1", prediction_id="p-1"), feedback("f-2", article_id="a-1"), offset=0))
        buffer.resolve_waiting()
        assert explained(buffer, "f-1").reason == "its text has not arrived yet"
        now[0] += timedelta(minutes=61)
        late = explained(buffer, "f-1").reason
        assert "prediction 'p-1' has been missing since 2024-05-01T12:00+00:00" in late
        assert "send it again under a new key" in late
        assert explained(buffer, "f-2").reason == "its text has not arrived yet", "an article may still be crawled"
