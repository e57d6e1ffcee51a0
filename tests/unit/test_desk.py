"""Answers at the desk: what they become, what two people at once are told, and what is asked next."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from config.errors import UserError
from consumers.events.schemas import Label
from daemon.labelling import lines
from daemon.labelling.answering import annotator_of
from registry.removal import erasure
from tests.support import buffers
from tests.support.cycles import task
from tests.support.desks import HELD_OUT, NAME, Newsroom
from tests.support.tables import rows_of


@pytest.fixture
def news(tmp_path: Path) -> Iterator[Newsroom]:
    with Newsroom(tmp_path) as room:
        yield room


SHOWN = ["row_id", "text", "event_time", "annotator", "selected_by", "origin", "note", "article_id", "settles"]


def examples(news: Newsroom) -> Mapping[str, Mapping[str, Any]]:
    return {row["text"]: row for row in rows_of(news.settings.buffer_dir, "examples", SHOWN).to_pylist()}


def test_held_out_labels_decide_and_keep_who_gave_them(news: Newsroom) -> None:
    news.held_out(3)
    asked = news.look(lane="test")
    assert [item.text[-1] for item in asked.items] == ["0", "1", "2"]
    told = news.desk().label("test", asked.items[0].item, {"label": ["sport"]}, "  clear\n case ")
    assert told.done
    after = news.look(lane="test")
    assert [item.text[-1] for item in after.items] == ["1", "2"]
    assert (after.progress.test_rows, after.progress.needed, after.progress.coming) == (0, 5, 1)
    assert after.progress.words == "0 of 5 test rows, 1 on their way"
    assert [(last.did, last.words) for last in after.last] == [("label", "sport")]
    news.take_in()
    row = examples(news)[asked.items[0].text]
    kept = {name: row[name] for name in ("annotator", "selected_by", "origin", "note", "article_id", "settles")}
    assert kept == {
        "annotator": "anna", "selected_by": "held_out", "origin": "gold", "note": "clear case", "article_id": "a-0",
        "settles": None,
    }  # fmt: skip
    # The text's own time: a label given today makes no old text new.
    assert row["event_time"] == asked.items[0].event_time
    assert news.look(lane="test").progress.test_rows == 1
    assert news.buffer.counts(NAME).test_in_window == 1


def test_an_audit_is_drawn_by_the_text_alone_and_trains_or_decides_by_its_side(news: Newsroom) -> None:
    news.settings = news.settings.model_copy(update={"desk": news.settings.desk.model_copy(update={"audit_per_week": 3})})
    news.articles([f"{HELD_OUT} {number}" for number in range(5)] + [f"train {number}" for number in range(5)])
    drawn = news.look(lane="audit").items
    assert len(drawn) == 3
    assert [one.item for one in drawn] == sorted(one.item for one in drawn)
    for one in drawn:
        news.desk().label("audit", one.item, {"label": ["A"]})
    news.take_in()
    assert news.look(lane="audit").items == ()
    assert {row["selected_by"] for row in examples(news).values()} == {"audit"}
    counts = news.buffer.counts(NAME)
    assert counts.train + counts.test == 3


def test_of_two_who_label_one_text_the_second_is_told_and_a_third_settles_it(news: Newsroom) -> None:
    news.held_out(1)
    (item,) = news.look("anna", "test").items
    assert "bob" not in news.desk("bob").label("test", item.item, {"label": ["A"]}).words
    told = news.desk("anna").label("test", item.item, {"label": ["B"]})
    assert told.done
    assert "bob labelled this text too: A" in told.words
    assert "Adjudication" in told.words
    news.take_in()
    (disputed,) = news.look("carl").items
    assert disputed.lane == "adjudication"
    assert [(one.annotator, one.words) for one in disputed.said] == [("bob", "A"), ("anna", "B")]
    news.desk("carl").label("adjudication", disputed.item, {"label": ["A"]})
    news.take_in()
    assert news.look("carl", "adjudication").items == ()
    rows = rows_of(news.settings.buffer_dir, "examples", SHOWN).to_pylist()
    newest = max(rows, key=lambda row: row["row_id"])
    assert (newest["annotator"], newest["settles"], newest["selected_by"]) == ("carl", True, "held_out")
    (agreed,) = news.look("carl").agreement
    assert (agreed.between, agreed.compared, agreed.same) == (("anna", "bob"), 1, 0)


def test_undo_opens_the_last_answer_and_the_next_one_counts(news: Newsroom) -> None:
    news.held_out(2)
    first = news.look(lane="test").items[0]
    news.desk().label("test", first.item, {"label": ["A"]})
    last = news.look().last[0]
    again = news.look(lane=last.lane, item=last.item).items[0]
    assert again.yours is not None
    assert (again.text, again.yours.words) == (first.text, "A")
    news.desk().label("test", first.item, {"label": ["B"]})
    news.take_in()
    frozen = news.buffer.freeze(news.task, run_id="r", folder=news.settings.data_dir / "frozen", learnt=frozenset())
    assert [json.loads(target) for target in frozen.rows("test")["target"].to_pylist()] == [{"label": "B"}]
    assert news.look().agreement == ()


def test_a_skip_is_remembered_and_of_one_person(news: Newsroom) -> None:
    news.held_out(2)
    first, second = news.look(lane="test").items
    news.desk().skip("test", first.item)
    assert [one.item for one in news.look(lane="test").items] == [second.item]
    assert len(news.look("bob", "test").items) == 2
    assert news.look(lane="test", item=first.item).items[0].text == first.text


def test_a_note_stands_with_a_skip_and_with_cannot_tell(news: Newsroom) -> None:
    news.held_out(3)
    first, second, third = (one.item for one in news.look(lane="test").items)
    assert lines.answer(news.desk(), {"item": first, "lane": "test", "skip": True, "note": " a \n mess "}).done
    assert news.desk().skip("test", second).done
    assert news.desk().cannot_tell("disagreement", third, "too short").done
    assert [one.said for one in news.registry.desk.of(NAME)] == [
        {"note": "a mess"}, None, {"cannot_tell": True, "note": "too short"},
    ]  # fmt: skip
    assert sorted(last.words for last in news.look(lane="test").last) == ["cannot tell", "skipped", "skipped"]


def test_of_a_text_that_is_not_stored_nothing_is_noted(news: Newsroom) -> None:
    assert not news.desk().skip("test", "0" * 64).done
    assert not news.desk().cannot_tell("disagreement", "0" * 64).done
    assert news.registry.desk.of(NAME) == []


def test_a_conflict_is_decided_once_and_who_is_slower_is_told(news: Newsroom) -> None:
    news.learn([("train-1", "text", "A")])
    ids = news.disagreement("A", "B")
    (item,) = news.look(lane="conflicts").items
    assert {held.event_id: held.words for held in item.held} == {ids[0]: "A", ids[1]: "B"}
    assert news.desk("bob").decide(item.item, ids[1]).done
    told = news.desk("anna").decide(item.item, None)
    assert not told.done
    assert told.words.startswith(f"bob accepted {ids[1]}")
    assert news.look(lane="conflicts").items == ()
    # A mind may be changed.
    assert news.desk("bob").decide(item.item, None).done
    assert news.desk("bob").decide(item.item, ids[1]).done
    told = [(one.action, one.actor, one.subject) for one in news.registry.audit.newest(NAME, 10)]
    assert [(action, subject) for action, _actor, subject in told] == [
        ("feedback.accept", "1 feedback event"), ("feedback.reject", "2 feedback events"),
        ("feedback.accept", "1 feedback event"),
    ], "who was slower has done nothing"  # fmt: skip
    assert all(actor.startswith("bob (") for _action, actor, _subject in told)
    news.take_in()
    assert news.buffer.quarantined(NAME) == []
    bodies = rows_of(news.settings.buffer_dir, "requests", ["body"])["body"].to_pylist()
    assert {json.loads(body)["annotator"] for body in bodies} == {"bob"}


def test_a_decision_that_nobody_applied_is_asked_for_again(news: Newsroom) -> None:
    ids = news.disagreement("A", "B")
    (item,) = news.look(lane="conflicts").items
    news.desk("bob").decide(item.item, ids[0])
    news.clock.forward(timedelta(minutes=11).total_seconds())
    assert [one.item for one in news.look(lane="conflicts").items] == [item.item]
    assert news.desk("anna").decide(item.item, ids[0]).done


@pytest.mark.parametrize(
    ("given", "told"),
    [({}, "no label is chosen"), ({"label": ["A", "B"]}, "2 labels are chosen"), ({"label": ["\x07"]}, "label")],
)
def test_a_form_that_does_not_fit_sends_nothing(news: Newsroom, given: dict[str, list[str]], told: str) -> None:
    news.held_out(1)
    (item,) = news.look(lane="test").items
    with pytest.raises(UserError, match=told):
        news.desk().label("test", item.item, given)
    assert news.look(lane="test").items == (item,)


def test_what_is_not_there_is_refused(news: Newsroom) -> None:
    news.held_out(1)
    with pytest.raises(UserError, match="not stored any more"):
        news.desk().label("test", "0" * 64, {"label": ["A"]})
    with pytest.raises(UserError, match="there is no lane"):
        news.look(lane="nowhere")
    with pytest.raises(UserError, match="asks about feedback"):
        news.desk().label("conflicts", "0" * 64, {"label": ["A"]})
    with pytest.raises(UserError, match="no such feedback"):
        news.desk().decide("0" * 64, None)


@pytest.mark.parametrize("name", ["", "  ", "a\u202eb", "key:desk-7", "x" * 101])
def test_a_name_is_printable_and_nobody_takes_a_keys(name: str) -> None:
    with pytest.raises(UserError, match="annotator"):
        annotator_of(name)
    assert annotator_of("key:desk-7", key=True) == "key:desk-7"


def test_an_older_revision_and_a_poor_text_are_not_asked_about(news: Newsroom) -> None:
    news.articles([f"{HELD_OUT} as it was"], hours=5)
    news.buffer.insert(buffers.stored(buffers.article("new", "a-0", f"{HELD_OUT} as it is"), offset=5_000))
    news.place()
    buffers.take(news.buffer, buffers.article("poor", "p", f"{HELD_OUT} poor"), offset=6_000)
    buffers.enrich(news.buffer, "articles", split=lambda _row: "test", quality=0.1)
    assert [one.text for one in news.look(lane="test").items] == [f"{HELD_OUT} as it is"]


def test_an_erasure_leaves_nothing_at_the_desk(news: Newsroom) -> None:
    news.held_out(3)
    first, second, third = news.look(lane="test").items
    news.desk().label("test", first.item, {"label": ["A"]})
    news.desk().label("test", second.item, {"label": ["A"]})
    news.desk().skip("test", third.item)
    done = news.registry.desk.of(NAME)
    erasure.mark_versions(news.registry, [str(done[0].event_id)])
    assert [one.text_sha256 for one in news.registry.desk.of(NAME)] == [second.item]


def test_a_text_that_is_not_shown_whole_has_no_entities_marked(tmp_path: Path) -> None:
    spec = task(kind="ner", backend="spacy", base_model="blank:en", promotion={"metric": "entity_f1"}, trigger={})
    with Newsroom(tmp_path, spec) as news:
        news.settings = news.settings.model_copy(update={"desk": news.settings.desk.model_copy(update={"text_chars": 20})})
        news.articles([f"{HELD_OUT} Merkel met the ECB", f"{HELD_OUT} Kohl"])
        long, short = news.look(lane="test").items
        assert (long.cut, len(long.text)) == (True, 20)
        with pytest.raises(UserError, match="skip it"):
            news.desk().label("test", long.item, {"spans": []})
        told = news.desk().label("test", short.item, {"spans": ["PERSON: Kohl"]})
        assert told.words == "PERSON: Kohl."


def test_labels_of_older_versions_keep_their_hash() -> None:
    said = buffers.label("l-1")
    assert isinstance(said, Label)
    assert not {"annotator", "selected_by", "settles", "note"} & json.loads(said.model_dump_json(exclude_none=True)).keys()
