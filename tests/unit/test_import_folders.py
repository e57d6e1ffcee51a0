"""A folder of data files is one set of rows: which files, in which parts, and what is said of a folder that is none."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from config.errors import UserError
from consumers.formats.files.folder import parts
from tests.support.imports import TOPICS, looked_at, told, written


def rows(*labels: str) -> list[dict[str, str]]:
    return [{"text": f"Text of {name} {at}", "label": name} for at, name in enumerate(labels)]


def test_files_of_all_parts_are_one_import(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    written(tmp_path / "data", "train-00000-of-00001.jsonl", rows("sport", "economy"))
    written(tmp_path / "data", "test-00000-of-00001.jsonl", rows("politics"))
    written(tmp_path, "dataset_infos.json", "{}")
    found = looked_at(tmp_path, TOPICS)
    assert [event.event_id.rpartition("-")[2] for event in found.events()] == ["1", "2", "3"]  # type: ignore[union-attr]
    assert [label for _text, label in told(found)] == ["politics", "sport", "economy"]
    assert [label for _text, label in told(looked_at(tmp_path, TOPICS, splits=("train",)))] == ["sport", "economy"]


def test_the_same_rows_in_another_place_are_the_same_import(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        written(tmp_path / name, "train.jsonl", rows("sport"))
    assert looked_at(tmp_path / "one", TOPICS).identity == looked_at(tmp_path / "two", TOPICS).identity
    written(tmp_path / "two", "test.jsonl", rows("economy"))
    assert looked_at(tmp_path / "one", TOPICS).identity != looked_at(tmp_path / "two", TOPICS).identity


def test_the_card_says_which_files(tmp_path: Path) -> None:
    files = [{"split": "held", "path": ["b/*.jsonl"]}, {"path": "a.jsonl"}]
    card = {"configs": [{"config_name": "default", "data_files": files}]}
    written(tmp_path, "README.md", f"---\n{json.dumps(card)}\n---\n# Rows\n")
    (tmp_path / "b" / "deeper").mkdir(parents=True)
    for name in ("a.jsonl", "b/1.jsonl", "b/deeper/2.jsonl", "c.jsonl"):
        written(tmp_path, name, rows("sport"))
    assert [(part.name, part.split) for part in parts(tmp_path)[0]] == [("b/1.jsonl", "held"), ("a.jsonl", "train")]


@pytest.mark.parametrize("said", [": [", "configs: 3", "configs: [{data_files: 7}]", "date: 2023-02-30", "[" * 5_000])
def test_a_card_that_says_nothing_is_passed_over(tmp_path: Path, said: str) -> None:
    written(tmp_path, "README.md", f"---\n{said}\n---\n")
    written(tmp_path, "dev.jsonl", rows("sport"))
    assert [(part.name, part.split) for part in parts(tmp_path)[0]] == [("dev.jsonl", "validation")]


def test_a_card_with_several_sets_asks_for_one(tmp_path: Path) -> None:
    sets = '[{config_name: en, data_files: "*"}, {config_name: sv, data_files: "*"}]'
    written(tmp_path, "README.md", f"---\nconfigs: {sets}\n---\n")
    written(tmp_path, "train.jsonl", rows("sport"))
    with pytest.raises(UserError, match="en, sv"):
        parts(tmp_path)


def test_patterns_stay_within_the_folder(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    written(tmp_path, "secret.jsonl", rows("sport"))
    written(tmp_path / "set", "README.md", '---\nconfigs: [{config_name: default, data_files: "../*.jsonl"}]\n---\n')
    with pytest.raises(UserError, match="holds no rows"):
        parts(tmp_path / "set")


def test_of_several_kinds_the_commonest_is_taken(tmp_path: Path) -> None:
    for at in range(2):
        written(tmp_path, f"train-{at}.parquet", pa.table({"text": ["A text"], "label": ["sport"]}))
    written(tmp_path, "labels.csv", "text,label\nOther,sport\n")
    (tmp_path / ".cache").mkdir()
    for at in range(5):
        written(tmp_path / ".cache", f"{at}.csv", "text,label\n")
    read, unread = parts(tmp_path)
    assert {part.name for part in read} == {"train-0.parquet", "train-1.parquet"}
    assert unread == ["labels.csv"]


@pytest.mark.parametrize(
    ("names", "read", "unread"),
    [
        (("a.jsonl", "b.csv", "c.csv"), ["b.csv", "c.csv"], ["a.jsonl"]),
        (("a.csv", "b.tsv"), ["a.csv", "b.tsv"], []),
        (("a.jsonl", "b.ndjson", "c.json", "d.csv", "e.csv"), ["a.jsonl", "b.ndjson", "c.json"], ["d.csv", "e.csv"]),
        (("a.jsonl", "b.csv"), ["a.jsonl"], ["b.csv"]),
    ],
)
def test_files_are_counted_by_how_they_are_read_and_the_others_are_said(
    tmp_path: Path, names: tuple[str, ...], read: list[str], unread: list[str]
) -> None:
    for name in names:
        sign = "\t" if name.endswith(".tsv") else ","
        table = name.endswith((".csv", ".tsv"))
        written(tmp_path, name, f"text{sign}label\nA text{sign}{name[0]}\n" if table else rows(name[0]))
    found, left = parts(tmp_path)
    assert ([part.name for part in found], left) == (read, unread)
    looked = looked_at(tmp_path, TOPICS)
    assert [label for _text, label in told(looked)] == [name[0] for name in read]
    assert all(any(name in said for said in looked.said) for name in unread)


def test_a_folder_that_is_no_data_set(tmp_path: Path) -> None:
    written(tmp_path, "notes.md", "# Notes")
    with pytest.raises(UserError, match="holds no rows"):
        looked_at(tmp_path, TOPICS)


def test_a_part_that_there_is_not(tmp_path: Path) -> None:
    written(tmp_path, "train.jsonl", rows("sport"))
    with pytest.raises(UserError, match="its parts are train"):
        looked_at(tmp_path, TOPICS, splits=("test",))
