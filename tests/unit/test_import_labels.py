"""Several labels in one value of a file."""

from __future__ import annotations

import pytest

from consumers.formats.values import read_labels


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
