"""Events into the buffer: once each, whatever is delivered again."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

import pytest

from config.errors import StopError
from config.files import durable
from consumers.buffer.writer import BufferWriter
from consumers.events.schemas import AnyEvent
from consumers.log.protocols import Position
from tests.support.buffers import (
    ENTITIES,
    NOW,
    SETTINGS,
    TASKS,
    Moving,
    article,
    enrich,
    feedback,
    finding,
    label,
    opened,
    prediction,
    renaming,
    retrain,
    review,
    spans,
    stored,
)
from tests.support.tables import rows_of

EVERYTHING = stored(
    article("a-1"), label("l-1"), feedback("f-1", "Oil falls"), feedback("f-2", article_id="a-1"), prediction("p-1"),
    retrain("r-1"), renaming("s-1", economy="business"),
)  # fmt: skip


def statuses(buffer: BufferWriter, *event_ids: str) -> dict[str, str | None]:
    fates = {event_id: buffer.feedback_fate(event_id) for event_id in event_ids}
    return {event_id: fate.status if fate else None for event_id, fate in fates.items()}


def test_every_event_type_finds_its_tables_and_a_redelivery_changes_nothing(tmp_path: Path) -> None:
    with opened(tmp_path / "b") as buffer:
        first = buffer.insert(EVERYTHING)
        assert (first.inserted, first.duplicates, first.conflicts) == (7, 0, ())
        counts = buffer.table_counts()
        assert counts == {"articles": 1, "examples": 2, "feedback": 2, "predictions": 1, "requests": 2}
        versions = buffer.versions()
        again = buffer.insert([*EVERYTHING, *EVERYTHING])
        assert (again.inserted, again.duplicates, again.conflicts) == (0, 14, ())
        assert buffer.versions() == versions, "a redelivery writes nothing at all"
    with opened(tmp_path / "b") as buffer:
        assert buffer.insert(EVERYTHING).inserted == 0, "what is stored is known after a restart"
        assert buffer.table_counts() == counts
        assert buffer.repairs == ()
        assert buffer.rewind == {}


def test_a_batch_may_carry_the_same_event_twice(tmp_path: Path) -> None:
    with opened(tmp_path / "b") as buffer:
        outcome = buffer.insert(stored(label("l-1"), label("l-1"), article("a-1"), article("a-1")))
        assert (outcome.inserted, outcome.duplicates) == (2, 2)
        assert buffer.table_counts()["examples"] == 1


@pytest.mark.parametrize("event", [one.event for one in EVERYTHING], ids=lambda event: event.event_id)
def test_the_same_event_dated_anew_is_a_redelivery(tmp_path: Path, event: AnyEvent) -> None:
    """An undated file gets another date when it is copied, feedback without a time when it is posted again."""
    dated_anew = event.model_copy(update={"occurred_at": NOW - timedelta(hours=5)})
    with opened(tmp_path / "b") as buffer:
        buffer.insert(stored(event))
        outcome = buffer.insert(stored(dated_anew, offset=1))
        assert (outcome.inserted, outcome.duplicates, outcome.conflicts) == (0, 1, ())


@pytest.mark.parametrize("separate", [False, True])
def test_other_content_under_a_used_id_is_a_conflict_and_its_neighbours_are_stored(tmp_path: Path, *, separate: bool) -> None:
    batch = stored(
        label("l-1"), label("l-1", "Another text"), label("l-2"),
        article("a-1"), article("a-1", body="Other words"), prediction("p-1"), prediction("p-1", "Other words", event_id="p-2"),
        retrain("r-1"), retrain("r-1", task="news-entities"),
    )  # fmt: skip
    with opened(tmp_path / "b") as buffer:
        parts = [[one] for one in batch] if separate else [batch]
        outcomes = [buffer.insert(part) for part in parts]
        conflicts = [conflict for outcome in outcomes for conflict in outcome.conflicts]
        assert [conflict.stored.position.offset for conflict in conflicts] == [1, 4, 6, 8]
        assert "'l-1' was already used for other content" in conflicts[0].reason
        assert "send this one again under a new one" in conflicts[0].reason
        assert conflicts[2].reason.startswith("prediction_id")
        assert sum(outcome.inserted for outcome in outcomes) == 5


def test_a_label_and_feedback_share_their_ids_across_tables(tmp_path: Path) -> None:
    with opened(tmp_path / "b") as buffer:
        buffer.insert(stored(label("x", "With a text")))
        outcome = buffer.insert(stored(feedback("x", article_id="a-1"), offset=1))
        assert len(outcome.conflicts) == 1
        assert buffer.table_counts()["feedback"] == 0


def test_the_first_of_a_batch_is_judged_against_the_table_too(tmp_path: Path) -> None:
    with opened(tmp_path / "b") as buffer:
        buffer.insert(stored(label("x", "First")))
        outcome = buffer.insert(stored(label("x", "Second"), label("x", "Second"), label("x", "First"), offset=1))
        assert (outcome.inserted, outcome.duplicates, len(outcome.conflicts)) == (0, 1, 2)


def test_revisions_are_kept_and_equal_content_is_not_stored_twice(tmp_path: Path) -> None:
    with opened(tmp_path / "b") as buffer:
        buffer.insert(stored(article("e-1"), article("e-2"), article("e-3", body="Edited.")))
        assert buffer.table_counts()["articles"] == 2
        assert {(row.article_id, row.text) for row in buffer.unenriched("articles", 10)} == {
            ("a-1", "The ECB acted."), ("a-1", "Edited."),
        }  # fmt: skip


def test_a_redelivery_is_judged_as_the_first_delivery_was(tmp_path: Path) -> None:
    """The same content under a second event id is a duplicate; that id with other content is a revision, both times."""
    batch = stored(article("e-1"), article("e-2"), article("e-2", body="Edited."), article("e-1", body="Edited again."))
    with opened(tmp_path / "b") as buffer:
        first, again = buffer.insert(batch), buffer.insert(batch)
        assert [conflict.stored.position.offset for conflict in first.conflicts] == [3]
        assert [conflict.stored.position.offset for conflict in again.conflicts] == [3]
        assert (first.inserted, again.inserted) == (2, 0)


def test_enrichment_survives_a_redelivery(tmp_path: Path) -> None:
    with opened(tmp_path / "b") as buffer:
        buffer.insert(EVERYTHING)
        enrich(buffer)
        enrich(buffer, "articles")
        counts = buffer.counts("news-topics")
        buffer.insert(EVERYTHING)
        assert buffer.counts("news-topics") == counts
        assert counts.train == 2
        assert (buffer.unenriched("examples", 9), buffer.unenriched("articles", 9)) == ([], [])


def test_odd_characters_are_stored_as_they_are(tmp_path: Path) -> None:
    with opened(tmp_path / "b") as buffer:
        buffer.insert(stored(label("l-1", "O'Neill's \"bill\"; DROP TABLE -- 𝔘nicode\x00 end", "a'b")))
        (row,) = buffer.unenriched("examples", 9)
        assert row.text == "O'Neill's \"bill\"; DROP TABLE -- 𝔘nicode\x00 end"
        assert buffer.feedback_fate("no'body") is None


def test_offsets_are_committed_only_after_everything_is_durable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path / "b") as buffer:
        versions = []
        monkeypatch.setattr(durable, "sync_filesystem", lambda _path: versions.append(buffer.versions()))
        before = buffer.versions()
        buffer.insert(EVERYTHING)
        assert versions == [], "insert leaves it to the caller to say when"
        buffer.sync()
        (synced,) = versions
        assert synced == buffer.versions()
        assert synced != before
        buffer.resolve_waiting()
        buffer.apply_enrichment("examples", [finding(row) for row in buffer.unenriched("examples", 9)])
        buffer.drop_from_training({"l-1": "for a test"})
        assert len(versions) == 4, "each later write is made durable by itself"
        assert versions[-1] == buffer.versions()
        buffer.resolve_waiting()
        assert len(versions) == 4, "nothing written, nothing synced"


class TestWaiting:
    """Answers whose text comes separately."""

    def test_feedback_joins_when_its_article_arrives(self, tmp_path: Path) -> None:
        with opened(tmp_path / "b") as buffer:
            buffer.insert(stored(feedback("f-1", article_id="a-1"), label("l-1", None, article_id="a-1")))
            assert buffer.resolve_waiting() == 0
            assert statuses(buffer, "f-1", "l-1", "f-9") == {"f-1": "waiting", "l-1": "waiting", "f-9": None}
            assert buffer.counts("news-topics").waiting == 2
            buffer.insert(stored(article("e-1")))
            assert buffer.resolve_waiting() == 2
            assert buffer.resolve_waiting() == 0
            assert {row.text for row in buffer.unenriched("examples", 9)} == {"The ECB acted."}
            assert statuses(buffer, "f-1", "l-1") == {"f-1": "joined", "l-1": "joined"}
            assert buffer.counts("news-topics").waiting == 0

    def test_feedback_joins_at_once_when_the_text_came_first(self, tmp_path: Path) -> None:
        with opened(tmp_path / "b") as buffer:
            batch = stored(prediction("p-1", "As shown"), feedback("f-1", prediction_id="p-1"))
            buffer.insert(batch)
            assert buffer.resolve_waiting() == 1
            assert [row.text for row in buffer.unenriched("examples", 9)] == ["As shown"]
            buffer.insert(batch)
            assert buffer.resolve_waiting() == 0
            assert buffer.table_counts()["examples"] == 1

    def test_what_the_user_saw_comes_before_the_article(self, tmp_path: Path) -> None:
        with opened(tmp_path / "b") as buffer:
            buffer.insert(
                stored(article("e-1"), prediction("p-1", "As shown"), feedback("f", prediction_id="p-1", article_id="a-1"))
            )
            buffer.resolve_waiting()
            assert [row.text for row in buffer.unenriched("examples", 9)] == ["As shown"]

    def test_the_revision_of_the_time_is_meant(self, tmp_path: Path) -> None:
        with opened(tmp_path / "b") as buffer:
            buffer.insert(stored(*(article(f"e-{hours}", body=f"{hours} hours ago", hours=hours) for hours in (9, 5, 1))))
            buffer.insert(stored(*(feedback(f"f-{hours}", article_id="a-1", hours=hours) for hours in (10, 6, 0)), offset=9))
            buffer.resolve_waiting()
            texts = {row.row_id: row.text for row in buffer.unenriched("examples", 9)}
            assert texts == {"f-6": "9 hours ago", "f-0": "1 hours ago", "f-10": "9 hours ago"}, (
                "an answer older than every revision means the earliest"
            )

    def test_spans_that_do_not_fit_are_refused_with_the_reason(self, tmp_path: Path) -> None:
        with opened(tmp_path / "b") as buffer:
            buffer.insert(stored(spans("l-1", None, (4, 7, "ORG"), article_id="a-1"), article("e-1")))
            buffer.insert(stored(spans("l-2", None, (4, 70, "ORG"), article_id="a-1"), offset=5))
            buffer.insert(stored(feedback("l-3", prediction_id="p-1"), prediction("p-1", task="news-entities"), offset=6))
            assert buffer.resolve_waiting() == 3
            fate = buffer.feedback_fate("l-2")
            assert fate is not None
            assert (fate.status, fate.example_id) == ("refused", None)
            assert "outside the text, which has 14 code points" in fate.reason
            other = buffer.feedback_fate("l-3")
            assert other is not None
            assert "made for task 'news-entities'" in other.reason
            assert buffer.table_counts()["examples"] == 1

    def test_those_that_wait_for_ever_do_not_block_the_others(self, tmp_path: Path) -> None:
        with opened(tmp_path / "b") as buffer:
            buffer.insert(stored(*(feedback(f"old-{n}", article_id=f"never-{n}", hours=9) for n in range(5))))
            buffer.insert(stored(feedback("new", article_id="a-1"), article("e-1"), offset=5))
            assert buffer.resolve_waiting(limit=2) == 1

    def test_a_crash_between_example_and_ledger_is_healed(self, tmp_path: Path) -> None:
        with opened(tmp_path / "b") as buffer:
            buffer.insert(stored(feedback("f-1", article_id="a-1"), article("e-1")))
            replaced = buffer._tables.replace
            buffer._tables.replace = _crash  # type: ignore[method-assign]  # the fault
            with pytest.raises(KeyboardInterrupt):
                buffer.resolve_waiting()
            buffer._tables.replace = replaced  # type: ignore[method-assign]  # fixed
            assert statuses(buffer, "f-1") == {"f-1": "waiting"}
        with opened(tmp_path / "b") as buffer:
            assert buffer.resolve_waiting() == 1
            assert statuses(buffer, "f-1") == {"f-1": "joined"}
            assert buffer.table_counts()["examples"] == 1

    def test_held_out_feedback_says_so(self, tmp_path: Path) -> None:
        with opened(tmp_path / "b") as buffer:
            buffer.insert(stored(feedback("f-1", "Held"), feedback("f-2", "Trained"), feedback("f-3", "Dropped")))
            enrich(buffer, split=lambda row: "test" if row.text == "Held" else "train")
            assert buffer.drop_from_training(dict.fromkeys(["f-3", "unknown"], "its story was tied to a held-out one")) == 1
            fate, dropped = buffer.feedback_fate("f-1"), buffer.feedback_fate("f-3")
            assert fate is not None
            assert dropped is not None
            assert (fate.status, fate.example_id) == ("held_out", "f-1")
            assert "reserved for testing" in fate.reason
            assert (dropped.status, dropped.reason) == ("held_out", "its story was tied to a held-out one")
            assert statuses(buffer, "f-2") == {"f-2": "joined"}
            counts = buffer.counts("news-topics")
            assert (counts.train, counts.test, counts.corrections) == (1, 0, 1)


def test_requests_and_predictions_are_read_back(tmp_path: Path) -> None:
    with opened(tmp_path / "b") as buffer:
        buffer.insert(EVERYTHING)
        (request,) = buffer.requests("retrain")
        assert (request.event_id, request.task, request.full, request.promote, request.reason) == (
            "r-1", "news-topics", False, True, "new desk",
        )  # fmt: skip
        found = buffer.prediction("p-1")
        assert found is not None
        assert (found.text, found.answer, found.model_version) == ("Rates rise", {"label": "sport"}, "news-topics/v1")
        assert buffer.prediction("p-2") is None


def test_retention_goes_by_arrival_in_every_table(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"retention_days": 10.0, "predictions_days": 2.0})
    with opened(tmp_path / "b", settings, clock=(clock := Moving())) as buffer:
        archive = timedelta(days=3650) / timedelta(hours=1)
        buffer.insert(
            stored(
                label("l-1", "one", hours=archive), article("e-1", hours=archive), feedback("f-1", "two"), retrain("r-1"),
                review("r-2", "accept", event_ids=("f-1",)), prediction("p-1"),
            )
        )  # fmt: skip
        enrich(buffer)
        enrich(buffer, "articles")
        assert buffer.enforce_retention() == {}, "an archive is not gone the hour after it came in"
        clock.forward(days=3)
        assert buffer.enforce_retention() == {"predictions": 1}
        buffer.insert(stored(label("l-2", "three"), article("e-2", "a-2"), feedback("f-2", "four"), retrain("r-3"), offset=20))
        enrich(buffer)
        clock.forward(days=8)
        assert buffer.enforce_retention() == {
            "feedback_judgements": 1, "article_enrichment": 1, "example_enrichment": 2, "articles": 1, "examples": 2,
            "feedback": 1, "requests": 2,
        }  # fmt: skip
        assert buffer.table_counts() == {"articles": 1, "examples": 2, "feedback": 1, "predictions": 0, "requests": 1}
        assert (buffer.counts("news-topics").train, buffer.enforce_retention()) == (2, {})
        assert [request.event_id for request in buffer.requests()] == ["r-3"]
    with opened(tmp_path / "b", clock=clock.forward(days=999)) as buffer:
        assert buffer.enforce_retention() == {}, "0 days keeps all"


def test_retention_leaves_what_a_waiting_answer_names(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"retention_days": 10.0, "predictions_days": 2.0})
    with opened(tmp_path / "b", settings, clock=(clock := Moving())) as buffer:
        buffer.insert(stored(article("e-1", "a-1"), article("e-2", "a-2"), prediction("p-1"), prediction("p-2")))
        clock.forward(days=11)
        buffer.insert(stored(feedback("f-1", article_id="a-1"), feedback("f-2", prediction_id="p-1"), offset=20))
        assert buffer.enforce_retention() == {"articles": 1, "predictions": 1}
        assert buffer.resolve_waiting() == 2
        assert buffer.table_counts()["examples"] == 2
        assert buffer.enforce_retention() == {"articles": 1, "predictions": 1}


def test_numbers_are_never_given_again_after_retention_removed_every_row(tmp_path: Path) -> None:
    settings = SETTINGS.model_copy(update={"retention_days": 1.0})
    clock = Moving()
    with opened(tmp_path / "b", settings, clock=clock) as buffer:
        buffer.insert(stored(*(label(f"l-{n}", f"text {n}") for n in range(3)), article("e-1")))
        enrich(buffer)
        enrich(buffer, "articles")
        seen_by_a_run = buffer.counts("news-topics").max_seq
        clock.forward(days=2)
        assert sum(buffer.enforce_retention().values()) == 8
    for _ in range(2):
        with opened(tmp_path / "b", settings, clock=clock) as buffer:
            assert buffer.repairs == ()
            assert buffer.enforce_retention() == {}
    with opened(tmp_path / "b", settings, clock=clock) as buffer:
        buffer.insert(stored(label("l-9", "a later text"), offset=9))
        enrich(buffer)
        counts = buffer.counts("news-topics", after_seq=seen_by_a_run)
        assert (counts.new, counts.train, counts.max_seq) == (1, 1, 5)


def test_a_number_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    with opened(tmp_path / "b"):
        pass
    (tmp_path / "b" / "highest_enriched_seq").write_text("many")
    with pytest.raises(StopError, match="holds 'many' instead of a number"), opened(tmp_path / "b"):
        pass


def test_many_batches_stay_in_few_fragments(tmp_path: Path) -> None:
    with opened(tmp_path / "b") as buffer:
        compacted = 0
        for number in range(100):
            buffer.insert(stored(label(f"l-{number}", f"text {number}"), offset=number))
            compacted += "examples" in buffer.optimize_if_due()
        table = buffer._tables._handles["examples"]
        assert compacted == 5
        assert table.stats()["fragment_stats"]["num_fragments"] <= SETTINGS.optimize_every
        assert buffer.table_counts()["examples"] == 100
        assert {row.row_id: row.text for row in buffer.unenriched("examples", 999)} == {f"l-{n}": f"text {n}" for n in range(100)}
        assert buffer.insert(stored(*(label(f"l-{number}", f"text {number}") for number in range(100)))).inserted == 0


def test_versions_are_removed_once_they_are_old(tmp_path: Path) -> None:
    def manifests() -> list[Path]:
        return sorted((tmp_path / "b" / "examples.lance" / "_versions").glob("*.manifest"))

    with opened(tmp_path / "b", SETTINGS.model_copy(update={"optimize_every": 1})) as buffer:
        for number in range(5):
            buffer.insert(stored(label(f"l-{number}", f"text {number}"), offset=number))
        before = len(manifests())
        assert buffer.optimize_if_due() == ("examples",)
        assert len(manifests()) == before + 1, "the small fragments became one; young versions stay"
        # Lance goes by the time that stands in a version, so the period shrinks here instead of the version growing old.
        time.sleep(0.1)
        buffer.insert(stored(label("l-5", "text 5"), offset=5))
        buffer._upkeep.compact(["examples"], timedelta(milliseconds=10))
        assert len(manifests()) <= 3
        assert buffer.table_counts()["examples"] == 6


def test_positions_are_stored_with_every_row(tmp_path: Path) -> None:
    with opened(tmp_path / "b") as buffer:
        buffer.insert(EVERYTHING)
        rows = rows_of(buffer.folder, "articles", ["topic", "partition", "offset"]).to_pylist()
        assert [Position(**row) for row in rows] == [EVERYTHING[0].position]


def test_a_removed_task_refuses_what_waits_for_it(tmp_path: Path) -> None:
    with opened(tmp_path / "b") as buffer:
        buffer.insert(stored(feedback("f-1", article_id="a-1"), article("e-1")))
    with opened(tmp_path / "b", tasks={ENTITIES.name: TASKS[ENTITIES.name]}) as buffer:
        assert buffer.resolve_waiting() == 1
        fate = buffer.feedback_fate("f-1")
        assert fate is not None
        assert "no longer defined here" in fate.reason


def _crash(*_: object) -> None:
    raise KeyboardInterrupt
