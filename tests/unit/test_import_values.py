"""No value is turned into text to become a label, an offset, a text or an id; what is not clear is refused by its name."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from config.errors import UserError
from consumers.events.schemas import Article, Label
from consumers.formats.mapping import ColumnMapping, read_label_map
from consumers.formats.values import read_id
from tests.support.imports import ENTITIES, NOW, articles, entities, looked_at, topics, written

TEXT = "Acme Corp rose."
ORG = {"start": 0, "end": 9, "label": "ORG"}
READ = (TEXT, [("Acme Corp", "ORG")])


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (0, "0"),
        (1.0, "1"),
        (["politics"], "politics"),
        ({"choices": ["politics"]}, "politics"),
        ("politics, domestic", "politics, domestic"),
        ("a=b", "a=b"),
        ("[/red]", "[/red]"),
        (" politics ", "politics"),
        ("Politics", "Politics"),
        ("e\u0301conomie", "\xe9conomie"),
        ('["politics"]', "politics"),
        ("['politics']", "politics"),
        ('{"choices": ["politics"]}', "politics"),
        ([7], "7"),
    ],
)
def test_a_label_is_a_text_or_a_whole_number(tmp_path: Path, value: object, label: str) -> None:
    rows = [{"text": TEXT, "label": value}, {"text": "Neighbour", "label": "x"}]
    assert topics(written(tmp_path, "rows.jsonl", rows)) == [(TEXT, label), ("Neighbour", "x")]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "has no value"),
        (math.nan, "is NaN"),
        ("", "is empty"),
        ("   ", "is empty"),
        (True, "--label-map true="),
        (["politics", "economy"], "2 labels"),
        ([], "no label"),
        ({"politics": 1}, "an object"),
        (1.5, "a number (1.5)"),
        ([["x"]], "a list"),
        (["a", None], "2 labels"),
        ([None], "the label is nothing"),
        ("poli\ntics", "invisible character"),
        ("politics\u200b", "invisible character"),
        ("nan", "stands for a missing value"),
        ("NULL", "stands for a missing value"),
        ("\ud83d", "half of a surrogate pair"),
        ({"choices": []}, "no label"),
        ({"choices": ["a", "b"]}, "2 labels"),
        ("['a', 'b']", "2 labels"),
        ("x" * 201, "201 characters"),
    ],
)
def test_what_is_no_label_costs_its_row_only(tmp_path: Path, value: object, said: str) -> None:
    rows = [{"text": TEXT, "label": value}, {"text": "Neighbour", "label": "x"}]
    refused, neighbour = topics(written(tmp_path, "rows.jsonl", rows))
    assert refused.startswith("refused: column 'label' (label)")
    assert said in refused
    assert neighbour == ("Neighbour", "x")


def test_a_map_names_what_is_no_label_by_itself(tmp_path: Path) -> None:
    rows = [
        {"text": TEXT, "label": True},
        {"text": TEXT, "label": False},
        {"text": TEXT, "label": "nan"},
        {"text": TEXT, "label": 3},
    ]
    names = read_label_map("true=fake,false=real,nan=unknown,3=")
    assert topics(written(tmp_path, "rows.jsonl", rows), labels=names) == [
        (TEXT, "fake"),
        (TEXT, "real"),
        (TEXT, "unknown"),
        "left out: rows with a label that --label-map drops",
    ]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("map.csv", '"Arts, culture",arts\na=b,equal\n'),
        ("map.json", '{"Arts, culture": "arts", "a=b": "equal"}'),
        ("map.yaml", "Arts, culture: arts\na=b: equal\n"),
        ("map.txt", '"Arts, culture","arts"\n"a=b","equal"\n'),
    ],
)
def test_labels_with_a_comma_or_an_equals_sign_are_mapped_by_a_file(tmp_path: Path, name: str, content: str) -> None:
    names = read_label_map(f"@{written(tmp_path, name, content)}")
    path = written(tmp_path, "rows.csv", 'text,label\nAcme rose today,"Arts, culture"\nfine row here,a=b\n')
    assert topics(path, labels=names) == [("Acme rose today", "arts"), ("fine row here", "equal")]


@pytest.mark.parametrize(
    ("name", "content", "pairs"),
    [
        ("map.json", '{"\\ud83d\\ude00 fun": "fun"}', {"\U0001f600 fun": "fun"}),
        ("map.json", '{"a": "b", "a": "b"}', {"a": "b"}),
        ("map.json", '{"x": "", "3": 7}', {"x": "", "3": "7"}),
        ("map.json", '{"x": "null"}', {"x": "null"}),
        ("map.yaml", "x:\n3: 7\nyes: no\n", {"x": "", "3": "7", "yes": "no"}),
        ("map.yaml", 'x: "null"\n', {"x": "null"}),
    ],
)
def test_a_mapping_file_is_read_as_what_it_is(tmp_path: Path, name: str, content: str, pairs: dict[str, str]) -> None:
    assert read_label_map(f"@{written(tmp_path, name, content)}") == pairs


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("map.json", '{"a=b": null}'),
        ("map.json", '{"a": true}'),
        ("map.json", '{"a": 1.5}'),
        ("map.json", '{"a": "b", "a": "c"}'),
        ("map.json", '[["a", "b"]]'),
        ("map.json", "{" * 10_000),
        ("map.json", ""),
        ("map.yaml", "a: null\n"),
        ("map.yaml", "a: ~\n"),
        ("map.yaml", "a: b\na: c\n"),
        ("map.yaml", "a: {b: c}\n"),
        ("map.yml", "- a\n"),
        ("map.yml", ""),
    ],
)
def test_a_mapping_file_that_says_two_things_or_nothing_is_refused(tmp_path: Path, name: str, content: str) -> None:
    with pytest.raises(UserError, match="--label-map"):
        read_label_map(f"@{written(tmp_path, name, content)}")


@pytest.mark.parametrize("content", ["a,b,c\n", '{"a": ["b"]}', "[1, 2, 3]", '{"a": {"b": "c"}}', '"a\n', "a,b\na,c\n", ",b\n"])
@pytest.mark.parametrize("name", ["map.csv", "map.json"])
def test_a_mapping_file_that_holds_something_else_is_refused(tmp_path: Path, name: str, content: str) -> None:
    with pytest.raises(UserError, match="--label-map"):
        read_label_map(f"@{written(tmp_path, name, content)}")
    with pytest.raises(UserError, match="--label-map"):
        read_label_map(f"@{tmp_path / 'missing.csv'}")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (123, "a number (123)"),
        (["EU", "rejects"], "a list"),
        ({"html": "x"}, "an object"),
        (None, "empty"),
        ("", "empty"),
        ("   \n", "empty"),
        (math.nan, "empty"),
        (True, "true or false"),
        ("\u200b\u200d", "only invisible characters"),
        ("\u3164", "only invisible characters"),
        ("\u2800\u2800", "only invisible characters"),
        ("\u115f", "only invisible characters"),
        ("\ufe0f", "only invisible characters"),
        ("cut \ud83d", "half of a surrogate pair"),
        (1.0, "a number"),
    ],
)
def test_what_is_no_text_costs_its_row_only(tmp_path: Path, value: object, said: str) -> None:
    path = written(tmp_path, "rows.jsonl", [{"text": value, "label": "a"}, {"text": "whole emoji \U0001f600", "label": "a"}])
    refused, neighbour = topics(path)
    assert refused.startswith("refused: ")
    assert said in refused
    assert neighbour == ("whole emoji \U0001f600", "a")
    assert articles(path)[0].startswith("refused: ")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (123.0, "123"),
        (7, "7"),
        ("https://site.example/?p=12", "https://site.example/?p=12"),
        ("123.0", "123.0"),
        ("0012", "0012"),
    ],
)
def test_ids_are_texts_or_whole_numbers(tmp_path: Path, value: object, expected: str) -> None:
    [found] = looked_at(written(tmp_path, "rows.jsonl", [{"id": value, "title": TEXT}]), None, ColumnMapping(id="id")).events()
    assert isinstance(found, Article)
    assert found.article_id == expected


@pytest.mark.parametrize("value", [2.0**53, -(2.0**53), 1790000000000000001.0, 1e300])
def test_a_number_that_stands_for_several_is_no_id_and_no_label(tmp_path: Path, value: float) -> None:
    path = written(tmp_path, "rows.jsonl", [{"id": value, "title": TEXT, "text": TEXT, "label": value}])
    [refused] = articles(path, ColumnMapping(id="id"))
    assert refused.startswith("refused: column 'id'")
    assert "write the column as text" in refused
    [refused] = topics(path)
    assert refused.startswith("refused: column 'label'")


@pytest.mark.parametrize("value", [2**53 + 1, 2.0**53 - 1, Decimal(2**60)])
def test_numbers_that_stand_for_one_are_ids_of_any_size(value: object) -> None:
    assert read_id(value) == str(int(value))  # type: ignore[call-overload]


@pytest.mark.parametrize("value", [None, "", math.nan, "  "])
def test_a_missing_id_is_no_id(tmp_path: Path, value: object) -> None:
    path = written(tmp_path, "rows.jsonl", [{"id": value, "title": TEXT, "text": TEXT, "label": "a"}])
    [article] = looked_at(path, None, ColumnMapping(id="id")).events()
    assert isinstance(article, Article)
    assert article.article_id == article.event_id


@pytest.mark.parametrize("value", [True, ["a"], {"a": 1}, 1.5])
def test_what_is_no_id_costs_its_row(tmp_path: Path, value: object) -> None:
    [refused] = articles(written(tmp_path, "rows.jsonl", [{"id": value, "title": TEXT}]), ColumnMapping(id="id"))
    assert "an id is a text or a whole number" in refused


@pytest.mark.parametrize(
    "spans",
    [
        [{"start": 0.0, "end": 9.0, "label": "ORG"}],
        [[0, 9, "ORG"]],
        [{"start": 0, "end": 9, "labels": ["ORG"]}],
        [{"start_offset": 0, "end_offset": 9, "label": "ORG"}],
        json.dumps([ORG]),
        str([ORG]),
        {"entities": [[0, 9, "ORG"]]},
        [ORG, ORG],
        [{"start": 0, "end": 9, "type": "ORG", "text": "Acme Corp"}],
        [{"start": 0, "end": 10, "label": "ORG", "text": "Acme Corp"}],
    ],
)
def test_spans_are_read_in_the_shapes_that_tools_write(tmp_path: Path, spans: object) -> None:
    assert entities(written(tmp_path, "rows.jsonl", [{"text": TEXT, "spans": spans}])) == [READ]


@pytest.mark.parametrize(
    ("spans", "said"),
    [
        ([{"start": "0", "end": "9", "label": "ORG"}], "a whole number is expected"),
        (None, "has no value"),
        ("", "is empty"),
        ([{"start": 0, "end": 9, "label": None}], "the label is nothing"),
        ([{"start": 0, "end": 9.5, "label": "ORG"}], "9.5"),
        ([{"start": True, "end": 9, "label": "ORG"}], "true or false"),
        ([{"start": -5, "end": 9, "label": "ORG"}], "negative"),
        ([{"start": 0, "end": 99, "label": "ORG"}], "15 code points"),
        ([{"start": 4, "end": 4, "label": "ORG"}], "is empty"),
        ([{"start": 0, "end": 9, "label": math.nan}], "NaN"),
        ("Acme", "expected as a list"),
        ([5], "expected as a list"),
        (math.nan, "NaN"),
        ([{"start": 0, "end": 9, "labels": ["ORG", "PER"]}], "2 labels"),
        ([ORG, {**ORG, "label": "PER"}], "two labels"),
        ([ORG, {"start": 5, "end": 12, "label": "PER"}], "overlap"),
        ([{"start": 10**400, "end": 9, "label": "ORG"}], "empty or negative"),
        ([{"start": 0, "end": 4, "label": "ORG", "text": "Corp"}], "is said to be 'Corp', but 'Acme' stands there"),
    ],
)
def test_spans_that_cannot_be_meant_cost_their_row_only(tmp_path: Path, spans: object, said: str) -> None:
    path = written(
        tmp_path, "rows.jsonl", [{"text": TEXT, "spans": spans}, {"text": TEXT, "spans": [ORG]}, {"text": TEXT, "spans": []}]
    )
    refused, read, none = entities(path)
    assert refused.startswith("refused: ")
    assert said in refused
    assert (read, none) == (READ, (TEXT, []))


@pytest.mark.parametrize(
    ("text", "spans", "unit"),
    [
        (
            "\U0001f4a9\U0001f4a9Nova Telecom shuts shops in Quito today.",
            [
                {"start": 4, "end": 16, "text": "Nova Telecom", "label": "ORG"},
                {"start": 32, "end": 37, "text": "Quito", "label": "GPE"},
            ],
            "UTF-16 units",
        ),
        (
            "\U0001f600 Nova Telecom met in Quito.",
            [{"start": 3, "end": 15, "text": "Nova Telecom", "label": "ORG"}, [23, 28, "GPE"]],
            "UTF-16 units",
        ),
        (
            "Caf\xe9 Nova Telecom met in Quito.",
            [{"start": 6, "end": 18, "text": "Nova Telecom", "label": "ORG"}, [26, 31, "GPE"]],
            "bytes of UTF-8",
        ),
        (
            "\U00020000 Nova Telecom met in Quito.",
            [{"start": 3, "end": 15, "text": "Nova Telecom", "label": "ORG"}, [23, 28, "GPE"]],
            "UTF-16 units",
        ),
    ],
)
def test_offsets_in_other_units_are_converted_and_said(tmp_path: Path, text: str, spans: list[Any], unit: str) -> None:
    found = looked_at(written(tmp_path, "rows.jsonl", [{"text": text, "spans": spans}]), ENTITIES)
    [row] = found.events()
    assert isinstance(row, Label)
    assert [text[span["start"] : span["end"]] for span in row.target["spans"]] == ["Nova Telecom", "Quito"]
    assert any(unit in one for one in found.findings.in_words())


EMOJI = "\U0001f600 Acme rose"
PROOFS: dict[str, Any] = {
    "UTF-16": {"text": EMOJI, "spans": [{"start": 3, "end": 7, "text": "Acme", "label": "ORG"}]},
    "code points": {"text": EMOJI, "spans": [{"start": 2, "end": 6, "text": "Acme", "label": "ORG"}]},
    "nothing": {"text": "Acme rose", "spans": [{"start": 0, "end": 4, "text": "Acme", "label": "ORG"}]},
}


@pytest.mark.parametrize(
    ("proofs", "start", "covered"),
    [
        (("UTF-16",), 3, "Acme"),
        (("UTF-16", "nothing"), 3, "Acme"),
        (("code points",), 2, "Acme"),
        (("nothing",), 2, "Acme"),
        ((), 2, "Acme"),
        (("UTF-16", "code points"), 3, None),
    ],
)
@pytest.mark.parametrize("proven_first", [True, False])
def test_rows_without_texts_of_spans_count_as_those_with_them(
    tmp_path: Path, proofs: tuple[str, ...], start: int, covered: str | None, proven_first: bool
) -> None:
    bare = {"text": f"{EMOJI} again", "spans": [[start, start + 4, "ORG"]]}
    rows = [PROOFS[name] for name in proofs]
    found = entities(written(tmp_path, "rows.jsonl", [*rows, bare] if proven_first else [bare, *rows]))
    [told_of] = found[-1:] if proven_first else found[:1]
    if covered is None:
        assert told_of.startswith("refused: column 'spans'")
    else:
        assert told_of == (bare["text"], [(covered, "ORG")])


def test_rows_that_all_units_read_alike_are_read_in_a_file_of_several(tmp_path: Path) -> None:
    plain: list[Any] = [{"text": "Acme rose", "spans": [[0, 4, "ORG"]]}, {"text": EMOJI, "spans": []}]
    for proofs in (("UTF-16",), ("UTF-16", "code points")):
        path = written(tmp_path, "rows.jsonl", [*map(PROOFS.__getitem__, proofs), *plain])
        assert entities(path)[-2:] == [("Acme rose", [("Acme", "ORG")]), (EMOJI, [])]


def test_offsets_that_no_unit_explains_are_refused(tmp_path: Path) -> None:
    text = "\U0001f600 Nova Telecom met in Quito."
    good, wrong = (
        {"start": 3, "end": 15, "text": "Nova Telecom", "label": "ORG"},
        {"start": 22, "end": 27, "text": "Lima", "label": "GPE"},
    )
    [refused] = entities(written(tmp_path, "rows.jsonl", [{"text": text, "spans": [good, wrong]}]))
    assert "is said to be" in refused


@pytest.mark.parametrize(
    ("text", "span", "kept"),
    [
        ("Shares of Acme Corp rose.", (9, 20), ["Acme Corp"]),
        ("The mayor  of Lyon spoke.", (9, 11), []),
        ("\xa0Paris\xa0is calm.", (0, 7), ["Paris"]),
        ("Paris\n\nis calm.", (5, 7), []),
        ("In\tParis \t now", (2, 11), ["Paris"]),
    ],
)
def test_white_space_is_no_part_of_an_entity(tmp_path: Path, text: str, span: tuple[int, int], kept: list[str]) -> None:
    found = looked_at(written(tmp_path, "rows.jsonl", [{"text": text, "spans": [[*span, "ORG"]]}]), ENTITIES)
    [row] = found.events()
    assert isinstance(row, Label)
    assert [text[one["start"] : one["end"]] for one in row.target["spans"]] == kept
    said = "outer white space" if kept else "unusable spans of white space only"
    assert any(said in one for one in found.findings.in_words())


@pytest.mark.parametrize(
    ("nested", "kept"), [("outermost", ["Port of Tema", "Ghana"]), ("innermost", ["Port", "Tema", "Ghana"]), ("refuse", None)]
)
def test_of_nested_spans_the_outermost_are_kept_unless_asked_otherwise(
    tmp_path: Path, nested: Any, kept: list[str] | None
) -> None:
    spans = [[8, 12, "GPE"], [0, 12, "FAC"], [16, 21, "GPE"], [0, 4, "FAC"]]
    path = written(tmp_path, "rows.jsonl", [{"text": "Port of Tema in Ghana", "spans": spans}])
    [row] = entities(path, nested=nested)
    if kept is None:
        assert "are nested" in row
    else:
        assert [text for text, _ in row[1]] == kept


def test_rows_ahead_of_the_clock_are_refused_as_they_would_be_on_arrival(tmp_path: Path) -> None:
    rows = [
        {"text": TEXT, "label": "a", "when": when}
        for when in ("2099-01-01", NOW.isoformat(), "20030219", "Wed, 02 Oct 2002 08:00:00 EST", 2024)
    ]
    first, *others, last = topics(written(tmp_path, "rows.jsonl", rows), ColumnMapping(time="when"))
    assert "ahead of this machine's clock" in first
    assert others == [(TEXT, "a")] * 3
    assert "column 'when' (time): it is a year" in last


def test_rows_of_one_document_say_so(tmp_path: Path) -> None:
    rows = [{"text": TEXT, "label": "a", "story": story} for story in ("s-1", "s-1", 2.0, None)]
    path = written(tmp_path, "rows.jsonl", rows)
    found = looked_at(path, ENTITIES.model_copy(update={"kind": "classification"}), ColumnMapping(group="story")).events()
    assert [row.document_id for row in found if isinstance(row, Label)] == ["s-1", "s-1", "2", None]


def test_html_is_decoded_where_no_offsets_depend_on_it(tmp_path: Path) -> None:
    rows = [
        {"title": "Q&amp;A: budget", "body": None, "label": "politics"},
        {"title": "Trump&#8217;s wall", "body": "<p>It rises &amp; falls.</p>", "label": "politics"},
        {"title": "Caf&eacute; AT&T", "body": "", "label": "business"},
    ]
    path = written(tmp_path, "rows.jsonl", rows)
    texts = ["Q&A: budget", "Trump’s wall\n\nIt rises & falls.", "Café AT&T"]
    assert [text for text, _ in topics(path)] == texts
    read = looked_at(path, None).events()
    assert [row.text for row in read if isinstance(row, Article)] == texts
    row = {"text": "A&amp;B in Brno", "spans": [{"start": 11, "end": 15, "label": "GPE"}]}
    assert entities(written(tmp_path, "spans.jsonl", [row])) == [("A&amp;B in Brno", [("Brno", "GPE")])]
