"""Which corrections answer for their own texts: of trusted people, that nobody trusted denies; real tables, no model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from consumers.defence import answering
from consumers.defence.answering import Correction
from consumers.events.schemas import content_sha256
from tests.support.buffers import (
    ENTITIES,
    FEEDBACK,
    TASKS,
    TOPICS,
    accepted,
    feedback,
    label,
    opened,
    prediction,
    renaming,
    review,
)
from tests.support.corrected import TEXT, Buffer
from tests.support.tables import rows_of

KEY = "key:desk"


@pytest.fixture
def buffer(tmp_path: Path) -> Any:
    with opened(tmp_path / "b") as writer:
        yield Buffer(writer)


class TestWhoIsTrusted:
    def test_a_new_user_is_not_and_one_who_was_right_three_times_is(self, buffer: Buffer) -> None:
        buffer.take(feedback("f-1", TEXT))
        assert buffer.answers() is None
        buffer.earn(times=2)
        assert buffer.answers() is None
        assert buffer.answers(answers_from_trust=0.75) == "economy"
        buffer.earn()
        assert buffer.answers() == "economy"
        [one] = buffer.corrections().values()
        assert one == Correction(content_sha256(TEXT), "f-1", {"label": "economy"}, accepted=False, examples=("f-1",))

    def test_what_a_person_has_accepted_answers_until_a_person_rejects_it(self, buffer: Buffer) -> None:
        buffer.take(feedback("f-1", TEXT))
        buffer.take(accepted("r-1", "f-1"))
        assert buffer.answers(answers_from_trust=1.0) == "economy"
        buffer.take(review("r-2", "reject", event_ids=("f-1",)))
        assert buffer.answers() is None

    def test_a_key_with_the_scope_speaks_for_its_users(self, buffer: Buffer) -> None:
        buffer.take(feedback("f-1", TEXT, source=KEY))
        assert buffer.answers() is None
        assert buffer.answers(KEY) == "economy"
        assert buffer.answers("key:another") is None

    def test_no_key_speaks_for_a_user_who_was_wrong_more_often_than_right(self, buffer: Buffer) -> None:
        buffer.take(feedback("f-1", TEXT, source=KEY), label("g-1", "known", "sport"))
        buffer.take(feedback("f-2", "known", source=KEY))
        assert buffer.answers(KEY) is None

    def test_trust_in_one_task_is_none_in_another(self, buffer: Buffer) -> None:
        buffer.earn()
        spans = {"spans": [{"start": 0, "end": 5, "label": "ORG"}]}
        buffer.take(feedback("f-1", TEXT, task=ENTITIES.name, target=spans))
        assert buffer.corrections(task=ENTITIES.name) == {}


class TestWhatEndsIt:
    @pytest.fixture(autouse=True)
    def _trusted(self, buffer: Buffer) -> None:
        buffer.earn()
        buffer.take(feedback("f-1", TEXT))
        assert buffer.answers() == "economy"

    def test_a_newer_correction_of_the_same_user_replaces_it(self, buffer: Buffer) -> None:
        buffer.take(feedback("f-2", TEXT, "sport"))
        assert buffer.answers() == "sport"

    def test_a_trusted_user_who_denies_it_silences_both_whoever_has_the_votes(self, buffer: Buffer) -> None:
        buffer.earn("u-2", 8)
        buffer.take(feedback("f-2", TEXT, "sport", user_id="u-2"))
        assert buffer.answers() is None
        buffer.take(accepted("r-1", "f-2"))
        assert buffer.answers() == "sport"

    def test_a_trusted_user_who_confirms_the_model_silences_it(self, buffer: Buffer) -> None:
        buffer.earn("u-2")
        buffer.take(feedback("f-2", TEXT, "sport", user_id="u-2", verdict="confirmation"))
        assert buffer.answers() is None

    def test_a_label_that_says_otherwise_wins_and_the_newest_label_counts(self, buffer: Buffer) -> None:
        buffer.take(label("g-1", TEXT, "sport", hours=2))
        assert buffer.answers() is None
        buffer.take(label("g-2", TEXT, "economy", hours=1))
        assert buffer.answers() == "economy"
        assert set(buffer.corrections()[content_sha256(TEXT)].examples) == {"f-1", "g-2"}

    def test_an_alarm_holds_it(self, buffer: Buffer) -> None:
        buffer.settings = FEEDBACK.model_copy(update={"alarm_min_count": 12})
        buffer.take(*(feedback(f"a-{n}", f"flood {n}", user_id=f"v-{n}") for n in range(40)))
        assert buffer.answers() is None

    def test_distrust_takes_it_away(self, buffer: Buffer) -> None:
        for n in range(20):
            buffer.take(label(f"w-{n}", f"wrong {n}", "sport"), feedback(f"e-{n}", f"wrong {n}"))
        assert buffer.answers() is None

    def test_a_task_file_turns_it_off(self, buffer: Buffer) -> None:
        policy = TOPICS.feedback.model_copy(update={"corrections_answer": False})
        buffer.writer.use_tasks(TASKS | {TOPICS.name: TOPICS.model_copy(update={"feedback": policy})})
        assert buffer.writer.answering(FEEDBACK, ()) == {}

    def test_it_answers_under_the_label_s_new_name(self, buffer: Buffer) -> None:
        buffer.take(renaming("s-1", economy="business"))
        assert buffer.answers() == "business"

    def test_a_closed_task_that_has_dropped_the_label_does_not_answer_with_it(self, buffer: Buffer) -> None:
        closed = TOPICS.model_copy(update={"labels": "closed", "label_names": ("sport", "science")})
        buffer.writer.use_tasks({**TASKS, TOPICS.name: closed})
        assert buffer.answers() is None


def test_texts_that_never_train_are_answered_too(buffer: Buffer) -> None:
    buffer.earn()
    buffer.take(feedback("f-1", TEXT), split="test")
    buffer.take(feedback("f-2", "poor"), quality=0.0)
    assert set(buffer.corrections()) == {content_sha256(TEXT), content_sha256("poor")}


def test_a_confirmation_alone_answers_nothing(buffer: Buffer) -> None:
    buffer.earn()
    buffer.take(feedback("f-1", TEXT, verdict="confirmation"))
    assert buffer.corrections() == {}


def test_entities_answer_as_a_whole_or_not_at_all(buffer: Buffer) -> None:
    spans = [{"start": 0, "end": 5, "label": "ORG"}]
    buffer.take(feedback("f-1", TEXT, task=ENTITIES.name, target={"spans": spans}, source=KEY))
    buffer.take(feedback("f-2", "Rates fall", task=ENTITIES.name, target={"spans": spans, "partial": True}, source=KEY))
    found = buffer.corrections(KEY, task=ENTITIES.name)
    assert [(one.event_id, one.target["spans"]) for one in found.values()] == [("f-1", spans)]


def test_who_says_the_same_teaches_the_same(buffer: Buffer) -> None:
    buffer.earn()
    buffer.take(feedback("f-1", TEXT), feedback("f-0", TEXT, user_id="new"))
    assert buffer.corrections()[content_sha256(TEXT)].examples == ("f-1", "f-0")


def test_the_newest_have_room(buffer: Buffer, monkeypatch: pytest.MonkeyPatch) -> None:
    buffer.earn()
    buffer.take(*(feedback(f"f-{n}", f"text {n}") for n in range(6)))
    monkeypatch.setattr(answering, "MAX_CORRECTIONS", 4)
    found = buffer.writer.answering(FEEDBACK, ())[TOPICS.name]
    # The three that earned the trust stand beside a label that says the same.
    assert [one.event_id for one in found.corrections] == ["f-5", "f-4", "f-3", "f-2"]
    assert found.beyond == 5
    monkeypatch.setattr(answering, "MAX_CHARS", 45)
    assert [one.event_id for one in buffer.writer.answering(FEEDBACK, ())[TOPICS.name].corrections] == ["f-5", "f-4"]


def test_many_texts_are_looked_up_as_few_are(buffer: Buffer, monkeypatch: pytest.MonkeyPatch) -> None:
    buffer.earn()
    buffer.take(*(feedback(f"f-{n}", f"text {n}") for n in range(6)))
    few = buffer.writer.answering(FEEDBACK, ())
    monkeypatch.setattr(answering, "_FEW", 2)
    assert buffer.writer.answering(FEEDBACK, ()) == few


class TestWhatIsSaidOfACorrectionsAnswer:
    """It tells nothing of the model: neither of its user, nor in the slice of what the champion got wrong."""

    def evidence(self, buffer: Buffer, event_id: str) -> tuple[str | None, list[str]]:
        rows = rows_of(buffer.writer.folder, "feedback_judgements", ["row_id", "evidence", "moves"]).to_pylist()
        [one] = [row for row in rows if row["row_id"] == event_id]
        return one["evidence"], one["moves"]

    def corrected(self, prediction_id: str, **more: Any) -> Any:
        return prediction(prediction_id, TEXT, answered_by="correction", answer={"label": "economy", "scores": {}}, **more)

    def test_to_confirm_it_earns_nothing_and_moves_nothing(self, buffer: Buffer) -> None:
        buffer.take(self.corrected("p-1"), label("g-1", TEXT, "economy"))
        buffer.take(feedback("f-1", TEXT, "economy", prediction_id="p-1", verdict="confirmation"))
        buffer.take(feedback("f-2", TEXT, "economy", prediction_id="p-1", user_id="u-2"))
        assert self.evidence(buffer, "f-1") == self.evidence(buffer, "f-2") == (None, "[]")

    def test_to_be_right_against_it_earns_nothing(self, buffer: Buffer) -> None:
        buffer.take(self.corrected("p-1"), label("g-1", TEXT, "sport"))
        buffer.take(feedback("f-1", TEXT, "sport", prediction_id="p-1"))
        assert self.evidence(buffer, "f-1")[0] == "unearned"

    def test_it_is_no_slice_of_what_the_champion_got_wrong(self, buffer: Buffer, tmp_path: Path) -> None:
        buffer.take(*(label(f"g-{n}", f"gold {n}", name) for n in range(8) for name in ("economy",)))
        buffer.take(prediction("p-2", "of a model"), self.corrected("p-1"))
        of_both = [
            feedback("f-1", TEXT, "sport", prediction_id="p-1"),
            feedback("f-2", "of a model", "economy", prediction_id="p-2"),
        ]
        buffer.take(*of_both, split="test")
        frozen = buffer.writer.freeze(TOPICS, run_id="r", folder=tmp_path / "set", learnt=frozenset())
        assert frozen.rows("corrections")["example_id"].to_pylist() == ["f-2"]
