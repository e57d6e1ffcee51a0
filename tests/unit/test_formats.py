from __future__ import annotations

import gzip
import json
import lzma
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from config.errors import UserError
from config.foreign.times import read_time
from consumers.events.parsing import parse
from consumers.events.schemas import Article, Label, to_bytes
from consumers.formats.files.source import Reading, identify
from consumers.formats.importing import import_events
from consumers.formats.mapping import ColumnMapping, parse_pairs, read_columns
from consumers.formats.options import ImportOptions
from consumers.formats.rows import BadRow, Row
from consumers.formats.tags import TokenSpan, decode_tags
from consumers.formats.values import read_number
from tests.support.sample_events import TASKS

TOPICS = TASKS["news-topics"]
ENTITIES = TASKS["news-entities"]
NOW = datetime(2030, 1, 1, tzinfo=UTC)
CONLL = """-DOCSTART- -X- O O

EU NNP I-NP I-ORG
rejects VBZ I-VP O
German JJ I-NP I-MISC
call NN I-NP O

Peter NNP I-NP I-PER
Blackburn NNP I-NP I-PER
"""


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def labels(path: Path, *arguments: Any, **options: Any) -> list[Any]:
    return list(import_events(path, TOPICS, *arguments, clock=lambda: NOW, **options))


ROWS = [{"text": "Rates rise", "label": "economy"}, {"text": "Cup final tonight", "label": "sport"}]
JSONL = "".join(json.dumps(row) + "\n" for row in ROWS)
CSV = "text,label\nRates rise,economy\nCup final tonight,sport\n"


def parquet_bytes() -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(ROWS), sink)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize("packed", ["", ".xz", ".gz"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.jsonl", JSONL.encode()),
        ("rows.json", json.dumps(ROWS).encode()),
        ("rows.csv", CSV.encode()),
        ("with-bom.csv", b"\xef\xbb\xbf" + CSV.encode()),
        ("rows.tsv", CSV.replace(",", "\t").encode()),
        ("windows.csv", CSV.replace("\n", "\r\n").encode()),
        ("rows.parquet", parquet_bytes()),
    ],
)
def test_every_format_gives_the_same_events(tmp_path: Path, name: str, content: bytes, packed: str) -> None:
    pack = {"": bytes, ".xz": lzma.compress, ".gz": gzip.compress}[packed]
    events = labels(written(tmp_path, name + packed, pack(content)))
    assert [(event.text, event.target) for event in events] == [(row["text"], {"label": row["label"]}) for row in ROWS]
    assert all(parse(to_bytes(event), tasks=TASKS, now=NOW) == event for event in events)


def test_importing_twice_gives_the_same_events_even_under_another_name(tmp_path: Path) -> None:
    path = written(tmp_path, "rows.csv", CSV)
    first = labels(path)
    other = path.rename(tmp_path / "renamed.csv")
    assert labels(other) == first
    assert len({event.event_id for event in first}) == 2


def test_the_same_row_read_otherwise_is_another_event(tmp_path: Path) -> None:
    path = written(tmp_path, "rows.csv", CSV)
    plain, renamed = labels(path), labels(path, options=ImportOptions(labels={"sport": "sports"}))
    articles = list(import_events(path, None, clock=lambda: NOW))
    assert len({event.event_id for event in [*plain, *renamed, *articles]}) == 6
    assert [event.target["label"] for event in renamed] == ["economy", "sports"]


def test_undated_rows_take_import_order_and_are_never_ahead_of_the_clock(tmp_path: Path) -> None:
    path = written(tmp_path, "rows.csv", "text,label\n" + "Rates rise,economy\n" * 50)
    os.utime(path, (4e9, 4e9))
    times = [event.occurred_at for event in labels(path)]
    assert times == sorted(set(times))
    assert times[-1] - NOW < timedelta(seconds=1)
    assert labels(path, options=ImportOptions(limit=10)) == labels(path)[:10]


def test_title_and_body_make_the_text_and_a_date_the_time(tmp_path: Path) -> None:
    row = {"headline": "Rates rise", "short_description": "Again.", "category": "MONEY", "date": "2014-04-18"}
    mapping = ColumnMapping(title="headline", body="short_description", label="category", time="date")
    path = written(tmp_path, "huffpost.jsonl", json.dumps(row))
    [label] = labels(path, mapping)
    assert (label.text, label.target) == ("Rates rise\n\nAgain.", {"label": "MONEY"})
    assert label.occurred_at == datetime(2014, 4, 18, tzinfo=UTC)
    [article] = import_events(path, None, mapping)
    assert isinstance(article, Article)
    assert (article.title, article.body) == ("Rates rise", "Again.")


def test_since_until_and_limit_choose_rows(tmp_path: Path) -> None:
    rows = "".join(json.dumps({"text": f"Day {day}", "label": "a", "time": f"2014-04-{day:02}"}) + "\n" for day in range(1, 31))
    path = written(tmp_path, "days.jsonl", rows)
    chosen = ImportOptions(since=datetime(2014, 4, 5, tzinfo=UTC), until=datetime(2014, 4, 10, tzinfo=UTC))
    assert [event.text for event in labels(path, options=chosen)] == ["Day 5", "Day 6", "Day 7", "Day 8", "Day 9"]
    assert len(labels(path, options=ImportOptions(limit=7))) == 7


def test_bad_rows_are_named_by_line_and_their_neighbours_go_on(tmp_path: Path) -> None:
    lines = [
        json.dumps(ROWS[0]).encode(), b"{not json", b'["a", "list"]', b'{"text": "caf\xe9", "label": "a"}', b"",
        b'{"text": "", "label": "a"}', b'{"text": "No label"}', b'{"text": "Empty", "label": ""}', json.dumps(ROWS[1]).encode(),
    ]  # fmt: skip
    found = labels(written(tmp_path, "rows.jsonl", b"\n".join(lines)))
    assert [event.text for event in found if isinstance(event, Label)] == ["Rates rise", "Cup final tonight"]
    bad = {row.line: row.reason for row in found if isinstance(row, BadRow)}
    assert list(bad) == [2, 3, 4, 6, 7, 8]
    for line, part in {2: "not JSON", 3: "object", 4: "UTF-8", 6: "text is empty", 7: "'label'", 8: "(label) is empty"}.items():
        assert part in bad[line]


def test_bad_csv_rows(tmp_path: Path) -> None:
    content = 'text,label\nRates rise,economy\none column\n"broken "quote,sport\nCup final,sport\n"never closed,sport\n'
    found = labels(written(tmp_path, "rows.csv", content))
    assert [event.text for event in found if isinstance(event, Label)] == ["Rates rise", "Cup final"]
    assert [(row.line, row.reason.split(" (")[0]) for row in found if isinstance(row, BadRow)] == [
        (3, "1 columns where 2 are expected"),
        (4, "not a CSV record"),
        (6, "a quote that begins here is not closed"),
    ]


def test_csv_without_header_names_columns_by_number(tmp_path: Path) -> None:
    path = written(tmp_path, "ag.csv", '"3","Fears for pension","Unions say so, again."\n"4","Race is on","Rockets."\n')
    mapping = ColumnMapping(title="2", body="3", label="1")
    events = labels(path, mapping, options=ImportOptions(header=False, labels={"3": "business", "4": "science"}))
    assert [event.target["label"] for event in events] == ["business", "science"]
    assert events[0].text == "Fears for pension\n\nUnions say so, again."


def test_a_file_of_events_is_not_taken_for_a_table(tmp_path: Path) -> None:
    event = '{"type": "label", "event_id": "l-1", "task": "t", "text": "Who leads now?", "target": {"label": "sport"}}\n'
    path = written(tmp_path, "events.jsonl", event)
    with pytest.raises(UserError, match=r"already look like events.*name their columns"):
        list(import_events(path, None))
    (article,) = import_events(path, None, ColumnMapping(text="text"))
    assert isinstance(article, Article)
    assert article.body == "Who leads now?"


def test_a_wrong_column_names_those_that_exist(tmp_path: Path) -> None:
    path = written(tmp_path, "rows.csv", CSV)
    with pytest.raises(UserError, match=r"no column 'categry' in the file; its columns are 'text', 'label'"):
        labels(path, ColumnMapping(label="categry"))
    with pytest.raises(UserError, match=r"name the column of label; the file's columns are 'text', 'topic'"):
        labels(written(tmp_path, "other.csv", "text,topic\na,b\n"))
    with pytest.raises(UserError, match="time"):
        labels(path, options=ImportOptions(since=NOW))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("missing.csv", None, "cannot be opened"),
        ("rows.train", "a O\n", "give --format"),
        ("rows.csv.xz", b"no xz at all", "damaged or not a .xz file"),
        ("rows.jsonl.gz", gzip.compress(JSONL.encode() * 500)[:-40], "damaged"),
        ("rows.parquet", b"no parquet at all", "cannot be read as Parquet"),
        ("rows.json", "[1, 2", "JSON list"),
    ],
)
def test_an_unreadable_file_is_the_users_to_fix(tmp_path: Path, name: str, content: Any, said: str) -> None:
    path = tmp_path / name if content is None else written(tmp_path, name, content)
    with pytest.raises(UserError, match=said):
        labels(path)


def test_conll_text_and_spans_with_mapped_labels(tmp_path: Path) -> None:
    path = written(tmp_path, "eng.train.xz", lzma.compress(CONLL.encode()))
    options = ImportOptions(format="conll", labels={"PER": "PERSON", "MISC": ""})
    first, second = import_events(path, ENTITIES, options=options, clock=lambda: NOW)
    assert isinstance(first, Label)
    assert isinstance(second, Label)
    assert (first.text, first.target) == ("EU rejects German call", {"spans": [{"start": 0, "end": 2, "label": "ORG"}]})
    assert second.target == {"spans": [{"start": 0, "end": 15, "label": "PERSON"}]}


def test_a_label_that_a_closed_task_does_not_know_is_a_bad_row(tmp_path: Path) -> None:
    path = written(tmp_path, "eng.conll", CONLL)
    first, second = import_events(path, ENTITIES, clock=lambda: NOW)
    assert isinstance(first, BadRow)
    assert (first.line, "MISC" in first.reason) == (3, True)
    assert isinstance(second, BadRow)
    assert "PER" in second.reason


def test_conll_oddities_of_real_sets(tmp_path: Path) -> None:
    content = "Uppsala\tORG\nuniversitet\tORG\n.\t0\n\t\n#photo\tO\nbn\n\nInger   PER\nAtterstam   PER\n\n"
    rows = list(identify(written(tmp_path, "swedish.conll", content), Reading()).rows())
    assert rows[0] == Row(1, {"text": "Uppsala universitet .", "spans": [{"start": 0, "end": 19, "label": "ORG"}]})
    assert rows[1] == BadRow(6, "no tag behind 'bn'; its sentence (line 5 on) is left out")
    assert rows[2] == Row(8, {"text": "Inger Atterstam", "spans": [{"start": 0, "end": 15, "label": "PER"}]})


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        ("I-PER I-PER O", [TokenSpan(0, 2, "PER")]),
        ("I-LOC B-LOC I-LOC", [TokenSpan(0, 1, "LOC"), TokenSpan(1, 3, "LOC")]),
        ("B-creative-work I-creative-work O B-person", [TokenSpan(0, 2, "creative-work"), TokenSpan(3, 4, "person")]),
        ("I-ORG I-PER", [TokenSpan(0, 1, "ORG"), TokenSpan(1, 2, "PER")]),
        ("S-PER B-LOC E-LOC I-LOC", [TokenSpan(0, 1, "PER"), TokenSpan(1, 3, "LOC"), TokenSpan(3, 4, "LOC")]),
        ("ORG ORG 0 PER", [TokenSpan(0, 2, "ORG"), TokenSpan(3, 4, "PER")]),
    ],
)
def test_one_rule_reads_all_schemes(tags: str, spans: list[TokenSpan]) -> None:
    assert decode_tags(tags.split()) == spans


def test_spans_come_from_columns_too(tmp_path: Path) -> None:
    row = {"text": " The ECB acted.", "spans": [[5, 8, "ORG"]]}
    [event] = import_events(written(tmp_path, "ner.jsonl", json.dumps(row)), ENTITIES, clock=lambda: NOW)
    assert isinstance(event, Label)
    assert event.text is not None
    assert event.text[5:8] == "ECB"
    lines = [json.dumps(row | {"spans": spans}) for spans in ([[5, 99, "ORG"]], "x")]
    wrong = written(tmp_path, "wrong.jsonl", "\n".join(lines))
    outside, shapeless = import_events(wrong, ENTITIES, clock=lambda: NOW)
    assert isinstance(outside, BadRow)
    assert "outside the text" in outside.reason
    assert isinstance(shapeless, BadRow)
    assert "spans are expected as a list" in shapeless.reason


def test_progress_reaches_the_end(tmp_path: Path) -> None:
    heard: list[float] = []
    list(identify(written(tmp_path, "rows.jsonl", JSONL * 2_000), Reading()).rows(heard.append))
    assert heard == sorted(heard)
    assert heard[-1] == 1
    assert any(0 < share < 1 for share in heard)


def test_times_are_read_in_the_usual_forms() -> None:
    expected = datetime(2014, 4, 18, tzinfo=UTC)
    texts = ["2014-04-18", "2014-04-18T02:00:00+02:00", "1397779200"]
    for value in (*texts, 1397779200, 1397779200000, expected.replace(tzinfo=None), expected.date()):
        assert read_time(value) == expected
    with pytest.raises(ValueError, match="not a time, got 'soon'"):
        read_time("soon")


def test_pairs_are_parsed_or_refused() -> None:
    assert parse_pairs("PER=PERSON, MISC=") == {"PER": "PERSON", "MISC": ""}
    with pytest.raises(UserError, match="'PER' is not OLD=NEW"):
        parse_pairs("PER")


def test_a_column_is_named_by_its_field_too(tmp_path: Path) -> None:
    path = written(tmp_path, "rows.csv", "text,Topic\nGoal in Rome,SPORTS\n")
    assert read_columns(["label=Topic", "tone= Mood"]) == (("label", "Topic"), ("tone", " Mood"))
    (label,) = labels(path, ColumnMapping(others=read_columns(["label=Topic"])))
    assert label.target == {"label": "SPORTS"}
    for wrong in ("label", "=Topic", "label="):
        with pytest.raises(UserError, match="is not FIELD=COLUMN"):
            read_columns([wrong])


@pytest.mark.parametrize(("value", "number"), [(3, 3.0), (-0.5, -0.5), ("1", 1.0), ("-1.5e2", -150.0), (1.0, 1.0)])
def test_numbers_are_read(value: object, number: float) -> None:
    assert read_number(value) == number


@pytest.mark.parametrize("value", [True, "true", "one", "NaN", float("inf"), "[1]", [1], {}, "1e999", "9" * 5_000])
def test_what_is_no_number_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="a number is expected"):
        read_number(value)
