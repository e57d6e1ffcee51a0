"""What a file of labelled texts seems to hold, and the task file that is made of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.errors import UserError
from config.tasks import load_task
from daemon.operations.defining.looking import Found, look, numbers_of
from daemon.operations.defining.writing import Wanted, drafts, templates, write


def holding(folder: Path, rows: Sequence[Any], name: str = "rows.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def seen(path: Path, kind: str | None = None) -> Found:
    return look(path, drafts(numbers_of(path)), kind)


SPORT = "The cup final of the season number {}"


def test_labels_and_dates_are_found_by_what_columns_are_called(tmp_path: Path) -> None:
    rows = [{"headline": SPORT.format(n), "category": "ab"[n % 2], "date": f"2026-01-{n + 1:02}", "id": n} for n in range(9)]
    found = seen(holding(tmp_path, rows))
    assert (found.kind, found.rows, found.of) == ("classification", 9, 9)
    assert found.options == ["--text", "headline", "--label", "category", "--time", "date"]
    assert found.labels == {"a": 5, "b": 4}


def test_labels_are_found_by_what_a_column_holds(tmp_path: Path) -> None:
    rows = [{"url": f"u{n}", "words": SPORT.format(n), "desk": "ab"[n % 2], "source": "wire"} for n in range(9)]
    assert seen(holding(tmp_path, rows)).options == ["--text", "words", "--label", "desk"]


def test_columns_of_the_usual_names_need_no_option(tmp_path: Path) -> None:
    found = seen(holding(tmp_path, [{"text": SPORT.format(n), "label": "ab"[n % 2]} for n in range(9)]))
    assert (found.kind, found.options) == ("classification", [])


def test_lists_of_labels_are_several_labels(tmp_path: Path) -> None:
    rows = [{"text": SPORT.format(n), "tags": ["cup", "local"] if n % 2 else []} for n in range(8)]
    found = seen(holding(tmp_path, rows))
    assert (found.kind, found.options) == ("multilabel", ["--label", "tags"])
    assert found.labels == {"cup": 4, "local": 4}


def test_spans_are_entities(tmp_path: Path) -> None:
    rows = [{"text": "Ann lives in Oslo", "spans": [{"start": 0, "end": 3, "label": "PERSON"}]}] * 3
    found = seen(holding(tmp_path, rows))
    assert (found.kind, found.labels) == ("ner", {"PERSON": 3})


def test_numbers_are_dimensions_and_a_column_of_the_split_is_no_label(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(
        "id,split,V,A,text\n" + "".join(f"{n},{'train' if n % 2 else 'dev'},{n / 2},3,{SPORT.format(n)}\n" for n in range(9))
    )
    found = seen(path)
    assert (found.kind, found.rows) == ("regression", 9)
    assert numbers_of(path) == {"V": (0.0, 4.0), "A": (3.0, 3.0)}


def test_a_file_of_nothing_says_which_columns_it_has(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n1,2\n3,4\n")
    with pytest.raises(UserError, match="'a', 'b'"):
        seen(path)
    with pytest.raises(UserError, match="as examples of ner"):
        seen(holding(tmp_path, [{"text": "x", "label": "y"}]), "ner")


@pytest.mark.parametrize("kind", sorted(templates()))
def test_a_task_file_of_each_kind_is_valid_and_says_what_was_wanted(tmp_path: Path, kind: str) -> None:
    wanted = Wanted("desk", kind, 'A "quoted": word', labels=("a: b", "#c", "yes"), language="sv", dimensions={"mood": (0, 10)})
    task = load_task(write(tmp_path / "tasks", wanted))
    assert (task.name, task.kind, task.description) == ("desk", kind, wanted.description)
    if task.dimensions:
        assert [(one.name, one.low, one.high) for one in task.dimensions] == [("mood", 0, 10)]
    elif task.signals:
        assert task.signals == load_task(templates()[kind]).signals, "the shipped categories, to be changed by hand"
    else:
        assert (task.labels, task.label_names) == ("closed", ("a: b", "#c", "yes"))
    assert task.base_model in ("minilm", "blank:sv")


NAMES = st.text("ab#:'\"-[]{}&*!|>%@,Åñ", max_size=8).map(lambda name: f"x{name}y")


@settings(max_examples=20)
@given(st.lists(NAMES, min_size=1, max_size=5, unique=True))
def test_whatever_labels_are_called_the_file_gives_them_back(tmp_path_factory: pytest.TempPathFactory, labels: list[str]) -> None:
    path = write(tmp_path_factory.mktemp("tasks"), Wanted("desk", "classification", labels=labels))
    assert list(load_task(path).label_names) == labels


def test_no_file_and_no_other_task_is_written_over(tmp_path: Path) -> None:
    path = write(tmp_path, Wanted("desk", "classification"))
    with pytest.raises(UserError, match="exists already"):
        write(tmp_path, Wanted("desk", "classification"))
    path.rename(tmp_path / "other.yaml")
    with pytest.raises(UserError, match="is defined in"):
        write(tmp_path, Wanted("desk", "classification"))
    with pytest.raises(UserError, match="no task file of kind 'tone'"):
        write(tmp_path, Wanted("new", "tone"))
    assert [one.name for one in tmp_path.iterdir()] == ["other.yaml"]
