"""Importers, quality and stories on real sets."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from config.settings import load_settings
from consumers.buffer.open import open_writer
from consumers.enrichment.enrich import Enricher
from consumers.enrichment.stories import NewText, StoryIndex
from consumers.events.schemas import Article, Label
from consumers.formats.importing import import_events
from consumers.formats.mapping import ColumnMapping
from consumers.formats.options import ImportOptions
from consumers.formats.rows import BadRow
from consumers.log.protocols import Position
from consumers.rows.arriving.event_rows import Stored
from consumers.text.quality import assess
from tests.support.buffers import FEEDBACK
from tests.support.encoders import WordEncoder
from tests.support.real_data import real
from tests.support.sample_events import TASKS

TOPICS = TASKS["news-topics"]
ENTITIES = TASKS["news-entities"].model_copy(update={"labels": "open"})
HUFFPOST = ColumnMapping(title="headline", body="short_description", label="category", time="date")
CONLL = ImportOptions(format="conll")


def entity_labels(relative: str) -> tuple[list[Label], list[BadRow]]:
    found = list(import_events(real(relative), ENTITIES, options=CONLL))
    return [one for one in found if isinstance(one, Label)], [one for one in found if isinstance(one, BadRow)]


@pytest.mark.parametrize(
    ("relative", "sentences", "bad", "entities"),
    [
        ("conll2003/eng.testb.xz", 3453, 0, {"LOC": 1668, "ORG": 1661, "PER": 1617, "MISC": 702}),
        ("wnut17/emerging.test.annotated.xz", 1287, 0, {"person": 429, "group": 165, "location": 150}),
        ("crossner/ai/dev.txt.xz", 350, 0, {"misc": 180, "algorithm": 178}),
        ("swedish_ner/train_corpus.txt.xz", 6884, 1, {"PER": 1587, "LOC": 1336}),
    ],
)
def test_entity_sets_give_their_published_counts(relative: str, sentences: int, bad: int, entities: dict[str, int]) -> None:
    good, broken = entity_labels(relative)
    assert (len(good), len(broken)) == (sentences, bad)
    counted = Counter(span["label"] for label in good for span in label.target["spans"])
    assert entities.items() <= counted.items()
    # Texts with letters pass; what fails are rows such as `1-6 6-4 6-3` and `.`
    passed = sum(assess(label.text or "").score >= 0.3 for label in good if any(map(str.isalpha, label.text or "")))
    lettered = sum(any(map(str.isalpha, label.text or "")) for label in good)
    assert passed / lettered > 0.99


def test_huffpost_streams_in_by_date_and_nearly_all_passes() -> None:
    options = ImportOptions(limit=2_000, since=datetime(2012, 6, 1, tzinfo=UTC), until=datetime(2012, 7, 1, tzinfo=UTC))
    labels = list(import_events(real("huffpost/huffpost.jsonl.xz"), TOPICS, HUFFPOST, options=options))
    assert len(labels) == 2_000
    assert all(isinstance(one, Label) and one.occurred_at.month == 6 for one in labels)
    assert sum(assess(one.text or "").score >= 0.5 for one in labels if isinstance(one, Label)) >= 1_990


def test_ag_news_without_a_header() -> None:
    options = ImportOptions(header=False, labels={"1": "World", "2": "Sports", "3": "Business", "4": "Science"})
    labels = list(
        import_events(real("ag_news/test.csv.xz"), TOPICS, ColumnMapping(title="2", body="3", label="1"), options=options)
    )
    assert Counter(one.target["label"] for one in labels if isinstance(one, Label)) == dict.fromkeys(
        ("World", "Sports", "Business", "Science"), 1900
    )


def test_exact_duplicates_of_real_articles_count_once(tmp_path: Path) -> None:
    path = real("yahoo_finance/2018_processed.json.xz")
    found = list(import_events(path, None, ColumnMapping(title="title", body="maintext", time="date_publish")))
    texts = [one.text for one in found if isinstance(one, Article)]
    texts = [text for text in texts if assess(text).score >= 0.3][:300]
    distinct = len(set(texts))
    assert distinct < len(texts)
    buffer = open_writer(tmp_path, load_settings().buffer, tasks=TASKS)
    start = datetime(2018, 6, 1, tzinfo=UTC)
    labels = [
        Label(event_id=f"y-{n}", occurred_at=start + timedelta(hours=n), task=TOPICS.name, text=text, target={"label": "money"})
        for n, text in enumerate(texts)
    ]
    buffer.insert([Stored(label, Position("t", 0, n)) for n, label in enumerate(labels)])
    # Only the very same text is similar at 1.0: what is tested here is the count.
    enricher = Enricher(
        buffer, load_settings().enrich.model_copy(update={"story_similarity": 1.0}), FEEDBACK, encoder=WordEncoder()
    )
    while enricher.step().examples:
        pass
    counts = buffer.counts(TOPICS.name)
    buffer.close()
    assert counts.train + counts.test == distinct


@pytest.mark.slow
def test_stories_of_real_headlines_stay_small_and_hold_what_belongs_together() -> None:
    from consumers.enrichment.embedding import Encoder  # noqa: PLC0415 - loads torch

    path = real("google_headlines/en.tsv.xz")
    options = ImportOptions(since=datetime(2025, 9, 10, tzinfo=UTC), limit=700)
    found = list(import_events(path, None, ColumnMapping(title="headline", time="first_seen"), options=options))
    articles = [one for one in found if isinstance(one, Article)]
    settings = load_settings().enrich
    vectors = Encoder("minilm").encode([one.text for one in articles])
    index = StoryIndex(
        similarity=settings.story_similarity,
        window=timedelta(days=settings.story_window_days),
        test_fraction=settings.test_fraction,
        dimensions=vectors.shape[1],
        load=lambda _start, _end: [],
    )
    texts = [NewText(one.event_id, one.text, one.occurred_at, vector) for one, vector in zip(articles, vectors, strict=True)]
    placements = index.place(texts)
    sizes = Counter(placement.story_id for placement in placements)
    assert max(sizes.values()) <= 0.02 * len(articles)
    assert 0.05 < sum(size for size in sizes.values() if size > 1) / len(articles) < 0.5
    dropped = {row_id for placement in placements for row_id in placement.dropped}
    assert len(dropped) < 0.05 * len(articles)
    train = [n for n, one in enumerate(placements) if one.split == "train" and one.row_id not in dropped]
    test = [n for n, one in enumerate(placements) if one.split == "test"]
    # No held-out headline has a near-identical one in training.
    assert (vectors[test] @ vectors[train].T).max(axis=1).max() < 0.97
