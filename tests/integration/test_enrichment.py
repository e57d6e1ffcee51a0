"""Enrichment on the real buffer: what is found out is stored once, survives a restart, and keeps held-out stories apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from config.sections import EnrichSettings
from config.settings import load_settings
from consumers.buffer.open import open_writer
from consumers.buffer.writer import BufferWriter
from consumers.enrichment.enrich import Enricher, EnrichOutcome
from consumers.enrichment.stories import is_test, story_id_of
from consumers.events.schemas import AnyEvent, Article, Feedback, Label, PredictionMade, WeakLabelsWithdrawn, content_sha256
from consumers.log.protocols import Position
from consumers.rows.arriving.event_rows import Stored
from tests.support.buffers import FEEDBACK
from tests.support.encoders import WordEncoder
from tests.support.sample_events import TASKS

START = datetime(2024, 5, 1, tzinfo=UTC)
TOPIC = "news-topics"
LONG = "the central bank raised its main rate by a quarter point on thursday and said that inflation falls slowly"


def enrich_settings(**changes: Any) -> EnrichSettings:
    return load_settings().enrich.model_copy(update=changes)


@contextmanager
def opened(folder: Path) -> Iterator[BufferWriter]:
    buffer = open_writer(folder, load_settings().buffer, tasks=TASKS)
    try:
        yield buffer
    finally:
        buffer.close()


def store(buffer: BufferWriter, *events: AnyEvent) -> None:
    outcome = buffer.insert([Stored(event, Position("t", 0, number)) for number, event in enumerate(events)])
    assert outcome.inserted == len(events)


def label(name: str, text: str, *, day: float = 0, target: str = "economy", anchor: bool = False) -> Label:
    return Label(
        event_id=name, occurred_at=START + timedelta(days=day), task=TOPIC, text=text, target={"label": target}, anchor=anchor
    )


def article(name: str, text: str, *, day: float = 0) -> Article:
    return Article(event_id=f"e-{name}", occurred_at=START + timedelta(days=day), article_id=name, title=text)


def all_steps(enricher: Enricher) -> EnrichOutcome:
    """Step until nothing waits; return the sum."""
    total = EnrichOutcome()
    while (one := enricher.step()) != EnrichOutcome():
        total = EnrichOutcome(
            *(getattr(total, name) + getattr(one, name) for name in ("resolved", "articles", "examples", "dropped"))
        )
    return total


def splits(buffer: BufferWriter) -> Mapping[str, str]:
    return {member.row_id: member.split for member in buffer.recent_stories(START + timedelta(days=400), timedelta(days=800))}


def on_side(side: str, variants: list[str]) -> str:
    return next(text for text in variants if is_test(story_id_of(content_sha256(text)), 0.2) == (side == "test"))


def test_every_text_is_enriched_once_and_counts(tmp_path: Path) -> None:
    encoder = WordEncoder()
    with opened(tmp_path) as buffer:
        store(buffer, *(label(f"l-{n}", f"subject {n} does thing {n} near place {n}") for n in range(150)))
        store(buffer, *(article(f"a-{n}", f"article {n} about matter {n}") for n in range(10)))
        assert all_steps(Enricher(buffer, enrich_settings(), FEEDBACK, encoder=encoder)) == EnrichOutcome(
            articles=10, examples=150
        )
        counts = buffer.counts(TOPIC)
        assert (counts.unenriched, counts.train + counts.test) == (0, 150)
        assert 10 < counts.test < 60
        assert Enricher(buffer, enrich_settings(), FEEDBACK, encoder=encoder).step() == EnrichOutcome()
    assert len(encoder.encoded) == 160


def test_an_example_of_an_article_reuses_its_vector_and_shares_its_story(tmp_path: Path) -> None:
    encoder = WordEncoder()
    with opened(tmp_path) as buffer:
        enricher = Enricher(buffer, enrich_settings(), FEEDBACK, encoder=encoder)
        feedback = Feedback(
            event_id="f-1",
            occurred_at=START,
            task=TOPIC,
            article_id="a-1",
            target={"label": "economy"},
            user_id="u",
            verdict="correction",
        )
        store(buffer, feedback)
        assert enricher.step() == EnrichOutcome()
        store(buffer, article("a-1", LONG))
        assert all_steps(enricher) == EnrichOutcome(resolved=1, articles=1, examples=1)
        members = buffer.equal_texts([content_sha256(LONG)])
    assert encoder.encoded == [LONG]
    assert len(members) == 2
    assert len({member.story_id for member in members}) == 1


def test_an_equal_text_a_year_later_shares_its_story_even_after_a_restart(tmp_path: Path) -> None:
    near = LONG.replace("thursday", "friday")
    with opened(tmp_path) as buffer:
        store(buffer, label("l-1", LONG), label("l-2", near))
        all_steps(Enricher(buffer, enrich_settings(), FEEDBACK, encoder=WordEncoder()))
    with opened(tmp_path) as buffer:
        store(buffer, label("l-3", near, day=365))
        all_steps(Enricher(buffer, enrich_settings(), FEEDBACK, encoder=WordEncoder()))
        members = buffer.equal_texts([content_sha256(LONG), content_sha256(near)])
        assert buffer.counts(TOPIC).train + buffer.counts(TOPIC).test == 2, "the third is a duplicate"
    assert {member.row_id for member in members} == {"l-1", "l-2", "l-3"}
    assert len({member.story_id for member in members}) == 1


def test_where_nothing_was_written_an_idle_step_reads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path) as buffer:
        enricher = Enricher(buffer, enrich_settings(), FEEDBACK, encoder=WordEncoder())
        store(buffer, label("l1", LONG))
        all_steps(enricher)
        with monkeypatch.context() as patched:
            patched.setattr(BufferWriter, "resolve_waiting", lambda _buffer: pytest.fail("it looked"))
            assert enricher.step() == EnrichOutcome()
        buffer.insert([Stored(label("l2", LONG + " again"), Position("t", 0, 7))])
        assert all_steps(enricher).examples == 1


def test_rows_of_a_write_that_failed_after_it_reached_the_table_are_enriched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path) as buffer:
        enricher = Enricher(buffer, enrich_settings(), FEEDBACK, encoder=WordEncoder())
        assert enricher.step() == EnrichOutcome()
        handle = buffer._tables._handles["examples"]
        add = handle.add

        def reaches_the_table_and_fails(rows: Any) -> None:
            add(rows)
            message = "lance error: LanceError(IO)"
            raise RuntimeError(message)

        monkeypatch.setattr(handle, "add", reaches_the_table_and_fails)
        with pytest.raises(RuntimeError, match="LanceError"):
            store(buffer, label("l1", LONG))
        assert all_steps(enricher).examples == 1


def apart() -> tuple[str, str]:
    """Return a training and a held-out text that share no word; a text of both shares half its words with each."""
    train = on_side("train", [f"alpha{n} beta gamma delta" for n in range(99)])
    return train, on_side("test", [f"one{n} two three four" for n in range(99)])


def test_a_bridging_text_drops_the_train_story(tmp_path: Path) -> None:
    train, test = apart()
    with opened(tmp_path) as buffer:
        enricher = Enricher(buffer, enrich_settings(story_similarity=0.6), FEEDBACK, encoder=WordEncoder(dimensions=512))
        store(buffer, label("train", train), label("test", test))
        all_steps(enricher)
        assert splits(buffer) == {"train": "train", "test": "test"}
        store(buffer, label("bridge", f"{train} {test}", day=1))
        with capture_logs() as logs:
            assert all_steps(enricher).dropped == 1
        assert splits(buffer) == {"train": "dropped", "test": "test", "bridge": "test"}
        assert buffer.counts(TOPIC).train == 0
    assert [log["tied_by"] for log in logs if log["event"] == "story_dropped"] == ["bridge"]


def test_a_bridge_in_the_same_batch_drops_too(tmp_path: Path) -> None:
    train, test = apart()
    with opened(tmp_path) as buffer:
        store(buffer, label("train", train), label("test", test), label("bridge", f"{train} {test}", day=1))
        all_steps(Enricher(buffer, enrich_settings(story_similarity=0.6), FEEDBACK, encoder=WordEncoder(dimensions=512)))
        assert splits(buffer) == {"train": "dropped", "test": "test", "bridge": "test"}


def test_a_crash_between_dropping_and_storing_leaves_nothing_mixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train, test = apart()
    settings = enrich_settings(story_similarity=0.6)
    with opened(tmp_path) as buffer:
        store(buffer, label("train", train), label("test", test))
        all_steps(Enricher(buffer, settings, FEEDBACK, encoder=WordEncoder(dimensions=512)))
        store(buffer, label("bridge", f"{train} {test}", day=1))
        with monkeypatch.context() as patch:
            patch.setattr(buffer, "apply_enrichment", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                Enricher(buffer, settings, FEEDBACK, encoder=WordEncoder(dimensions=512)).step()
    with opened(tmp_path) as buffer:
        all_steps(Enricher(buffer, settings, FEEDBACK, encoder=WordEncoder(dimensions=512)))
        assert splits(buffer) == {"train": "dropped", "test": "test", "bridge": "test"}


@pytest.mark.parametrize("failing", ["drop_from_training", "apply_enrichment"])
def test_a_failed_write_is_made_up_for_by_the_next_attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    train, test = apart()
    with opened(tmp_path) as buffer:
        enricher = Enricher(buffer, enrich_settings(story_similarity=0.6), FEEDBACK, encoder=WordEncoder(dimensions=512))
        store(buffer, label("train", train), label("test", test))
        all_steps(enricher)
        store(buffer, label("bridge", f"{train} {test}", day=1))
        with monkeypatch.context() as patch:
            patch.setattr(buffer, failing, lambda *_: (_ for _ in ()).throw(OSError("disk full")))
            with pytest.raises(OSError, match="disk full"):
                enricher.step()
        all_steps(enricher)
        assert splits(buffer) == {"train": "dropped", "test": "test", "bridge": "test"}


def test_predictions_are_compacted_though_nothing_waits_for_enrichment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path) as buffer:
        compacted: list[str] = []
        optimize = buffer.optimize_if_due
        monkeypatch.setattr(buffer, "optimize_if_due", lambda: compacted.extend(optimize()))
        for number in range(load_settings().buffer.optimize_every):
            made = PredictionMade(
                event_id=f"p-{number}", prediction_id=f"p-{number}", occurred_at=START, task=TOPIC, model_version="v1", text=LONG,
                answer={"label": "economy"},
            )  # fmt: skip
            store(buffer, made)
        assert Enricher(buffer, enrich_settings(), FEEDBACK, encoder=WordEncoder()).step() == EnrichOutcome()
        assert compacted == ["predictions"]


def test_an_anchor_label_takes_its_story_out_of_training(tmp_path: Path) -> None:
    train = on_side("train", [f"alpha{n} beta gamma delta epsilon zeta" for n in range(99)])
    with opened(tmp_path) as buffer:
        enricher = Enricher(buffer, enrich_settings(), FEEDBACK, encoder=WordEncoder())
        store(buffer, label("train", train))
        all_steps(enricher)
        store(buffer, label("anchor", train, day=1, anchor=True), label("again", train, day=2, target="sport"))
        all_steps(enricher)
        assert splits(buffer) == {"train": "dropped", "anchor": "anchor", "again": "dropped"}


def test_a_new_encoder_never_compares_its_vectors_with_the_old_ones(tmp_path: Path) -> None:
    with opened(tmp_path) as buffer:
        store(buffer, label("old", LONG))
        all_steps(Enricher(buffer, enrich_settings(), FEEDBACK, encoder=WordEncoder("words@1", 64)))
        store(buffer, label("new", LONG.upper(), day=1), label("same", LONG, day=2, target="sport"))
        all_steps(Enricher(buffer, enrich_settings(), FEEDBACK, encoder=WordEncoder("words@2", 32)))
        members = {m.row_id: m for m in buffer.recent_stories(START + timedelta(days=9), timedelta(days=99))}
    assert (members["same"].encoder_id, len(members["same"].embedding)) == ("words@2", 32)
    assert members["same"].story_id == members["old"].story_id
    assert members["new"].story_id != members["old"].story_id


def test_quality_and_language_are_stored_and_poor_rows_do_not_count(tmp_path: Path) -> None:
    boilerplate = "Sign up for our newsletter. Privacy policy. Terms of use. All rights reserved. Accept cookies."
    good = on_side("train", [f"{LONG} again {n}" for n in range(99)])
    poor = on_side("train", [f"{boilerplate} Page {n}" for n in range(99)])
    with opened(tmp_path) as buffer:
        store(buffer, label("good", good), label("poor", poor))
        all_steps(Enricher(buffer, enrich_settings(), FEEDBACK, encoder=WordEncoder()))
        assert splits(buffer) == {"good": "train", "poor": "train"}
        assert buffer.counts(TOPIC).train == 1


def test_the_packaged_encoder_joins_near_duplicates_and_keeps_others_apart(tmp_path: Path) -> None:
    texts = {
        "l-1": "Utah judge orders new congressional maps for 2026 in another redistricting twist",
        "l-2": "Utah judge orders state to draw new congressional maps before 2026",
        "l-3": "Chefs share their favourite recipes for a quick summer dinner",
    }
    with opened(tmp_path) as buffer:
        store(buffer, *(label(name, text) for name, text in texts.items()))
        assert all_steps(Enricher(buffer, enrich_settings(), FEEDBACK)).examples == 3
        members = {m.row_id: m for m in buffer.equal_texts([content_sha256(text) for text in texts.values()])}
    assert members["l-1"].story_id == members["l-2"].story_id != members["l-3"].story_id
    assert members["l-1"].encoder_id.startswith("minilm@")
    assert len(members["l-1"].embedding) == 384


def test_enrichment_takes_withdrawn_weak_labels_out_of_training(tmp_path: Path) -> None:
    with opened(tmp_path / "buffer") as buffer:
        weak = label("weak-1", LONG).model_copy(update={"origin": "weak", "weight": 0.4})
        gone = WeakLabelsWithdrawn(event_id="gone", occurred_at=START, task=TOPIC, event_ids=("weak-1", "never-came"), reason="x")
        store(buffer, article("a-1", LONG), weak)
        enricher = Enricher(buffer, enrich_settings(test_fraction=0.0), FEEDBACK, encoder=WordEncoder())
        all_steps(enricher)
        assert splits(buffer)["weak-1"] == "train"
        buffer.insert([Stored(gone, Position("t", 0, 9))])
        with capture_logs() as logged:
            enricher.step()
        assert [entry["rows"] for entry in logged if entry["event"] == "weak_labels.withdrawn"] == [1]
        assert buffer.counts(TOPIC).train == 0
        # Another label of the very text trains all the same.
        again = Enricher(buffer, enrich_settings(test_fraction=0.0), FEEDBACK, encoder=WordEncoder())
        buffer.insert([Stored(label("l-1", LONG), Position("t", 0, 10))])
        all_steps(again)
        assert buffer.counts(TOPIC).train == 1


def test_a_random_answer_is_a_test_row_unless_its_document_trains_and_a_raised_share_moves_nobody(tmp_path: Path) -> None:
    texts = ["oil prices fall in asia", "a minister resigns over taxes", "the cup final ends in penalties"]
    shares: dict[str | None, float] = {TOPIC: 1e-6, None: 1e-6}
    with opened(tmp_path) as buffer:
        enricher = Enricher(buffer, enrich_settings(), FEEDBACK, encoder=WordEncoder(), share=lambda task: shares[task])
        store(buffer, *(article(f"a-{number}", text) for number, text in enumerate(texts)))
        all_steps(enricher)
        shares |= dict.fromkeys(shares, 0.999999)
        store(buffer, about(label("known", texts[2]), "a-2"))
        all_steps(enricher)
        store(
            buffer, about(label("plain", texts[0]), "a-0"), about(label("drawn", texts[1]), "a-1", selected_by="random"),
            about(label("late", texts[2]), "a-2", selected_by="random"),
        )  # fmt: skip
        all_steps(enricher)
        assert splits(buffer) | {"known": "train", "plain": "train", "late": "train", "drawn": "test"} == splits(buffer)
        assert [buffer.documents()[0].side(f"a-{number}") for number in range(3)] == ["train", "test", "train"]
        store(buffer, label("new", "something quite different happens here"))
        all_steps(enricher)
        assert splits(buffer)["new"] == "test"


def about(one: Label, article_id: str, **more: Any) -> Label:
    return one.model_copy(update={"article_id": article_id, **more})
