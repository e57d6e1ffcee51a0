"""Relatives of what went wrong at import once: inputs of the same kinds that other people and tools write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from config.errors import UserError
from consumers.events.schemas import Label
from consumers.formats.mapping import ColumnMapping
from consumers.formats.values import read_label, read_labels, read_text
from tests.support.imports import ENTITIES, TOPICS, articles, entities, looked_at, told, topics, written

TEXT = "Acme Corp rose."


@pytest.mark.parametrize("value", ["nan", "NULL", "#NAME?", "<NA>", "NA", "['EU', 'rejects']", '["EU", "rejects"]', '{"a": "b"}'])
def test_what_tools_write_for_nothing_and_lists_written_as_text_are_no_texts(tmp_path: Path, value: str) -> None:
    rows = [{"text": value, "label": "x"}, {"text": "[Reuters] Nan and null are words", "label": "x"}]
    refused, kept = topics(written(tmp_path, "rows.jsonl", rows))
    assert refused.startswith("refused: column 'text'")
    assert kept == ("[Reuters] Nan and null are words", "x")


REPRS = [
    "b'Acme rose'", 'b"Acme\'s rose"', "('EU', 'x')", "('EU',)", "array(['EU'])", "array(['EU', 'x'], dtype=object)",
    "np.array([1])", "[EU, rejects]", "[]", "()", "[nan]", "[nan, 'x']", "[np.str_('EU')]", "[np.int64(3), np.int64(4)]",
    "[1]", "{'a', 'b'}",
]  # fmt: skip


@pytest.mark.parametrize("value", REPRS)
def test_values_that_python_wrote_as_text_are_no_texts(value: str) -> None:
    with pytest.raises(ValueError, match="written as text"):
        read_text(value)


@pytest.mark.parametrize(
    "value",
    [
        "[Reuters] Shares rose", "[Reuters]", "(Reuters) Shares rose (AP)", "('quoted')", "'Acme' rose", '"Acme rose"',
        "b'quoted", "b", "[Music and laughter, applause]", "array(x)", "(2024)", "{name}", "[/red]", "a (b)",
        "an answer (to all)",
    ],
)  # fmt: skip
def test_prose_in_brackets_or_quotes_is_a_text_and_a_label(value: str) -> None:
    assert read_text(value) == read_label(value) == value


@pytest.mark.parametrize(
    ("value", "labels"),
    [
        ("('a',)", ["a"]),
        ("array(['a'], dtype=object)", ["a"]),
        ("[np.str_('a')]", ["a"]),
        ("[np.int64(3)]", ["3"]),
        ("('a', 'b')", ["a", "b"]),
        ("[sport, economy]", ["sport", "economy"]),
        ("array(['a', 'b'])", ["a", "b"]),
        ("b'econ'", None),
        ("[nan]", None),
        ("['a', nan]", None),
        ("[\"b'econ'\"]", None),
    ],
)
def test_labels_that_python_wrote_as_text_are_decoded_or_refused(value: str, labels: list[str] | None) -> None:
    if labels is None:
        for read in (read_labels, read_label):
            with pytest.raises(ValueError, match="label"):
                read(value)
        return
    with pytest.raises(ValueError, match="label"):
        read_labels(f"b'{labels[0]}'|b'b'")
    assert read_labels(value) == labels
    if len(labels) == 1:
        assert read_label(value) == labels[0]


@pytest.mark.parametrize("value", ["nan", "NaN", "None", "null", "<NA>"])
def test_an_id_that_stands_for_nothing_joins_no_rows(tmp_path: Path, value: str) -> None:
    path = written(tmp_path, "rows.csv", f"text,label,doc\na b,x,{value}\nc d,y,d1\n")
    events = list(looked_at(path, TOPICS, ColumnMapping(group="doc")).events())
    assert [event.document_id for event in events if isinstance(event, Label)] == [None, "d1"]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (("1.0", "", "3.0"), ["1", None, "3"]),
        (("1.0", "2.50", "3"), ["1.0", "2.50", "3"]),
        (("v1.0", "2.0", ""), ["v1.0", "2.0", None]),
    ],
)
def test_whole_numbers_with_a_decimal_point_are_whole_where_all_of_a_table_are(
    tmp_path: Path, column: tuple[str, ...], expected: list[str | None]
) -> None:
    content = "doc,text,label\n" + "".join(f"{value},some text,x\n" for value in column)
    found = looked_at(written(tmp_path, "rows.csv", content), TOPICS, ColumnMapping(group="doc"))
    assert [event.document_id for event in found.events() if isinstance(event, Label)] == expected
    assert any("decimal point" in said for said in found.said) == ("1" in expected)


@pytest.mark.parametrize(
    ("written_as", "label"),
    [("['x' 'y']", None), ("['x']", "x"), ('["it\'s" "y"]', None), ("[3 0]", None), ("['x'\n 'y']", None)],
)
def test_lists_as_numpy_writes_them_are_lists(tmp_path: Path, written_as: str, label: str | None) -> None:
    [row] = topics(written(tmp_path, "rows.jsonl", [{"text": TEXT, "label": written_as}]))
    assert row == (TEXT, label) if label else "2 labels" in row


@pytest.mark.parametrize(
    ("text", "span", "kept"),
    [
        ("Paris\u200b is", (5, 6), []),
        ("\ufeff Paris", (0, 2), []),
        ("\u200eParis\u200e is", (0, 7), ["Paris"]),
        ("Paris\u00ad is", (0, 6), ["Paris"]),
    ],
)
def test_what_cannot_be_seen_is_no_part_of_an_entity(tmp_path: Path, text: str, span: tuple[int, int], kept: list[str]) -> None:
    row = {"text": text, "spans": [[*span, "LOC"]]}
    assert entities(written(tmp_path, "rows.jsonl", [row])) == [(text, [(one, "LOC") for one in kept])]


@pytest.mark.parametrize(
    ("text", "start", "covered"),
    [("One\r\nParis here", 4, "Paris"), ("A\r\nb\r\nCannes", 4, "Cannes"), ("\U0001f680\U0001f680\r\nKiel", 5, "Kiel")],
)
def test_offsets_that_count_a_line_end_once_are_converted(tmp_path: Path, text: str, start: int, covered: str) -> None:
    span = {"start": start, "end": start + len(covered), "label": "LOC", "text": covered}
    found = looked_at(written(tmp_path, "rows.jsonl", [{"text": text, "spans": [span]}]), ENTITIES)
    [event] = found.events()
    assert isinstance(event, Label)
    [kept] = event.target["spans"]
    assert text[kept["start"] : kept["end"]] == covered
    assert any("line end" in what for what in found.findings.counts)


@pytest.mark.parametrize("odd", ["Skip", "unsure", "yes"])
def test_an_unknown_answer_does_not_make_rejected_rows_gold(tmp_path: Path, odd: str) -> None:
    rows = [{"text": "Bank acts", "label": "x", "answer": answer, "_task_hash": 1} for answer in ("Accept", "reject", odd, None)]
    accepted, rejected, unknown, unanswered = topics(written(tmp_path, "rows.jsonl", rows))
    assert accepted == ("Bank acts", "x")
    assert rejected.startswith("left out: ")
    assert unknown.startswith("refused: column 'answer'")
    assert unanswered.startswith("left out: ")


@pytest.mark.parametrize("kind", ["hypertextlabels", "paragraphlabels", "rectanglelabels"])
@pytest.mark.parametrize("name", ["min.json", "full.json"])
def test_regions_that_are_not_of_plain_text_are_refused_and_not_read_as_none(tmp_path: Path, kind: str, name: str) -> None:
    region = {"start": "/p[1]", "end": "/p[1]", "startOffset": 0, "endOffset": 4, "text": "Anna", kind: ["PER"]}
    full = {"data": {"text": "Anna met"}, "annotations": [{"result": [{"value": region, "from_name": "ner", "type": kind}]}]}
    row = full if name == "full.json" else {"text": "Anna met", "ner": [region], "annotator": 1, "annotation_id": 2}
    [told_of] = entities(written(tmp_path, name, json.dumps([row])))
    assert told_of.startswith("refused: column 'ner'")


@pytest.mark.parametrize(
    "row",
    [
        {"text": "Anna met", "sentiment": "good", "annotator": 1, "annotation_id": 2, "lead_time": 1.0},
        {"text": "Anna met", "topics": {"choices": ["a", "b"]}, "annotator": 1, "annotation_id": 2},
        {"data": {"text": "Anna met"}, "annotations": [{"result": [{"value": {"choices": ["a"]}, "from_name": "topic"}]}]},
    ],
)
def test_choices_say_nothing_of_entities(tmp_path: Path, row: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="spans"):
        entities(written(tmp_path, "rows.json", json.dumps([row])))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.jsonl", [{"id": 1, "data": "Anna met", "label": ["x"]}]),
        ("rows.csv", "id,data,label\n1,Anna met,x\n"),
        ("rows.json", json.dumps([{"id": 1, "data": "Anna met", "labels": ["x"]}])),
    ],
)
def test_doccano_may_call_the_text_data(tmp_path: Path, name: str, content: Any) -> None:
    assert topics(written(tmp_path, name, content)) == [("Anna met", "x")]


@pytest.mark.parametrize("column", ["label", "labels"])
@pytest.mark.parametrize(
    ("value", "labels"), [("x", ["x"]), ("x#y", ["x", "y"]), ("x#y#z", ["x", "y", "z"]), ("C#", ["C#"]), ("#1", ["#1"])]
)
def test_labels_that_doccano_joins_are_several(tmp_path: Path, column: str, value: str, labels: list[str]) -> None:
    path = written(tmp_path, "rows.csv", f"id,data,{column}\n1,Anna met,{value}\n2,Rome,x\n")
    several = TOPICS.model_copy(update={"kind": "multilabel"})
    for mapping in (None, ColumnMapping(label=column)):
        first, last = list(looked_at(path, several, mapping).events())
        assert isinstance(first, Label)
        assert isinstance(last, Label)
        assert (sorted(first.target["labels"]), last.target["labels"]) == (sorted(labels), ["x"])
        [row, _] = topics(path, mapping)
        assert row == ("Anna met", value) if len(labels) == 1 else row.startswith("refused: ")


@pytest.mark.parametrize(
    ("tokens", "tags"),
    [("['EU' 'rejects']", "['B-ORG' 'O']"), ("['EU'\n 'rejects']", "['B-ORG', 'O']"), ('["EU" "rejects"]', '["B-ORG", "O"]')],
)
def test_token_lists_as_numpy_writes_them(tmp_path: Path, tokens: str, tags: str) -> None:
    rows = [{"tokens": tokens, "ner_tags": tags}]
    assert entities(written(tmp_path, "rows.jsonl", rows)) == [("EU rejects", [("EU", "ORG")])]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("1-2\tAnna's\t_\n1\tAnna\tB-PER\n2\t's\tO\n\n1\tBob\tB-PER\n1.1\tran\tO\n2\tsat\tO\n",
         [("Anna 's", [("Anna", "PER")]), ("Bob sat", [("Bob", "PER")])]),
        ("1\tvamos\tO\n2-3\tal\t_\n2\ta\tO\n3\tel\tO\n4\tmar\tB-LOC\n", [("vamos a el mar", [("mar", "LOC")])]),
        ("3-1\tCD\tO\nwin\tNN\tO\nBerlin\tNN\tB-LOC\n", [("3-1 win Berlin", [("Berlin", "LOC")])]),
    ],
)  # fmt: skip
def test_words_in_several_parts_and_empty_nodes_are_no_tokens(tmp_path: Path, content: str, expected: list[Any]) -> None:
    assert entities(written(tmp_path, "rows.conllu", content)) == expected


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [("B-PER E-PER W-LOC O", "BMEWO"), ("B-PER M-PER W-LOC O", "BMEWO"), ("B:PER I:PER B:LOC O", "IOB2")],
)
def test_other_marks_are_no_types(tmp_path: Path, tags: str, scheme: str) -> None:
    content = "".join(f"{token} {tag}\n" for token, tag in zip(("Anna", "Bell", "Rome", "in"), tags.split(), strict=True))
    found = looked_at(written(tmp_path, "rows.conll", content), ENTITIES)
    assert told(found) == [("Anna Bell Rome in", [("Anna Bell", "PER"), ("Rome", "LOC")])]
    assert f"tags: {scheme}" in found.said


@pytest.mark.parametrize("odd", ["BPER", "PERS", "IPER"])
def test_a_tag_without_a_prefix_among_others_is_named(tmp_path: Path, odd: str) -> None:
    found = looked_at(written(tmp_path, "rows.conll", f"Anna B-PER\nmet O\nBob {odd}\n\nRome B-LOC\n"), ENTITIES)
    assert any("without a prefix" in said and odd in said for said in found.said)


@pytest.mark.parametrize("columns", [None, ("2", "3", "4")])
@pytest.mark.parametrize("inner", ["B-LOC", "B-PERderiv", "B-ORG"])
def test_of_nested_entities_over_the_same_tokens_the_outer_is_kept(
    tmp_path: Path, inner: str, columns: tuple[str, ...] | None
) -> None:
    sentences = [f"1\tTagesspiegel\tB-ORG\t{inner}\n2\tsagt\tO\tO\n"]
    sentences += ["1\tAnna\tB-PER\tO\n2\tBell\tI-PER\tB-LOC\n"] * 3
    path = written(tmp_path, "rows.conll", "\n".join(sentences))
    assert entities(path, columns=columns)[0] == ("Tagesspiegel sagt", [("Tagesspiegel", "ORG")])


@pytest.mark.parametrize(("columns", "label"), [(("1", "2"), "PER"), (("1", "3"), "ORG"), (("1", "4"), "LOC")])
def test_columns_may_be_named_of_lines_that_have_more(tmp_path: Path, columns: tuple[str, ...], label: str) -> None:
    path = written(tmp_path, "rows.conll", "Anna B-PER B-ORG B-LOC x\nmet O O O x\n")
    assert entities(path, columns=columns) == [("Anna met", [("Anna", label)])]


@pytest.mark.parametrize("content", ["text,label\na b,x\ntext,label\nc d,y\n", "text;label\na b;x\ntext;label\nc d;y\n"])
def test_column_names_that_stand_again_are_no_row(tmp_path: Path, content: str) -> None:
    first, again, second = topics(written(tmp_path, "rows.csv", content))
    assert (first, second) == (("a b", "x"), ("c d", "y"))
    assert again.startswith("left out: ")


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("koi8_r", "Москва сегодня приняла закон. Путин встретился с министрами"),
        ("cp1253", "Η Αθήνα σήμερα έχει ήλιο"),
        ("cp1254", "Çağdaş şehirde güneşli bir gün"),
        ("cp1255", "ירושלים היום שמש וגשם. הפוליטיקה בישראל משתנה כל יום"),
        ("cp1256", "القاهرة اليوم مشمسة"),
        ("cp874", "กรุงเทพวันนี้ฝนตก อากาศเย็น การเมืองไทยยังคงร้อนแรง"),
        ("iso8859_2", "Zażółć gęślą jaźń"),
        ("cp850", "Zürich ist größer"),
        ("mac_roman", "Ça va à Genève très élevé"),
        ("cp1252", "Það er kalt"),
        ("cp1252", "100 km² groß und 5 m³ für McÉwan"),
        ("shift_jis", "東京 beside much English text. 大阪 too and so on"),
        ("cp1253", "Αθήνα beside much English text and πολιτική too"),
        ("cp1251", "Привет beside much English text and политика too"),
        ("cp1252", "Rock®nRoll est très élevé"),
    ],
)
def test_older_encodings_are_recognised(tmp_path: Path, encoding: str, text: str) -> None:
    found = looked_at(written(tmp_path, "rows.csv", f"text,label\n{text},x\n".encode(encoding)), TOPICS)
    assert told(found) == [(text, "x")]
    assert any(said.startswith(f"encoding: {encoding}") for said in found.said)


@pytest.mark.parametrize(
    "row",
    [
        {"text": "Rome", "spans": [{"start": 0, "end": 4, "label": "LOC"}]},
        {"text": "北京今天下雨", "entities": [{"start_offset": 0, "end_offset": 2, "label": "LOC"}], "relations": [{"id": 1}]},
        {"data": {"text": "Rome is big"}, "predictions": [{"id": 1}], "annotations": [
            {"result": [{"value": {"start": 0, "end": 4, "labels": ["LOC"]}, "from_name": "ner", "type": "labels"}]}]},
    ],
)  # fmt: skip
@pytest.mark.parametrize("indent", [None, 1])
def test_one_row_alone_is_a_row_with_its_lists(tmp_path: Path, row: Any, indent: int | None) -> None:
    [(_, [(_, label)])] = entities(written(tmp_path, "rows.json", json.dumps(row, indent=indent)))
    assert label == "LOC"


@pytest.mark.parametrize("entries", ["items", "entries", "articles"])
def test_a_feed_with_a_title_of_its_own_is_no_article(tmp_path: Path, entries: str) -> None:
    feed = {"title": "My example feed", entries: [{"title": "Bank acts again"}, {"title": "Rates rise"}]}
    with pytest.raises(UserError, match=entries):
        articles(written(tmp_path, "feed.json", json.dumps(feed)))


def test_bytes_inside_lists_of_parquet_are_texts(tmp_path: Path) -> None:
    tokens = pa.array([[b"EU", b"rejects"], [b"\xff", b"x"]], pa.list_(pa.binary()))
    read, refused = entities(written(tmp_path, "rows.parquet", pa.table({"tokens": tokens, "ner_tags": [["B-ORG", "O"]] * 2})))
    assert read == ("EU rejects", [("EU", "ORG")])
    assert "not UTF-8" in refused


@pytest.mark.parametrize("kind", ["labels", "choices"])
def test_the_order_in_which_people_marked_a_text_is_no_difference(tmp_path: Path, kind: str) -> None:
    regions = [{"start": 0, "end": 4, "labels": ["ORG"]}, {"start": 10, "end": 14, "labels": ["LOC"]}]
    values: list[dict[str, Any]] = regions if kind == "labels" else [{"choices": ["x"]}]
    results = [[{"value": one, "from_name": "a", "type": kind} for one in order] for order in (values, values[::-1])]
    task = {"data": {"text": "Acme from Rome"}, "annotations": [{"result": result} for result in results]}
    read = entities if kind == "labels" else topics
    [row] = read(written(tmp_path, "rows.json", json.dumps([task])))
    assert row == ("Acme from Rome", [("Acme", "ORG"), ("Rome", "LOC")] if kind == "labels" else "x")


@pytest.mark.parametrize("broken", ['"c d\t"y"', '"c d', '"c" d\t"y"'])
def test_tabs_with_column_names_in_quotes_keep_their_quotes_where_one_is_broken(tmp_path: Path, broken: str) -> None:
    content = f'"text"\t"label"\n"a b"\t"x"\n{broken}\n"e f"\t"z"\n'
    first, refused, last = topics(written(tmp_path, "rows.tsv", content))
    assert (first, last) == (("a b", "x"), ("e f", "z"))
    assert refused.startswith("refused: ")
