"""What annotation tools write is read as they mean it, and the layout is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from config.errors import UserError
from consumers.events.schemas import Label
from consumers.formats.mapping import ColumnMapping
from tests.support.imports import ENTITIES, entities, looked_at, topics, written

ACME = ("Acme Corp rose.", [("Acme Corp", "ORG")])
CALM = ("Lyon is calm.", [])


def studio_task(text: str, result: list[dict[str, Any]] | None, **annotation: Any) -> dict[str, Any]:
    annotations = [] if result is None else [{"id": 9, "result": result, "was_cancelled": False, **annotation}]
    return {"id": 1, "data": {"text": text}, "annotations": annotations, "predictions": [{"result": [region(0, 2, "X", "Ac")]}]}


def region(start: int, end: int, label: str, text: str) -> dict[str, Any]:
    value = {"start": start, "end": end, "text": text, "labels": [label]}
    return {"value": value, "from_name": "ner", "to_name": "text", "type": "labels"}


def choice(name: str, *chosen: str) -> dict[str, Any]:
    return {"value": {"choices": list(chosen)}, "from_name": name, "to_name": "text", "type": "choices"}


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param(
            [
                {
                    "id": 1,
                    "text": "Acme Corp rose.",
                    "relations": [],
                    "Comments": [],
                    "entities": [{"id": 7, "label": "ORG", "start_offset": 0, "end_offset": 9}],
                }
            ],
            [ACME],
            id="n05: entities with offsets",
        ),
        pytest.param(
            [
                {"id": 1, "text": "Acme Corp rose.", "label": [[0, 9, "ORG"]]},
                {"id": 2, "data": "Lyon is calm.", "label": [[0, 4, "GPE"]]},
            ],
            [ACME, ("Lyon is calm.", [("Lyon", "GPE")])],
            id="n06: lists, text in data",
        ),
        pytest.param(
            [{"text": "Acme Corp rose.", "labels": [[0, 9, "ORG"]]}, {"text": "Lyon is calm.", "labels": []}],
            [ACME, CALM],
            id="older: labels",
        ),
        pytest.param(
            [{"id": 1, "text": "Lyon is calm.", "entities": [], "relations": []}],
            [CALM],
            id="nobody found an entity",
        ),
        pytest.param(
            [
                {
                    "id": 3,
                    "text": "Acme Corp rose.",
                    "meta": {},
                    "annotations": [{"label": 1, "start_offset": 0, "end_offset": 9, "user": 1}],
                }
            ],
            [("Acme Corp rose.", [("Acme Corp", "1")])],
            id="oldest: annotations",
        ),
    ],
)
def test_doccano_entities(tmp_path: Path, rows: list[Any], expected: list[Any]) -> None:
    path = written(tmp_path, "export.jsonl", rows)
    assert entities(path) == expected
    assert "layout: doccano" in looked_at(path, ENTITIES).said


def test_doccano_classes(tmp_path: Path) -> None:
    rows = [
        {"text": "Budget passes.", "label": ["politics"]},
        {"text": "Cup final.", "label": ["politics", "sport"]},
        {"text": "Nobody said.", "label": []},
        {"id": 4, "data": "Rates rise.", "label": ["economy"], "Comments": []},
    ]
    first, second, third, fourth = topics(written(tmp_path, "export.jsonl", rows))
    assert (first, fourth) == (("Budget passes.", "politics"), ("Rates rise.", "economy"))
    assert "2 labels ('politics', 'sport'); this task takes one" in second
    assert "there is no label" in third
    older = [{"id": 1, "text": "Budget passes.", "annotations": [{"label": 2, "user": 1}], "meta": {}}]
    assert topics(written(tmp_path, "older.jsonl", older), labels={"2": "politics"}) == [("Budget passes.", "politics")]
    plural = written(tmp_path, "plural.json", json.dumps([{"text": "Budget passes.", "labels": ["politics"]}]))
    assert topics(plural) == [("Budget passes.", "politics")]


def test_label_studio_json_gives_what_people_said_and_no_predictions(tmp_path: Path) -> None:
    acme = region(0, 9, "ORG", "Acme Corp")
    tasks = [
        studio_task("Acme Corp rose.", [acme]),
        studio_task("Lyon is calm.", []),
        studio_task("Nobody looked.", None),
        studio_task("Somebody gave up.", [acme], was_cancelled=True),
    ]
    two = studio_task("Acme Corp rose.", [acme])
    two["annotations"].append({"result": [dict(acme, id="other")], "completed_by": 2})
    torn = studio_task("Acme Corp rose.", [acme])
    torn["annotations"].append({"result": [region(0, 4, "ORG", "Acme")]})
    settled = json.loads(json.dumps(torn))
    settled["annotations"][0]["ground_truth"] = True
    path = written(tmp_path, "export.json", json.dumps([*tasks, two, torn, settled]))
    rows = entities(path)
    left_out = "left out: tasks without annotations in Label Studio"
    assert rows[:5] == [ACME, CALM, left_out, left_out, ACME]
    assert "2 annotations of this task differ" in rows[5]
    assert rows[6] == ACME
    assert "layout: Label Studio" in looked_at(path, ENTITIES).said


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (
            "full.json",
            [
                {
                    "id": 1,
                    "data": {"text": "Acme Corp rose."},
                    "annotations": [
                        {"result": [{"value": {"start": 0, "end": 9, "text": "Acme Corp", "labels": ["ORG"]}, "type": "labels"}]}
                    ],
                }
            ],
        ),
        (
            "min.json",
            [
                {
                    "id": 1,
                    "text": "Acme Corp rose.",
                    "annotator": 1,
                    "lead_time": 2.5,
                    "label": [{"start": 0, "end": 9, "text": "Acme Corp", "labels": ["ORG"]}],
                }
            ],
        ),
        (
            "other-name.json",
            [
                {
                    "id": 1,
                    "text": "Acme Corp rose.",
                    "annotator": 1,
                    "annotation_id": 3,
                    "topic": "economy",
                    "ner": [{"start": 0, "end": 9, "text": "Acme Corp", "labels": ["ORG"]}],
                }
            ],
        ),
        (
            "completions.json",
            [{"id": 1, "data": {"text": "Acme Corp rose."}, "completions": [{"result": [region(0, 9, "ORG", "Acme Corp")]}]}],
        ),
    ],
)
def test_label_studio_entities(tmp_path: Path, name: str, content: list[Any]) -> None:
    assert entities(written(tmp_path, name, json.dumps(content))) == [ACME]


def test_label_studio_csv_and_conll(tmp_path: Path) -> None:
    content = (
        "annotation_id,annotator,created_at,id,label,lead_time,sentiment,text,updated_at\n"
        '1,1,2023,1,"[{""start"":0,""end"":9,""text"":""Acme Corp"",""labels"":[""ORG""]}]",3,economy,Acme Corp rose.,2023\n'
        '2,1,2023,2,"[]",3,"{""choices"": [""sport""]}",Lyon is calm.,2023\n'
    )
    path = written(tmp_path, "export.csv", content)
    assert entities(path) == [ACME, CALM]
    assert topics(path) == [("Acme Corp rose.", "economy"), ("Lyon is calm.", "sport")]
    conll = written(
        tmp_path, "export.conll", "-DOCSTART- -X- O\nAcme -X- _ B-ORG\nCorp -X- _ I-ORG\nrose -X- _ O\n\nLyon -X- _ O\n\n"
    )
    found = list(looked_at(conll, ENTITIES).events())
    assert entities(conll) == [("Acme Corp rose", [("Acme Corp", "ORG")]), ("Lyon", [])]
    # Label Studio writes one -DOCSTART- for all tasks: it names no documents.
    assert [row.document_id for row in found if isinstance(row, Label)] == [None, None]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (
            [
                {"id": 1, "text": "Club wins", "sentiment": "sport"},
                {"id": 2, "text": "Both", "sentiment": {"choices": ["sport", "x"]}},
            ],
            [("Club wins", "sport"), "2 labels ('sport', 'x')"],
        ),
        (
            [{"text": "Bank acts", "id": 1, "topic": "economy", "annotator": 1, "annotation_id": 1, "lead_time": 3.5}],
            [("Bank acts", "economy")],
        ),
        (
            [studio_task("Bank acts", [choice("topic", "economy")]), studio_task("Both", [choice("topic", "economy", "sport")])],
            [("Bank acts", "economy"), "2 labels ('economy', 'sport')"],
        ),
        ([{"id": 2, "text": "One choice in a list", "mood": {"choices": ["calm"]}}], [("One choice in a list", "calm")]),
    ],
)
def test_label_studio_choices(tmp_path: Path, rows: list[Any], expected: list[Any]) -> None:
    for row, wanted in zip(topics(written(tmp_path, "export.json", json.dumps(rows))), expected, strict=True):
        assert row == wanted or (isinstance(wanted, str) and wanted in row)


def test_several_controls_are_named_by_the_user(tmp_path: Path) -> None:
    path = written(
        tmp_path, "e.json", json.dumps([studio_task("Bank acts", [choice("topic", "economy"), choice("mood", "calm")])])
    )
    with pytest.raises(UserError, match=r"name the column of label; .*'topic', 'mood'"):
        topics(path)
    assert topics(path, ColumnMapping(label="mood")) == [("Bank acts", "calm")]


def test_prodigy_accepts_train_and_the_others_are_counted(tmp_path: Path) -> None:
    span = {"start": 0, "end": 9, "token_start": 0, "token_end": 1, "label": "ORG"}
    rows = [
        {
            "text": "Acme Corp rose.",
            "tokens": [{"text": "Acme", "start": 0, "end": 4, "id": 0}],
            "spans": [span],
            "answer": "accept",
        },
        {"text": "Green apples fell.", "spans": [span], "answer": "reject"},
        {"text": "Nothing to see.", "spans": [], "answer": "ignore"},
        {"text": "Acme Corp fell.", "spans": [span], "answer": "accept", "_view_id": "ner", "_input_hash": 1},
    ]
    path = written(tmp_path, "prodigy.jsonl", rows)
    assert entities(path) == [
        ACME,
        "left out: rows answered `reject` in Prodigy",
        "left out: rows answered `ignore` in Prodigy",
        ("Acme Corp fell.", [("Acme Corp", "ORG")]),
    ]
    found = [row for row in looked_at(path, ENTITIES).events() if isinstance(row, Label)]
    # Of a text where one suggestion was accepted the other entities are not known.
    assert [row.target.get("partial", False) for row in found] == [False, True]
    assert "layout: Prodigy" in looked_at(path, ENTITIES).said


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (
            [
                {"text": "Bank acts", "label": "economy", "answer": "accept", "_task_hash": 5},
                {"text": "Cup final", "label": "economy", "answer": "reject", "_task_hash": 6},
            ],
            [("Bank acts", "economy"), "left out: rows answered `reject` in Prodigy"],
        ),
        (
            [
                {
                    "text": "Bank acts",
                    "options": [{"id": "economy", "text": "Economy"}],
                    "accept": ["economy"],
                    "answer": "accept",
                },
                {"text": "Cup final", "options": [{"id": "economy", "text": "Economy"}], "accept": [], "answer": "ignore"},
            ],
            [("Bank acts", "economy"), "left out: rows answered `ignore` in Prodigy"],
        ),
    ],
)
def test_prodigy_classes(tmp_path: Path, rows: list[Any], expected: list[Any]) -> None:
    assert topics(written(tmp_path, "prodigy.jsonl", rows)) == expected


def test_answers_that_are_the_label_are_no_prodigy(tmp_path: Path) -> None:
    rows = [{"text": "Off-topic post", "answer": "reject"}, {"text": "Good post", "answer": "accept"}]
    path = written(tmp_path, "moderation.jsonl", rows)
    assert topics(path, ColumnMapping(label="answer")) == [("Off-topic post", "reject"), ("Good post", "accept")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("train.json", [["Acme Corp rose.", {"entities": [[0, 9, "ORG"]]}], ["Lyon is calm.", {"entities": []}]]),
        ("dicts.json", [{"text": "Acme Corp rose.", "entities": [[0, 9, "ORG"]]}, {"text": "Lyon is calm.", "entities": []}]),
        (
            "annotator.json",
            {
                "classes": ["ORG"],
                "annotations": [["Acme Corp rose.", {"entities": [[0, 9, "ORG"]]}], None, ["Lyon is calm.", {"entities": []}]],
            },
        ),
    ],
)
def test_spacy_training_data(tmp_path: Path, name: str, content: Any) -> None:
    path = written(tmp_path, name, json.dumps(content, indent=1))
    assert entities(path) == [ACME, CALM]
    assert "layout: spaCy" in looked_at(path, ENTITIES).said
    lines = "".join(json.dumps(row) + "\n" for row in content) if isinstance(content, list) else json.dumps(content)
    assert entities(written(tmp_path, "lines.jsonl", lines)) == [ACME, CALM]


def test_spacy_categories(tmp_path: Path) -> None:
    rows = [
        ["Bank acts", {"cats": {"economy": 1.0, "sport": 0.0}}],
        ["Both", {"cats": {"economy": 1, "sport": 1}}],
        ["None", {"cats": {"economy": 0.0}}],
    ]
    first, second, third = topics(written(tmp_path, "cats.json", json.dumps(rows)))
    assert first == ("Bank acts", "economy")
    assert "2 labels" in second
    assert "no label" in third


@pytest.mark.process
def test_docbin(tmp_path: Path) -> None:
    import spacy  # noqa: PLC0415 - heavy
    from spacy.tokens import DocBin  # noqa: PLC0415

    nlp = spacy.blank("en")
    documents = [nlp("Acme Corp rose."), nlp("Lyon is calm."), nlp("Nobody looked.")]
    documents[0].set_ents([documents[0].char_span(0, 9, label="ORG")])
    documents[1].set_ents([])
    documents[0].cats = {"economy": 1.0, "sport": 0.0}
    path = written(tmp_path, "train.spacy", DocBin(docs=documents).to_bytes())
    assert entities(path)[:2] == [ACME, CALM]
    assert "has no value" in entities(path)[2]
    assert topics(path)[0] == ("Acme Corp rose.", "economy")
    with pytest.raises(UserError, match="cannot be read as spaCy's DocBin"):
        entities(written(tmp_path, "wrong.spacy", b"\x00no DocBin at all"))


TOKENS = ["Acme", "Corp", "rose"]


@pytest.mark.parametrize(
    ("row", "names"),
    [
        ({"id": "0", "tokens": TOKENS, "ner_tags": [3, 4, 0]}, {"0": "O", "3": "B-ORG", "4": "I-ORG"}),
        ({"id": "0", "tokens": TOKENS, "ner_tags": ["B-ORG", "I-ORG", "O"], "pos_tags": ["NNP", "NNP", "VBD"]}, {}),
        ({"words": TOKENS, "labels": ["B-ORG", "L-ORG", "O"]}, {}),
        ({"tokens": TOKENS, "tags": [0, 0, 1]}, {"0": "ORG", "1": ""}),
        ({"text": TOKENS, "tags": ["B-ORG", "I-ORG", "O"]}, {}),
    ],
)
def test_tokens_with_tags(tmp_path: Path, row: dict[str, Any], names: dict[str, str]) -> None:
    assert entities(written(tmp_path, "rows.jsonl", [row]), labels=names) == [("Acme Corp rose", [("Acme Corp", "ORG")])]


def test_the_text_that_stands_beside_its_tokens_is_kept(tmp_path: Path) -> None:
    row = {"tokens": ["Acme", "Corp", "."], "ner_tags": ["B-ORG", "I-ORG", "O"]}
    path = written(tmp_path, "rows.jsonl", [row | {"text": text} for text in ("Acme  Corp.", "Another text")])
    assert entities(path) == [("Acme  Corp.", [("Acme  Corp", "ORG")]), ("Acme Corp .", [("Acme Corp", "ORG")])]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"tokens": TOKENS, "ner_tags": [3, 4, 0]}, "tag 3 is a number without a name; give --label-map"),
        ({"tokens": TOKENS, "ner_tags": ["B-ORG", "I-ORG"]}, "3 tokens in 'tokens', but 2 tags in 'ner_tags'"),
        ({"tokens": TOKENS, "ner_tags": ["B-ORG", None, "O"]}, "a tag is nothing"),
        ({"tokens": ["Acme", 7, "rose"], "ner_tags": ["B-ORG", "I-ORG", "O"]}, "a text is expected"),
        ({"tokens": TOKENS, "ner_tags": ["_", "B-ORG", "O"]}, "stands for a missing value"),
    ],
)
def test_tokens_that_do_not_fit_their_tags_are_refused(tmp_path: Path, row: dict[str, Any], said: str) -> None:
    good = {"tokens": ["calm"], "ner_tags": ["O"]}
    refused, read = entities(written(tmp_path, "rows.jsonl", [row, good]))
    assert refused.startswith("refused: ")
    assert said in refused
    assert read == ("calm", [])


@pytest.mark.parametrize(
    ("content", "options"),
    [
        ("Sentence #,Word,POS,Tag\nSentence: 1,Acme,NNP,B-ORG\n,Corp,NNP,I-ORG\n,rose,VBD,O\nSentence: 2,Lyon,NNP,O\n", {}),
        ("sentence_id;token;ner\n1;Acme;B-ORG\n1;Corp;I-ORG\n1;rose;O\n2;Lyon;O\n", {}),
        ("word\ttag\nAcme\tB-ORG\nCorp\tI-ORG\nrose\tO\n\nLyon\tO\n", {"delimiter": "\t"}),
        ("s,x,y\n1,Acme,B-ORG\n1,Corp,I-ORG\n1,rose,O\n2,Lyon,O\n", {"columns": ("x", "y", "s")}),
    ],
)
def test_a_table_with_a_token_a_row(tmp_path: Path, content: str, options: dict[str, Any]) -> None:
    path = written(tmp_path, "iob.csv", content)
    assert entities(path, **options) == [("Acme Corp rose", [("Acme Corp", "ORG")]), ("Lyon", [])]
    assert "tags: IOB2" in looked_at(path, ENTITIES, **options).said


@pytest.mark.parametrize("other", ["sentiment", "sent_by", "sentence_length"])
@pytest.mark.parametrize(
    "name", ["sent", "sent_id", "Sentence", "sentence_id", "Sentence #", "sentence no.", "SentID", "sentence-idx"]
)
def test_a_column_whose_name_only_begins_like_that_of_sentences_tells_none(tmp_path: Path, name: str, other: str) -> None:
    content = f"{other},{name},token,tag\n1,1,Acme,B-ORG\n1,2,Lyon,B-GPE\n1,2,calm,O\n"
    path = written(tmp_path, "rows.csv", content)
    assert entities(path) == [("Acme", [("Acme", "ORG")]), ("Lyon calm", [("Lyon", "GPE")])]
    with pytest.raises(UserError, match="--columns"):
        entities(written(tmp_path, "none.csv", content.replace(f",{name},", ",other,")))


def test_a_table_that_does_not_say_where_sentences_begin_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "iob.csv", "Word,Tag\nAcme,B-ORG\nrose,O\n")
    with pytest.raises(UserError, match=r"no column marks where a sentence begins.*--columns Word,Tag,SENTENCE"):
        entities(path)


def test_a_token_that_is_missing_costs_its_sentence_only(tmp_path: Path) -> None:
    content = "sentence,word,tag\n1,Acme,B-ORG\n1,,O\n2,Lyon,B-GPE\n3,calm,\n4,Brno,O\n"
    first, second, third, fourth = entities(written(tmp_path, "iob.csv", content))
    assert "a token is empty; its sentence (row 2 on) is left out" in first
    assert "a tag is nothing" in third or "a tag is a text ('')" in third
    assert (second, fourth) == (("Lyon", [("Lyon", "GPE")]), ("Brno", []))


def test_brat_reads_entities_with_the_text_beside_them(tmp_path: Path) -> None:
    one = "T1\tORG 0 9\tAcme Corp\nR1\tIn Arg1:T1 Arg2:T2\nT2\tGPE 20 24\tLyon\n"
    three = "T1\tORG 0 4;5 9\tAcme Corp\n"
    texts = {"one": "Acme Corp rose.\r\nIn Lyon.", "two": "Lyon is calm.", "three": "Acme Corp rose."}
    for (name, text), spans in zip(texts.items(), (one, "", three), strict=True):
        written(tmp_path, f"{name}.txt", text)
        written(tmp_path, f"{name}.ann", spans)
    assert entities(tmp_path / "one.ann") == [("Acme Corp rose.\r\nIn Lyon.", [("Acme Corp", "ORG"), ("Lyon", "GPE")])]
    assert entities(tmp_path / "one.txt") == entities(tmp_path / "one.ann")
    # A folder: documents by name, each its own.
    first, third, second = entities(tmp_path)
    assert (first[0][:9], second) == ("Acme Corp", CALM)
    assert "T1 consists of several pieces" in third
    documents = {row.document_id for row in looked_at(tmp_path, ENTITIES).events() if isinstance(row, Label)}
    assert {str(name).rpartition("-")[2] for name in documents} == {"one", "two"}


def test_brat_with_an_offset_of_thousands_of_digits_is_one_bad_row(tmp_path: Path) -> None:
    written(tmp_path, "one.txt", "Acme Corp rose.")
    written(tmp_path, "one.ann", f"T1\tORG 0 {'9' * 5_000}\tAcme Corp\n")
    [found] = entities(tmp_path / "one.ann")
    assert "is not brat's" in found


def test_brat_without_its_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"n13.ann has no n13.txt beside it"):
        entities(written(tmp_path, "n13.ann", "T1\tORG 0 9\tAcme Corp\n"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"holds no rows"):
        entities(tmp_path / "empty")
    written(tmp_path, "shifted.txt", "The Acme Corp rose.")
    shifted = written(tmp_path, "shifted.ann", "T1\tORG 0 9\tAcme Corp\n")
    assert "is said to be 'Acme Corp', but 'The Acme '" in entities(shifted)[0]


NUMBERS = {"0": "O", "3": "B-ORG", "4": "I-ORG"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.jsonl", [{"tokens": ["Acme", "Corp", "rose"], "ner_tags": tags}])
        for tags in (
            ["3", "4", "0"],
            [3.0, 4.0, 0.0],
            [3, 4, 0],
            ["3.0", "04", " 0"],
            "['3', '4', '0']",
            "[3, 4, 0]",
            "[3. 4. 0.]",
        )
    ]
    + [
        ("rows.csv", "tokens,ner_tags\n\"['Acme', 'Corp', 'rose']\",\"['3', '4', '0']\"\n"),
        ("rows.conll", "Acme 3\nCorp 4\nrose 0\n"),
        ("rows.conll", "1 Acme NNP 3.0\n2 Corp NNP 4.0\n3 rose VBD 0.0\n"),
        ("rows.csv", "sentence,token,tag\n1,Acme,3\n1,Corp,4\n1,rose,0\n"),
        ("rows.jsonl", [{"sentence": 1, "token": word, "tag": tag} for word, tag in (("Acme", 3), ("Corp", 4), ("rose", 0))]),
    ],
)
def test_tags_that_are_numbers_are_read_by_their_names_in_any_writing(tmp_path: Path, name: str, content: Any) -> None:
    path = written(tmp_path, name, content)
    assert entities(path, labels=NUMBERS) == [("Acme Corp rose", [("Acme Corp", "ORG")])]
    for labels in ({}, {"3": "B-ORG"}):
        try:
            found = entities(path, labels=labels)
        except UserError:
            continue
        assert all(row.startswith("refused: ") for row in found)


def test_a_zero_among_words_is_outside(tmp_path: Path) -> None:
    rows = [{"tokens": ["Acme", "rose"], "ner_tags": ["B-ORG", "0"]}]
    assert entities(written(tmp_path, "rows.jsonl", rows)) == [("Acme rose", [("Acme", "ORG")])]


def test_numbers_without_names_are_no_types_of_named_columns(tmp_path: Path) -> None:
    path = written(tmp_path, "rows.conll", "Acme 3\nrose 0\n\nLyon 0\n")
    assert all(row.startswith("refused: ") for row in entities(path, columns=("1", "2")))
    assert entities(path, columns=("1", "2"), labels={"0": "O", "3": "B-ORG"})[0] == ("Acme rose", [("Acme", "ORG")])
