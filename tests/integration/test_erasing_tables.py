"""Erasing in real tables: what belongs to a user or an article goes, its bytes too, and everything else stays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import lancedb
import pytest

from consumers.buffer.writer import BufferWriter
from consumers.erasure.requests import Derived, Erasures
from consumers.events.schemas import AnyEvent, Erase
from tests.support import markers
from tests.support.buffers import (
    NOW,
    article,
    enrich,
    feedback,
    judge,
    label,
    opened,
    prediction,
    retrain,
    review,
    stored,
)
from tests.support.tables import rows_of

WORD = "xylomarkzebra"
NOW_KEEP = timedelta(0)
EVERYTHING = ("articles", "examples", "feedback", "predictions", "requests", "article_enrichment", "example_enrichment")


@pytest.fixture
def erasures(tmp_path: Path) -> Iterator[Erasures]:
    with closing(Erasures(tmp_path)) as made:
        yield made


@pytest.fixture
def buffer(tmp_path: Path, erasures: Erasures) -> Iterator[BufferWriter]:
    with opened(tmp_path / "b", erasures=erasures) as made:
        yield made


def fill(buffer: BufferWriter, *events: AnyEvent) -> None:
    """Store, join and enrich."""
    buffer.insert(stored(*events))
    buffer.resolve_waiting()
    enrich(buffer, "articles")
    enrich(buffer)


def ask(erasures: Erasures, **named: str) -> None:
    erasures.request(Erase(event_id=f"erase-{len(erasures.all())}", occurred_at=NOW, **named))


def keys(buffer: BufferWriter, *tables: str) -> dict[str, set[str]]:
    names = {"articles": "event_id", "feedback": "event_id", "predictions": "prediction_id", "requests": "event_id"}
    return {
        name: set(rows_of(buffer.folder, name, [names.get(name, "row_id")])[names.get(name, "row_id")].to_pylist())
        for name in tables or EVERYTHING
    }


def rewrite(buffer: BufferWriter) -> dict[str, int]:
    while (versions := buffer.rewrite_erased()) is None:
        pass
    return versions


def test_a_user_takes_along_answers_and_what_only_they_were_asked(buffer: BufferWriter, erasures: Erasures) -> None:
    fill(
        buffer,
        article("a-1", "news"),
        prediction("p-own", "said to the app"), prediction("p-again", "said to the app"), prediction("p-other", "something else"),
        prediction("p-shared", "shown to two"), prediction("p-news", "The ECB acted.", article_id="news"),
        feedback("f-text", "said to the app", user_id="anna"), feedback("f-own", prediction_id="p-own", user_id="anna"),
        feedback("f-shared", prediction_id="p-shared", user_id="anna"),
        feedback("f-news", prediction_id="p-news", user_id="anna"),
        feedback("f-waits", article_id="never-came", user_id="anna"),
        feedback("f-of-bert", prediction_id="p-shared", user_id="bert"), feedback("f-same", "said to the app", user_id="bert"),
        label("gold", "said to the app"), retrain("anna"),
    )  # fmt: skip
    ask(erasures, user_id="anna")
    assert buffer.holds_erased()
    assert buffer.erase() > 0
    assert keys(buffer) == {
        "articles": {"a-1"},
        "examples": {"f-of-bert", "f-same", "gold"},
        "feedback": {"f-of-bert", "f-same"},
        "predictions": {"p-other", "p-shared", "p-news"},
        "requests": {"anna"},
        "article_enrichment": keys(buffer, "article_enrichment")["article_enrichment"],
        "example_enrichment": {"f-of-bert", "f-same", "gold"},
    }
    assert erasures.work("example") == {"f-text", "f-own", "f-shared", "f-news"}
    assert erasures.work("event") == {"f-text", "f-own", "f-shared", "f-news", "f-waits"}
    assert not buffer.holds_erased()


def test_what_is_asked_for_while_another_erasure_is_under_way_takes_along_whatever_holds_its_text(
    buffer: BufferWriter, erasures: Erasures, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(
        buffer,
        article("a-1", "gone", "First of all."), prediction("p-text", "First of all."), label("l-text", "First of all."),
        feedback("f-1", "said to the app", user_id="anna"), label("l-other", "something else"),
    )  # fmt: skip
    ask(erasures, user_id="anna")
    derive = erasures.derive

    def asked_meanwhile(found: Iterable[Derived]) -> int:
        named = derive(found)
        if len(erasures.all()) == 1:
            ask(erasures, article_id="gone")
        return named

    monkeypatch.setattr(erasures, "derive", asked_meanwhile)
    buffer.erase()
    assert keys(buffer, "articles", "examples", "predictions") == {
        "articles": set(),
        "examples": {"l-other"},
        "predictions": set(),
    }
    assert not buffer.holds_erased()


def test_an_article_takes_along_every_revision_and_whatever_holds_its_text(buffer: BufferWriter, erasures: Erasures) -> None:
    fill(
        buffer,
        article("a-1", "gone", "First of all."), article("a-2", "gone", "Second thoughts."),
        article("a-3", "gone", "A wire report."),
        article("b-1", "stays", "Another story."), article("b-2", "stays", "A wire report."),
        prediction("p-named", "First of", article_id="gone"), prediction("p-text", "Second thoughts."),
        prediction("p-wire", "A wire report."), prediction("p-stays", "Another story.", article_id="stays"),
        label("l-named", None, article_id="gone"), label("l-own", "a summary", article_id="gone"),
        label("l-text", "First of all."), label("l-wire", "A wire report."), label("l-stays", None, article_id="stays"),
        label("l-same", "First of all.", article_id="stays"),
        feedback("f-cites", prediction_id="p-named", user_id="bert"), feedback("f-text", "Second thoughts.", user_id="bert"),
        feedback("f-cites-text", prediction_id="p-text", user_id="bert"),
        feedback("f-stays", prediction_id="p-stays", user_id="bert"), feedback("f-waits", article_id="gone", user_id="bert"),
    )  # fmt: skip
    ask(erasures, article_id="gone")
    buffer.erase()
    left = keys(buffer, "articles", "examples", "feedback", "predictions")
    assert left == {
        "articles": {"b-1", "b-2"},
        "examples": {"l-wire", "l-stays", "l-same", "f-stays"},
        "feedback": {"f-stays", "l-stays"},
        "predictions": {"p-wire", "p-stays"},
    }
    assert keys(buffer, "example_enrichment")["example_enrichment"] == left["examples"]
    assert len(keys(buffer, "article_enrichment")["article_enrichment"]) == 2


def test_whatever_comes_again_stays_out_and_its_neighbours_come_in(buffer: BufferWriter, erasures: Erasures) -> None:
    events = [
        article("a-1", "gone", "its text"), prediction("p-1", "said"), feedback("f-1", prediction_id="p-1", user_id="anna"),
        feedback("f-2", article_id="gone", user_id="bert"),
    ]  # fmt: skip
    fill(buffer, *events)
    ask(erasures, user_id="anna", article_id="gone")
    buffer.erase()
    late = [
        *events, article("a-9", "gone", "a later revision"), prediction("p-2", "its text"), label("l-1", "its text"),
        feedback("f-9", "said", user_id="anna"), feedback("f-8", "anything", prediction_id="p-1", user_id="bert"),
    ]  # fmt: skip
    outcome = buffer.insert(stored(*late, label("l-2", "its text", article_id="another"), label("l-3", "said"), offset=100))
    assert [one.event for one in outcome.erased] == late
    assert outcome.inserted == 2
    assert keys(buffer, "examples")["examples"] == {"l-2", "l-3"}
    assert erasures.forget("article", "gone")
    assert buffer.insert(stored(article("a-9", "gone", "a later revision"), label("l-1", "its text"), offset=200)).erased == ()


def test_the_bytes_go_with_the_old_versions_and_not_before(tmp_path: Path, buffer: BufferWriter, erasures: Erasures) -> None:
    told = f"{WORD} " * 30
    many = [label(f"l-{number}", f"text {number}") for number in range(500)]
    fill(
        buffer, *many, article("a-1", "gone", told), article("a-2", "stays"), prediction("p-1", told, article_id="gone"),
        feedback("f-1", told, user_id="anna", name=WORD),
    )  # fmt: skip
    folder = tmp_path / "b"
    assert {path.split("/")[0] for path in markers.places_of([WORD], folder)} == {
        "articles.lance", "predictions.lance", "examples.lance", "feedback.lance", "feedback_judgements.lance",
    }  # fmt: skip
    readers = [lancedb.connect(folder).open_table(name) for name in ("articles", "examples")]
    for reader in readers:
        reader.checkout(reader.version)
    ask(erasures, user_id="anna", article_id="gone")
    buffer.erase()
    versions = rewrite(buffer)
    newest = {name: buffer._tables._handles[name].to_arrow() for name in EVERYTHING}
    assert not any(WORD in str(table.to_pylist()) for table in newest.values())
    # Another process reads on from its version until the hour is over.
    oldest = buffer.purge(timedelta(hours=1))
    assert any(oldest[name] < versions[name] for name in versions)
    assert [reader.count_rows() for reader in readers] == [2, 501]
    assert markers.places_of([WORD], folder)
    with pytest.warns(UserWarning, match="cleanup_older_than=0"):
        oldest = buffer.purge(NOW_KEEP)
    assert all(oldest[name] >= at for name, at in versions.items())
    assert markers.places_of([WORD], folder) == {}
    assert {key for key in keys(buffer, "examples")["examples"] if key.startswith("l-")} == {event.event_id for event in many}


def test_what_a_killed_write_left_goes_too(tmp_path: Path, buffer: BufferWriter, erasures: Erasures) -> None:
    fill(buffer, label("l-1", "kept"))
    left_over = [tmp_path / "b" / "examples.lance" / "data" / name for name in ("0123456789abcdef.lance", ".tmpZi5iir")]
    for path in left_over:
        path.write_bytes(WORD.encode())
    assert markers.places_of([WORD], tmp_path / "b") == {
        f"examples.lance/data/{path.name}": {markers.UNREADABLE, WORD} for path in left_over
    }
    ask(erasures, user_id="anna")
    buffer.erase()
    rewrite(buffer)
    buffer.purge(timedelta(hours=1))
    assert not any(path.exists() for path in left_over)
    assert keys(buffer, "examples")["examples"] == {"l-1"}


def test_rows_that_a_merge_or_retention_left_in_a_file_are_rewritten_away(tmp_path: Path, erasures: Erasures) -> None:
    """A row that was replaced or removed before anybody asked lies in its fragment still."""
    folder = tmp_path / "b"
    with opened(folder, erasures=erasures) as buffer:
        waiting = [feedback(f"f-{number}", prediction_id=f"p-{number}", user_id="bert") for number in range(300)]
        fill(buffer, *waiting, feedback("f-anna", article_id="news", user_id=f"anna-{WORD}"))
        fill(buffer, article("a-1", "news"))
        assert buffer.feedback_fate("f-anna").status == "joined"  # type: ignore[union-attr]  # it is there
        ask(erasures, user_id=f"anna-{WORD}")
        buffer.erase()
        rewrite(buffer)
        with pytest.warns(UserWarning, match="cleanup_older_than=0"):
            buffer.purge(NOW_KEEP)
        assert markers.places_of([WORD], folder) == {}
        assert len(keys(buffer, "feedback")["feedback"]) == 300
    with opened(folder, erasures=erasures) as buffer:
        assert buffer.repairs == ()


def test_numbers_given_to_erased_rows_are_not_given_again(tmp_path: Path, erasures: Erasures) -> None:
    with opened(tmp_path / "b", erasures=erasures) as buffer:
        fill(buffer, label("l-1", "kept"), feedback("f-1", "said", user_id="anna"))
        highest = buffer.counts("news-topics").max_seq
        ask(erasures, user_id="anna")
        buffer.erase()
        assert buffer.counts("news-topics").train == 1
    with opened(tmp_path / "b", erasures=erasures) as buffer:
        fill(buffer, label("l-2", "later"))
        assert buffer.counts("news-topics", after_seq=highest).new == 1


def test_erasing_twice_changes_nothing_more(buffer: BufferWriter, erasures: Erasures) -> None:
    fill(buffer, label("l-1", "kept"), feedback("f-1", "said", user_id="anna"))
    ask(erasures, user_id="anna")
    assert buffer.erase() == 4
    assert buffer.erase() == 0
    ask(erasures, user_id="anna")
    assert buffer.erase() == 0
    assert keys(buffer, "examples")["examples"] == {"l-1"}


def test_judgements_of_a_users_answers_and_decisions_about_the_user_go_too(buffer: BufferWriter, erasures: Erasures) -> None:
    fill(
        buffer,
        feedback("f-anna", "a text of anna", user_id="anna"), feedback("f-ben", "a text of ben", user_id="ben"),
        review("r-anna", "reject", user_id="anna"), review("r-ben", "reject", user_id="ben"),
        review("r-ids", "accept", event_ids=("f-anna", "f-ben")),
    )  # fmt: skip
    judge(buffer)
    assert keys(buffer, "feedback_judgements") == {"feedback_judgements": {"f-anna", "f-ben"}}
    ask(erasures, user_id="anna")
    buffer.erase()
    left = keys(buffer, "examples", "feedback", "feedback_judgements", "requests")
    assert left == {
        "examples": {"f-ben"}, "feedback": {"f-ben"}, "feedback_judgements": {"f-ben"}, "requests": {"r-ben", "r-ids"},
    }  # fmt: skip
    judge(buffer)
    assert keys(buffer, "feedback_judgements") == {"feedback_judgements": {"f-ben"}}
