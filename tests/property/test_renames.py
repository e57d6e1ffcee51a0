"""Renames made one after the other are one mapping, however many there are and however they cross."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hypothesis import given
from hypothesis import strategies as st

from config.task_files.labels.label_changes import composed

names = st.sampled_from("abcdef")


@given(st.lists(st.dictionaries(names, names, max_size=3), max_size=12))
def test_one_mapping_says_what_all_say_in_turn(renames: Sequence[Mapping[str, str]]) -> None:
    found = composed(renames)
    for label in "abcdef":
        name = label
        for mapping in renames:
            name = mapping.get(name, name)
        assert found.get(label, label) == name


def test_many_thousand_renames_take_no_time_worth_telling() -> None:
    found = composed({f"label {number}": f"name {number}"} for number in range(50_000))
    assert len(found) == 50_000
