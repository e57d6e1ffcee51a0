"""Whatever a file holds, an import ends with events, named rows, or a message for the user: never with a traceback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.errors import UserError
from consumers.events.parsing import parse
from consumers.events.schemas import to_bytes
from consumers.formats.importing import plan
from consumers.formats.mapping import ColumnMapping
from consumers.formats.options import ImportOptions
from consumers.formats.rows import BadRow, LeftOut
from consumers.formats.summary import Summary, odd_labels
from tests.support.imports import ENTITIES, NOW, TOPICS

FUZZED = settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
TASKS = {task.name: task for task in (TOPICS, ENTITIES)}
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=8
)
SPAN = st.fixed_dictionaries({}, optional=dict.fromkeys(("start", "end", "label", "labels", "text", "start_offset"), SCALARS))
MOMENTS = st.integers(-(2**62), 2**62)
RESULT = st.fixed_dictionaries({"result": st.lists(st.fixed_dictionaries({"value": SPAN | VALUES}), max_size=3) | VALUES})
FIELDS: dict[str, Any] = {
    "text": st.text(max_size=30) | VALUES,
    "data": st.dictionaries(st.sampled_from(["text", "label"]), VALUES, max_size=2) | VALUES,
    "label": VALUES | st.lists(st.tuples(SCALARS, SCALARS, SCALARS), max_size=3),
    "spans": st.lists(SPAN | VALUES, max_size=4) | VALUES,
    "entities": st.lists(SPAN, max_size=3) | VALUES,
    "annotations": st.lists(RESULT, max_size=3),
    "answer": st.sampled_from(["accept", "reject", "ignore", None, 3]),
    "tokens": st.lists(st.text(max_size=5) | VALUES, max_size=5) | VALUES,
    "ner_tags": st.lists(st.sampled_from(["O", "B-ORG", "I-ORG", "_", 0, 1, None]), max_size=5) | VALUES,
    "cats": st.dictionaries(st.text(max_size=5), SCALARS, max_size=3) | VALUES,
    "time": VALUES,
    "id": VALUES,
    "document_id": VALUES,
}
ROWS = st.lists(st.fixed_dictionaries({}, optional=FIELDS) | VALUES, max_size=6)
SNIPPETS = st.sampled_from([
    '"', ",", ";", "\t", "\n", "\r\n", " ", "text", "label", "spans", "tag", "word", "sentence", "O", "B-ORG", "I-ORG", "_", "#",
    "# newdoc id = 1", "-DOCSTART- -X- O", "sep=;", '[[0, 1, "X"]]', "{", "}", "[", "]", '{"text": "a", "label": "b"}', "null",
    "\ufeff", "\x00", "é", "\U0001f600", "x",
])  # fmt: skip


def imported(path: Path) -> None:
    """Read the file as every task would, and check that each row ended well."""
    for task, mapping in (
        (TOPICS, None),
        (ENTITIES, None),
        (None, None),
        (TOPICS, ColumnMapping(text="text", time="time", id="id")),
    ):
        try:
            found = plan(path, task, mapping, options=ImportOptions(), clock=lambda: NOW)
            rows = list(found.events())
        except UserError:
            continue
        again = list(found.events())
        assert again == rows
        summary = Summary()
        assert list(summary.count(iter(rows), lambda _: None)) == [row for row in rows if not isinstance(row, BadRow | LeftOut)]
        assert summary.rows == len(rows)
        odd_labels(summary.labels)
        for row in rows:
            if isinstance(row, BadRow | LeftOut):
                assert row.reason
            else:
                # What is sent is stored: nothing of it becomes a dead letter.
                assert parse(to_bytes(row), tasks=TASKS, now=NOW) == row


@FUZZED
@given(ROWS)
def test_json(tmp_path: Path, rows: list[Any]) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    imported(path)
    path.write_text(json.dumps(rows))
    imported(path)


@FUZZED
@pytest.mark.parametrize("name", ["rows.csv", "rows.tsv", "rows.conll", "rows.jsonl", "rows.txt"])
@given(st.lists(SNIPPETS, max_size=40).map("".join), st.sampled_from(["utf-8", "utf-16", "cp1252", "gb18030"]))
def test_text(tmp_path: Path, name: str, content: str, encoding: str) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode(encoding, "ignore"))
    imported(path)


@FUZZED
@pytest.mark.parametrize(
    "name", ["rows.csv", "rows.conll", "rows.jsonl", "rows.parquet", "rows.spacy", "rows.csv.gz", "rows.json.xz"]
)
@given(st.binary(max_size=60))
def test_bytes(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    imported(path)


@FUZZED
@given(
    st.lists(
        st.tuples(st.text(max_size=10), st.binary(max_size=6), st.floats(), st.integers(-(2**62), 2**62)), min_size=1, max_size=5
    )
)
def test_parquet(tmp_path: Path, rows: list[tuple[str, bytes, float, int]]) -> None:
    texts, raw, numbers, moments = zip(*rows, strict=True)
    columns = {
        "text": pa.array(texts), "label": pa.array(raw), "id": pa.array(numbers), "time": pa.array(moments, pa.timestamp("ns")),
        "spans": pa.array(raw).view(pa.string()),
        "nested": pa.array([[moment] for moment in moments], pa.list_(pa.timestamp("ns"))),
    }  # fmt: skip
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table(columns), path)
    imported(path)


@FUZZED
@given(st.text(max_size=60), st.text(max_size=40))
def test_brat(tmp_path: Path, entities: str, text: str) -> None:
    (tmp_path / "one.ann").write_bytes(f"T1\tORG 0 3\t{entities}".encode("utf-8", "surrogatepass"))
    (tmp_path / "one.txt").write_bytes(text.encode("utf-8", "surrogatepass"))
    imported(tmp_path / "one.ann")
