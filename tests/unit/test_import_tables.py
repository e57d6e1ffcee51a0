"""CSV, JSON and Parquet as exports have them: delimiters, encodings, quotes, late columns, odd types."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from config.errors import UserError
from consumers.events.schemas import Article, Label
from consumers.formats.files.csv import delimiter_named
from consumers.formats.mapping import ColumnMapping
from consumers.formats.rows import BadRow
from tests.support.imports import TOPICS, articles, entities, looked_at, topics, written

ACME = [("Acme rose", "economy")]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("text;label\nAcme rose;economy\n", "delimiter: semicolon"),
        ("sep=;\ntext;label\nAcme rose;economy\n", "delimiter: semicolon"),
        ("text\tlabel\nAcme rose\teconomy\n", "delimiter: tab"),
        ("text|label\nAcme rose|economy\n", "delimiter: bar"),
        ('"sep=|"\r\ntext|label\r\nAcme rose|economy\r\n', "delimiter: bar"),
        ("\ufeffsep=;\ntext;label\nAcme rose;economy\n", "delimiter: semicolon"),
        ('"text";"label"\n"Acme rose";"economy"\n', "delimiter: semicolon"),
        ("label;note;text\neconomy;a, b, c;Acme rose\n", "delimiter: semicolon"),
    ],
)
def test_the_delimiter_is_recognised_and_said(tmp_path: Path, content: str, said: str) -> None:
    path = written(tmp_path, "rows.csv", content)
    assert topics(path) == ACME
    assert said in looked_at(path, TOPICS).said


@pytest.mark.parametrize(
    ("content", "text", "label"),
    [
        ('"text"\t"label"\n"Acme ""rose"""\t"economy"\n', 'Acme "rose"', "economy"),
        ('text\tlabel\n"Acme ""rose"""\teconomy\n', 'Acme "rose"', "economy"),
        ('text\tlabel\n"Yes" says Acme\teconomy\n"Acme ""rose"""\teconomy\n', '"Yes" says Acme', "economy"),
        ('text\tlabel\n"Acme rose"\teconomy\n', '"Acme rose"', "economy"),
    ],
)
def test_quotes_between_tabs_are_characters_unless_fields_show_otherwise(
    tmp_path: Path, content: str, text: str, label: str
) -> None:
    assert topics(written(tmp_path, "rows.tsv", content))[0] == (text, label)


def test_a_delimiter_may_be_named(tmp_path: Path) -> None:
    assert topics(written(tmp_path, "rows.csv", "text^label\nAcme rose^economy\n"), delimiter="^") == ACME
    assert (delimiter_named("tab"), delimiter_named("\\t"), delimiter_named(";")) == ("\t", "\t", ";")
    for wrong in (";;", "", '"'):
        with pytest.raises(UserError, match="--delimiter"):
            delimiter_named(wrong)


@pytest.mark.parametrize(
    ("text", "encoding", "recognised"),
    [
        ("Café prices €2", "cp1252", "cp1252"),
        ("Über die Straße", "latin-1", "cp1252"),
        ("L’été “là”", "cp1252", "cp1252"),
        ("Acme rose", "utf-16", "UTF-16"),
        ("Acme rose", "utf-16-le", "UTF-16-LE"),
        ("Acme rose", "utf-16-be", "UTF-16-BE"),
        ("Правительство приняло бюджет на год", "cp1251", "cp1251"),
        ("政府通过了明年的预算案", "gb18030", "gb18030"),
        ("政府は予算を可決した", "shift_jis", "shift_jis"),
        ("Rząd przyjął budżet, złoty słabnie", "cp1250", "cp1250"),
        ("Acme rose é", "utf-32", "UTF-32"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_the_encoding_is_recognised_and_said(tmp_path: Path, text: str, encoding: str, recognised: str, packed: bool) -> None:
    content = f'text,label\n"{text}",economy\nPlain row,economy\n'.encode(encoding)
    path = written(tmp_path, "rows.csv.gz" if packed else "rows.csv", gzip.compress(content) if packed else content)
    assert topics(path) == [(text, "economy"), ("Plain row", "economy")]
    assert any(one.startswith(f"encoding: {recognised}") for one in looked_at(path, TOPICS).said)
    assert topics(path, encoding=encoding) == topics(path)


def test_a_file_that_is_utf8_elsewhere_names_its_bad_rows(tmp_path: Path) -> None:
    content = "text,label\nCafé,a\n".encode() + b"Caf\xe9 prices,a\nlast,a\n"
    first, refused, last = topics(written(tmp_path, "rows.csv", content))
    assert (first, last) == (("Café", "a"), ("last", "a"))
    assert "--encoding" in refused
    with pytest.raises(UserError, match="--encoding 'klingon' is not known"):
        topics(tmp_path / "rows.csv", encoding="klingon")
    with pytest.raises(UserError, match="is not known"):
        topics(tmp_path / "rows.csv", encoding="rot13")


@pytest.mark.parametrize(
    ("swallowing", "last"),
    [
        ('"Breaking: minister resigns,politics\n', 8),
        ('fine,politics\n"Opened in the second,x\n', 9),
        ('"One, ""two"" and more,politics\n', 8),
        ('"Breaking ""again"",politics\n', 8),
    ],
)
def test_a_quote_that_is_never_closed_costs_one_row_and_the_range_is_named(tmp_path: Path, swallowing: str, last: int) -> None:
    content = "text,label\nfirst row,economy\n" + swallowing + "".join(f"row {number},economy\n" for number in range(5))
    found = list(looked_at(written(tmp_path, "rows.csv", content), TOPICS).events())
    [bad] = [row for row in found if isinstance(row, BadRow)]
    assert bad.swallowed
    assert f"lines {bad.line} to {last}" in bad.reason
    assert [row.text for row in found if isinstance(row, Label)][-5:] == [f"row {number}" for number in range(5)]


def test_rows_inside_a_quote_that_another_row_closes_are_not_one_text(tmp_path: Path) -> None:
    inner = "".join(f"row {number},economy\n" for number in range(5))
    content = (
        f'text,label\nfirst row,economy\n"Breaking: minister resigns,politics\n{inner}A screen of 55",sport\nlast row,sport\n'
    )
    found = list(looked_at(written(tmp_path, "rows.csv", content), TOPICS).events())
    assert [row.text for row in found if isinstance(row, Label)] == ["first row", "last row"]
    [bad] = [row for row in found if isinstance(row, BadRow)]
    assert bad.swallowed
    assert "takes lines 3 to 9" in bad.reason


@pytest.mark.parametrize(
    "hidden",
    [
        ["row a,economy"],
        [],
        ["row 1,economy", "row 2, and more,economy", "row 3,sport", "row 4,economy", "row 5,economy"],
        ["row 1,economy", "row 2,economy", "", "row 3,sport", "row 4,economy"],
        ["row 1,economy", "row 2,a new label", "row 3,economy"],
    ],
)
@pytest.mark.parametrize("closing", ['A screen of 55",sport', 'A screen of 55", he said,sport'])
def test_rows_that_a_quote_hides_are_named_however_few_they_are(tmp_path: Path, hidden: list[str], closing: str) -> None:
    lines = ["text,label", "first row,economy", "other row,politics", '"Breaking: minister resigns,politics', *hidden, closing]
    content = "\n".join([*lines, "last row,sport", ""])
    found = list(looked_at(written(tmp_path, "rows.csv", content), TOPICS).events())
    assert [row.text for row in found if isinstance(row, Label)] == ["first row", "other row", "last row"]
    [bad] = [row for row in found if isinstance(row, BadRow)]
    assert (bad.swallowed, bad.line) == (True, 4)
    assert f"lines 4 to {len(lines)}" in bad.reason


@pytest.mark.parametrize(
    "text",
    [
        "Results of the day:\nBayern 3, Dortmund 1\nKöln 2, Mainz 2\nBremen 0, Ulm 0\nBonn 1, Kiel 4\nwrote the agency",
        "Results, as of today:\nBayern 3, Dortmund 1\nKöln 2, Mainz 2\nBremen 0, Ulm 0\nBonn 1, Kiel 4\nwrote the agency",
        "Dear reader, welcome\nto the news, the weather\nand sport",
        "Dear reader, welcome\nand good bye",
    ],
)
def test_prose_over_several_lines_with_a_delimiter_in_each_is_one_text(tmp_path: Path, text: str) -> None:
    content = f'text,label\nfirst row,economy\nsecond row,economy\n"{text}",sport\nlast row,sport\n'
    assert (text, "sport") in topics(written(tmp_path, "rows.csv", content))


@pytest.mark.parametrize("names", ["text,label", "text , label", '"text","label"'])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_tables_put_one_behind_the_other_give_their_rows_only(tmp_path: Path, names: str, mark: str) -> None:
    path = written(tmp_path, "rows.csv", f"{mark}{names}\nAcme rose,economy\n" * 3)
    assert [row for row in topics(path) if isinstance(row, tuple)] == ACME * 3
    assert [row for row in topics(path) if not str(row).startswith("left out") and row not in ACME] == []


def test_quoted_line_breaks_are_no_mistake(tmp_path: Path) -> None:
    assert topics(written(tmp_path, "rows.csv", 'text,label\n"Acme\nrose, ""again""",economy\nx,y\n')) == [
        ('Acme\nrose, "again"', "economy"),
        ("x", "y"),
    ]


def test_many_open_quotes_end_in_bounded_time(tmp_path: Path) -> None:
    content = "text,label\n" + '"open,economy\nfine "x",economy\n' * 300
    found = list(looked_at(written(tmp_path, "rows.csv", content), TOPICS).events())
    assert any(isinstance(row, BadRow) and "they are left out" in row.reason for row in found)
    assert any(isinstance(row, Label) for row in found)


@pytest.mark.parametrize(
    "content", ["text,label,label\nAcme,economy,sport\n", "text,text,label\na,b,c\n", "text, text ,label\na,b,c\n"]
)
def test_a_doubled_column_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(UserError, match="more than one column"):
        topics(written(tmp_path, "rows.csv", content))


def test_a_doubled_field_of_an_object_is_refused(tmp_path: Path) -> None:
    path = written(
        tmp_path, "rows.jsonl", '{"text": "Acme rose", "label": "a", "label": "b"}\n{"text": "Acme rose", "label": "economy"}\n'
    )
    refused, *read = topics(path)
    assert "the field 'label' appears twice" in refused
    assert read == ACME


@pytest.mark.parametrize(
    "content",
    [
        'text, label\n"Acme, Inc rose", "economy"\nAcme rose, "economy"\n',
        'text,label\n"Acme, Inc rose", "economy"\nAcme rose, "economy"\n',
        'text, label\n"Acme, Inc rose",economy\nAcme rose,  economy\n',
        'text; label\n"Acme, Inc rose"; "economy"\nAcme rose; economy\n',
    ],
)
def test_a_space_behind_the_delimiter_is_no_part_of_a_value(tmp_path: Path, content: str) -> None:
    assert topics(written(tmp_path, "rows.csv", content)) == [("Acme, Inc rose", "economy"), ("Acme rose", "economy")]


def test_a_space_that_begins_a_text_stays(tmp_path: Path) -> None:
    path = written(tmp_path, "rows.csv", 'text,spans\n Paris is calm.,"[[1, 6, ""GPE""]]"\n')
    assert entities(path) == [(" Paris is calm.", [("Paris", "GPE")])]


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl", "rows.json", "rows.tsv", "rows.conll"])
@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff"])
def test_an_empty_file_gives_nothing(tmp_path: Path, name: str, content: str) -> None:
    assert looked_at(written(tmp_path, name, content), TOPICS).rows == 0
    assert topics(written(tmp_path, "head.csv", "text,label\n")) == []


def test_all_rows_are_looked_at_for_columns(tmp_path: Path) -> None:
    rows: list[Any] = [{"title": f"Headline {number}"} for number in range(150)]
    rows += [{"title": "Late", "body": "This body came late."}]
    assert articles(written(tmp_path, "rows.jsonl", rows))[-1] == ("Late", "This body came late.")
    labelled = [{"id": number, "text": "x"} for number in range(150)] + [{"text": "Acme rose", "label": "economy"}]
    found = topics(written(tmp_path, "labels.jsonl", labelled))
    assert found[-1:] == ACME
    assert all("has no value" in row for row in found[:-1])
    spans = [{"text": "x", "spans": []}] * 150 + [{"text": "Acme rose", "spans": [{"start": 0, "end": 4, "labels": ["ORG"]}]}]
    assert entities(written(tmp_path, "spans.jsonl", spans))[-1] == ("Acme rose", [("Acme", "ORG")])


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (
            {"status": "ok", "totalResults": 2, "articles": [{"title": "x", "body": "y"}, {"title": "z", "body": ""}]},
            [("x", "y"), ("z", "")],
        ),
        ([{"title": "x", "body": "y"}], [("x", "y")]),
        ({"title": "x", "body": "y"}, [("x", "y")]),
        ({"title": "A long title", "body": "y", "links": [{"href": "z"}]}, [("A long title", "y")]),
    ],
)
@pytest.mark.parametrize("indent", [None, 1])
def test_one_object_or_list_is_read_whole(tmp_path: Path, document: Any, expected: list[Any], indent: int | None) -> None:
    assert articles(written(tmp_path, "rows.json", json.dumps(document, indent=indent))) == expected


def test_objects_over_several_lines_may_follow_each_other(tmp_path: Path) -> None:
    pretty = [json.dumps({"title": name, "body": "y"}, indent=2) for name in "ab"]
    assert articles(written(tmp_path, "rows.json", "\n".join(pretty))) == [("a", "y"), ("b", "y")]
    found = list(looked_at(written(tmp_path, "torn.json", "\n".join([*pretty, "{", '  "title":', "x"])), None).events())
    assert [row.title for row in found if isinstance(row, Article)] == ["a", "b"]
    [bad] = [row for row in found if isinstance(row, BadRow)]
    assert bad.swallowed
    assert "lines 9 to 11" in bad.reason


ROW, OTHER = '{"title": "Acme rose", "body": "b"}', '{"title": "Lyon", "body": "b", "tags": [{"start": 1}]}'
BOTH = [("Acme rose", "b"), ("Lyon", "b")]


@pytest.mark.parametrize(
    ("content", "bad"),
    [
        (f'{{"title": \n{{"title": "x\n{ROW}\n{OTHER}\n', [1, 2]),
        (f"{ROW},\n{OTHER},\n", []),
        (f"{ROW},\n{OTHER}\n", []),
        (f"[\n{ROW},\n{OTHER}\n", []),
        (f'[\n{ROW},\n{OTHER},\n{{"title": "to', [4]),
        (f"[1]\n{ROW}\n{OTHER}\n", [1]),
        (f"[INFO] export started\n\n{ROW}\n{OTHER}\n", [1]),
        (f"export started\n{ROW}\n{OTHER}\n", [1]),
        (f"\n\n[INFO] export started\n{ROW}\n{OTHER}\n[INFO] done\n", [3, 6]),
        (f"\x1e{ROW}\n\x1e{OTHER}\n", []),
        (f"\x1e{json.dumps(json.loads(ROW), indent=1)}\n\x1e{json.dumps(json.loads(OTHER), indent=1)}\n", []),
        (f"\ufeff{ROW}\n\ufeff{OTHER}\n\ufeff\n", []),
        (f'{{"title": \x00\n{{"title": "x\n{ROW}\n{OTHER}\n', [1, 2]),
    ],
)
def test_rows_a_line_are_read_whatever_stands_between_them(tmp_path: Path, content: str, bad: list[int]) -> None:
    found = list(looked_at(written(tmp_path, "rows.jsonl", content), None).events())
    assert [(row.title, row.body) for row in found if isinstance(row, Article)] == BOTH
    assert [row.line for row in found if isinstance(row, BadRow)] == bad
    ids = [row.event_id for row in found if isinstance(row, Article)]
    assert len(set(ids)) == len(ids)


def test_a_byte_outside_the_encoding_costs_its_line(tmp_path: Path) -> None:
    content = f'[INFO] started\n{ROW}\n{{"title": "caf'.encode() + b"\xe9" + f'", "body": ""}}\n{OTHER}\n'.encode()
    found = articles(written(tmp_path, "rows.jsonl", content))
    assert [row for row in found if isinstance(row, tuple)] == BOTH


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"a": [{"title": "x"}], "b": [{"title": "y"}]}', "several lists of rows"),
        ("{\n\n", "neither one JSON object nor one a line"),
        ("[1, 2", "JSON list"),
    ],
)
def test_a_document_that_cannot_be_told_is_refused(tmp_path: Path, content: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        articles(written(tmp_path, "rows.json", content))


def parquet(**columns: Any) -> pa.Table:
    return pa.table(columns)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (
            parquet(text=pa.array([b"Acme rose", b"caf\xe9"]), label=pa.array([b"economy", b"a"])),
            [*ACME, "its bytes are not UTF-8"],
        ),
        (parquet(text=["Acme rose", "x"], label=["economy", None], image=pa.array([b"\xff\xfe", b""])), [*ACME, "has no value"]),
        (parquet(text=["Acme rose", "x"], label=pa.array([1.0, float("nan")])), [("Acme rose", "1"), "is NaN"]),
        (
            parquet(text=["Acme rose", "x"], label=pa.array([Decimal(2), Decimal("2.5")], pa.decimal128(5, 1))),
            [("Acme rose", "2"), "a number"],
        ),
        (parquet(text=["Acme rose", "x"], label=pa.array([["economy"], ["a", "b"]])), [*ACME, "2 labels"]),
        (parquet(text=["Acme rose", "x"], label=pa.array(["economy", "a"]).dictionary_encode()), [*ACME, ("x", "a")]),
        (
            parquet(text=pa.array(["Acme rose", "x"], pa.large_string()), label=pa.array([3, 4], pa.uint8())),
            [("Acme rose", "3"), ("x", "4")],
        ),
    ],
)
def test_parquet_values(tmp_path: Path, table: pa.Table, expected: list[Any]) -> None:
    for row, wanted in zip(topics(written(tmp_path, "rows.parquet", table)), expected, strict=True):
        assert row == wanted or (isinstance(wanted, str) and wanted in row)


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1_714_564_800_123_456_789], pa.timestamp("ns")),
        pa.array([1_714_564_800_123_456_789], pa.timestamp("ns", tz="UTC")),
        pa.array([1_714_564_800_123_456], pa.timestamp("us")),
        pa.array([1_714_564_800_123_456_789]),
        pa.array(["2024-05-01T12:00:00.123456789Z"]),
    ],
)
def test_parquet_times(tmp_path: Path, column: pa.Array) -> None:
    table = parquet(text=["Acme rose"], label=["economy"], date=column)
    [row] = looked_at(written(tmp_path, "rows.parquet", table), TOPICS, ColumnMapping(time="date")).events()
    assert isinstance(row, Label)
    assert row.occurred_at == datetime(2024, 5, 1, 12, 0, 0, 123456, tzinfo=UTC)


def test_parquet_int96_and_bad_utf8(tmp_path: Path) -> None:
    import pyarrow.parquet as pq  # noqa: PLC0415 - only here with its own options

    table = parquet(text=["Acme rose"], label=["economy"], date=pa.array([1_714_564_800_123_456_789], pa.timestamp("ns")))
    pq.write_table(table, tmp_path / "int96.parquet", use_deprecated_int96_timestamps=True)
    assert topics(tmp_path / "int96.parquet", ColumnMapping(time="date")) == ACME
    broken = pa.array([b"caf\xe9", b"Acme rose"]).view(pa.string())
    refused, *read = topics(written(tmp_path, "bad.parquet", pa.table({"text": broken, "label": ["a", "economy"]})))
    assert "its bytes are not UTF-8" in refused
    assert read == ACME
    unused = written(tmp_path, "unused.parquet", pa.table({"text": ["Acme rose"] * 2, "label": ["economy"] * 2, "note": broken}))
    assert topics(unused) == ACME * 2


def test_class_names_beside_the_schema_name_numbers(tmp_path: Path) -> None:
    features = {
        "label": {"names": ["World", "Sports"], "_type": "ClassLabel"},
        "ner_tags": {"feature": {"names": ["O", "B-ORG", "I-ORG"], "_type": "ClassLabel"}, "_type": "Sequence"},
    }
    metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    labels = parquet(text=["Acme rose", "x"], label=[1, -1]).replace_schema_metadata(metadata)
    first, refused = topics(written(tmp_path, "labels.parquet", labels))
    assert first == ("Acme rose", "Sports")
    assert "has no value" in refused
    tags = parquet(tokens=[["Acme", "Corp", "rose"]], ner_tags=[[1, 2, 0]]).replace_schema_metadata(metadata)
    assert entities(written(tmp_path, "tags.parquet", tags)) == [("Acme Corp rose", [("Acme Corp", "ORG")])]


def test_parquet_ids(tmp_path: Path) -> None:
    table = parquet(id=pa.array([123.0, float("nan")]), title=["Acme rose", "x"], body=["", ""])
    found = [
        row
        for row in looked_at(written(tmp_path, "a.parquet", table), None, ColumnMapping(id="id")).events()
        if isinstance(row, Article)
    ]
    assert [row.article_id for row in found] == ["123", found[1].event_id]


@pytest.mark.parametrize(("numbers", "large"), [(pa.float64(), 2.0**53), (pa.float32(), 2.0**24)])
def test_parquet_ids_that_stand_for_several_numbers_are_refused(tmp_path: Path, numbers: pa.DataType, large: float) -> None:
    table = parquet(id=pa.array([large - 1, large, large + 2], numbers), title=["a", "b", "c"])
    read, *refused = articles(written(tmp_path, "a.parquet", table), ColumnMapping(id="id"))
    assert read == ("a", "")
    assert [row.startswith("refused: column 'id'") for row in refused] == [True, True]


WORKBOOK = b"PK\x03\x04\x14\x00\x06\x00\x08\x00[Content_Types].xml" + b"\x00" * 20 + b"PK\x03\x04xl/workbook.xml"


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl", "x.json", "x.conll", "x.tsv", "x.xlsx", "x.zip", "x"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (gzip.compress(b"text,label\na,b\n"), "gzip"),
        (WORKBOOK, "Excel"),
        (b"PK\x03\x04 rows.csv", "ZIP"),
        (b"\n<!DOCTYPE html>\n<html><p>Not found, sorry</p></html>\n", "HTML"),
        (b"<HTML><p>Not found, sorry</p></HTML>\n", "HTML"),
        (b"PAR1\x00\x01", "Parquet"),
        (b"\x00" * 100, "zero bytes"),
    ],
)
def test_a_file_of_another_kind_is_called_what_it_is(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    with pytest.raises(UserError, match=said):
        topics(written(tmp_path, name, content))


@pytest.mark.parametrize("before", ["Export of 2024\n", "Export of 2024\n\n", "Report\nof all\n"])
@pytest.mark.parametrize("sign", [",", ";", "\t"])
def test_lines_before_the_column_names_are_named(tmp_path: Path, before: str, sign: str) -> None:
    rows = f"text{sign}label\nAcme rose{sign}economy\nLyon{sign}sport\n"
    with pytest.raises(UserError, match="column names"):
        topics(written(tmp_path, "rows.csv", before + rows))
    assert len(articles(written(tmp_path, "one.csv", f"text\nAcme rose\nLyon{sign} calm\nRome\n"))) == 3
