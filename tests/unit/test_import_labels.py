"""Several labels in one value of a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from config.errors import UserError
from config.settings import SHIPPED_TASKS_DIR
from config.tasks import load_task
from consumers.events.schemas import AnyEvent, Label
from consumers.formats.importing import import_events
from consumers.formats.mapping import ColumnMapping
from consumers.formats.rows import BadRow, LeftOut
from consumers.formats.values import read_labels

TAGS = load_task(SHIPPED_TASKS_DIR / "examples" / "news-tags.yaml")


@pytest.mark.parametrize(
    ("value", "labels"),
    [
        (["sport", "economy"], ["sport", "economy"]),
        ('["sport", "economy"]', ["sport", "economy"]),
        ("['sport', 'economy']", ["sport", "economy"]),
        ("['sport' 'economy']", ["sport", "economy"]),
        ({"choices": ["sport", "economy"]}, ["sport", "economy"]),
        ([{"label": "sport"}, {"label": "economy"}], ["sport", "economy"]),
        ("sport|economy", ["sport", "economy"]),
        (" sport ; economy; ", ["sport", "economy"]),
        ("Arts, culture", ["Arts, culture"]),
        ("sport", ["sport"]),
        (7, ["7"]),
        ([], []),
        ("[]", []),
    ],
)
def test_labels_are_read_in_the_shapes_that_tools_write(value: object, labels: list[str]) -> None:
    assert read_labels(value) == labels


def test_a_map_renames_and_drops_labels() -> None:
    assert read_labels("spt|junk|economy", {"spt": "sport", "junk": ""}) == ["sport", "economy"]


@pytest.mark.parametrize(
    "value", ["", " ", "null", ["sport", None], ["sport", ""], [["sport"]], {"sport": 1}, True, 1.5, float("nan")]
)
def test_what_is_no_list_of_labels_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="label"):
        read_labels(value)


@pytest.fixture
def tagged(tmp_path: Path) -> Path:
    path = tmp_path / "tagged.jsonl"
    rows = [{"text": "Shares rose.", "topics": ["economy", "markets"]}, {"text": "It rained.", "topics": []}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def became(path: Path, mapping: ColumnMapping) -> list[AnyEvent | BadRow | LeftOut]:
    return list(import_events(path, TAGS, mapping))


def test_the_option_of_one_label_names_the_column_of_several(tagged: Path) -> None:
    events = became(tagged, ColumnMapping(label="topics"))
    assert [event.target["labels"] for event in events if isinstance(event, Label)] == [["economy", "markets"], []]
    # Written the other way it is the same file, read alike: importing it again changes nothing.
    assert became(tagged, ColumnMapping(others=(("labels", "topics"),))) == events


def test_a_column_is_not_named_twice(tagged: Path) -> None:
    with pytest.raises(UserError, match="keep one"):
        became(tagged, ColumnMapping(label="topics", others=(("labels", "text"),)))
