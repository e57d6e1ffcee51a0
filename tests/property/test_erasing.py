"""Erasing takes everything of one user or article and never a row of another."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from consumers.buffer.writer import BufferWriter
from consumers.erasure.requests import Erasures
from consumers.events.schemas import AnyEvent, Erase
from tests.support.buffers import NOW, article, enrich, feedback, label, opened, prediction, stored
from tests.support.tables import rows_of

IDS = st.uuids().map(str)
USERS = st.sampled_from(["anna", "bert", "cleo"])
ARTICLE_IDS = st.sampled_from(["a-1", "a-2", "a-3"])
PREDICTION_IDS = st.sampled_from(["p-1", "p-2", "p-3"])
TEXTS = st.sampled_from([f"text {number}" for number in range(4)])
ARTICLES = st.builds(article, IDS, ARTICLE_IDS, TEXTS)
PREDICTIONS = st.builds(prediction, PREDICTION_IDS, TEXTS, event_id=IDS, article_id=ARTICLE_IDS | st.none())
LABELS = st.builds(label, IDS, TEXTS, article_id=ARTICLE_IDS | st.none())
FEEDBACK = st.builds(
    feedback, IDS, TEXTS | st.none(), user_id=USERS, article_id=ARTICLE_IDS | st.none(), prediction_id=PREDICTION_IDS
)
ERASED = st.one_of(USERS.map(lambda name: {"user_id": name}), ARTICLE_IDS.map(lambda name: {"article_id": name}))
COLUMNS = {
    "articles": ("event_id", "row_id", "article_id"),
    "examples": ("row_id", "article_id", "user_id", "prediction_id"),
    "feedback": ("event_id", "article_id", "user_id", "prediction_id"),
    "predictions": ("prediction_id", "article_id"),
    "article_enrichment": ("row_id",),
    "example_enrichment": ("row_id",),
}
Rows = dict[str, list[dict[str, Any]]]


def all_rows(buffer: BufferWriter) -> Rows:
    """Every row in a fixed order, its key under the name `key`."""
    found = {}
    for name, columns in COLUMNS.items():
        rows = rows_of(buffer.folder, name, list(columns)).sort_by(columns[0]).to_pylist()
        found[name] = [row | {"key": row[columns[0]], "table": name} for row in rows]
    return found


def is_clearly_of_another(row: dict[str, Any], before: Rows, erased: dict[str, str]) -> bool:
    """Whether a row belongs to somebody else; what is neither this nor the erased one's own is left open here."""
    cited = next((one for one in before["predictions"] if one["key"] == row.get("prediction_id")), None)
    if "user_id" in erased:
        if row["table"] == "predictions":
            by_others = {one["prediction_id"] for one in before["feedback"] if one["user_id"] != erased["user_id"]}
            return row["article_id"] is not None or row["key"] in by_others
        return bool(row.get("user_id") != erased["user_id"])
    # What cites a prediction holds that one's text, which may be the article's though nothing names it.
    own = (row, *([cited] if cited and row["table"] in ("examples", "feedback") else []))
    return all(one["article_id"] not in (erased["article_id"], None) for one in own)


@settings(max_examples=25, deadline=None)
@example(
    events=[article("first", "a-2", "text 1"), article("same", "a-2", "text 1"), article("other", "a-2", "text 0")],
    erased={"user_id": "anna"}, redelivered=True,
)  # fmt: skip
@given(
    events=st.lists(ARTICLES | PREDICTIONS | LABELS | FEEDBACK, min_size=3, max_size=16, unique_by=lambda event: event.event_id),
    erased=ERASED,
    redelivered=st.booleans(),
)
@pytest.mark.slow
def test_erasing_takes_all_of_one_and_nothing_of_others(
    events: list[AnyEvent], erased: dict[str, str], redelivered: bool
) -> None:
    with (
        TemporaryDirectory() as folder,
        closing(Erasures(Path(folder))) as erasures,
        opened(Path(folder) / "b", erasures=erasures) as buffer,
    ):
        buffer.insert(stored(*events))
        buffer.resolve_waiting()
        enrich(buffer, "articles")
        enrich(buffer)
        before = all_rows(buffer)
        erasures.request(Erase(event_id="erase", occurred_at=NOW, **erased))
        buffer.erase()
        after = all_rows(buffer)
        if redelivered:
            buffer.insert(stored(*events, offset=100))
            buffer.resolve_waiting()
            assert all_rows(buffer) == after, "what comes again stays out, and nothing else is new"
        while buffer.rewrite_erased() is None:
            pass
        assert all_rows(buffer) == after, "moving rows to other files changes none"
    ((field, name),) = erased.items()
    for table, rows in after.items():
        assert not [row for row in rows if row.get(field) == name], "a row of the erased one is left"
        kept = {row["key"] for row in rows}
        if not table.endswith("enrichment"):
            gone = [row for row in before[table] if row["key"] not in kept]
            assert not [row for row in gone if is_clearly_of_another(row, before, erased)]
    for table, enrichment in (("articles", "article_enrichment"), ("examples", "example_enrichment")):
        texts = {row["row_id"] for row in after[table]}
        assert {row["row_id"] for row in after[enrichment]} == texts, "every text has its findings, and no finding is an orphan"
