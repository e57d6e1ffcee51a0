"""One function says what a history of changes comes to; what makes no sense is said in words, with the label."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import ValidationError

from config.task_files.labels.label_changes import OF_FILE, Change, applied, in_force
from config.task_files.labels.label_problems import problem
from config.tasks import TaskSpec
from tests.support.sample_events import TASKS

KNOWN = ("economy", "sport", "politics", "culture")


def change(change_id: str, **does: Any) -> Change:
    return Change(change_id, **does)


def task(**more: Any) -> TaskSpec:
    plain = TASKS["news-topics"].model_dump(exclude={"label_names", "labels"}, exclude_defaults=True)
    return TaskSpec.model_validate({**plain, "labels": "open", **more})


def test_renames_and_merges_come_to_the_name_in_force() -> None:
    history = [
        change("1", renames={"cup": "sport", "league": "sport"}),
        change("2", renames={"sport": "sports"}),
        change("3", renames={"a": "b", "b": "a"}),
    ]
    assert in_force(history).renames == {"cup": "sports", "league": "sports", "sport": "sports", "a": "b", "b": "a"}


def test_there_and_back_is_the_label_that_it_was() -> None:
    history = [change("1", renames={"sport": "games"}), change("2", renames={"games": "sport"})]
    assert in_force(history).renames == {"games": "sport"}
    assert problem(change("3", renames={"sport": "games"}), history, KNOWN) is None


def test_what_is_undone_counts_as_if_it_had_never_been() -> None:
    history = [
        change("1", renames={"sport": "games"}),
        change("2", retired=("games",)),
        change("3", undoes="1"),
    ]
    now = in_force(history)
    assert (now.renames, now.retired, now.undone) == ({}, {"games"}, {"1"})
    again = in_force([*history, change("4", undoes="3")])
    assert (again.renames, again.undone) == ({"sport": "games"}, {"3"})


@pytest.mark.parametrize(
    "revived", [{"added": ("sport",)}, {"renames": {"cup": "sport"}}, {"splits": {"leisure": ("sport", "travel")}}]
)
def test_a_retired_label_comes_again_when_something_is_called_so(revived: Mapping[str, Any]) -> None:
    history = [change("1", retired=("sport",)), change("2", **revived)]
    assert "sport" not in in_force(history).gone


def test_a_split_waits_until_it_is_undone_renamed_or_retired() -> None:
    split = change("1", splits={"sport": ("football", "tennis")})
    now = in_force([split])
    assert (now.splits, now.gone, now.added) == ({"sport": ("football", "tennis")}, {"sport"}, ("football", "tennis"))
    assert in_force([split, change("2", renames={"football": "soccer"})]).splits == {"sport": ("soccer", "tennis")}
    for ends in ({"undoes": "1"}, {"renames": {"sport": "other sports"}}, {"retired": ("sport",)}):
        assert not in_force([split, change("2", **ends)]).splits


def test_a_task_has_the_labels_in_force() -> None:
    spec = task(label_names=["economy", "sport"], renames={"money": "economy"}, retired=["gossip"])
    now = applied(
        spec, [change("1", renames={"sport": "sports"}), change("2", added=("culture",)), change("3", retired=("economy",))]
    )
    assert now.label_names == ("sports", "culture")
    assert now.renames == {"money": "economy", "sport": "sports"}
    assert now.gone == {"economy", "gossip"}
    assert not now.teaches("gossip")
    assert now.teaches("something new")
    assert applied(task(), ()) == task()


def test_a_closed_task_takes_no_label_but_its_own() -> None:
    spec = task(labels="closed", label_names=["economy", "sport"])
    now = applied(spec, [change("1", added=("culture",)), change("2", retired=("sport",))])
    assert now.label_names == ("economy",)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"renames": {"sport": "sport"}}, "itself"),
        ({"splits": {"sport": ("sport", "tennis")}}, "into itself"),
        ({"splits": {"sport": ("tennis", "tennis")}}, "at least two"),
        ({"renames": {"sprot": "sports"}}, "no row carries 'sprot'"),
        ({"retired": ("gone",)}, "retired already"),
        ({"retired": ("old",)}, "is called 'economy' now"),
        ({"splits": {"parted": ("a", "b")}}, "split already"),
        ({"renames": {"sport": "a"}, "retired": ("sport",)}, "two ways"),
        ({"added": ("sport",)}, "is a label already"),
        ({"undoes": "nothing"}, "no change 'nothing'"),
        ({"undoes": "1"}, "undone already"),
        ({"undoes": OF_FILE}, "in the task file"),
        ({}, "nothing would change"),
    ],
)
def test_what_makes_no_sense_is_said(asked: Mapping[str, Any], said: str) -> None:
    history = [
        change("1", retired=("culture",)), change("2", undoes="1"), change("3", retired=("gone",)),
        change("4", renames={"old": "economy"}), change("5", splits={"parted": ("x", "y")}),
    ]  # fmt: skip
    found = problem(change("new", **asked), history, (*KNOWN, "gone", "parted"))
    assert found is not None
    assert said in found


def test_an_undoing_may_be_undone() -> None:
    history = [change("1", retired=("culture",)), change("2", undoes="1")]
    assert problem(change("3", undoes="2"), history, KNOWN) is None


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"renames": {"sport": "sport"}}, "its own name"),
        ({"splits": {"sport": ["tennis"]}}, "at least two labels"),
        ({"splits": {"sport": ["sport", "tennis"]}}, "other than 'sport'"),
        ({"retired": ["sport"], "label_names": ["sport"]}, "which label_names declares"),
        ({"retired": ["sport"], "splits": {"sport": ["a", "b"]}}, "keep one"),
        ({"labels": "closed", "label_names": ["a"], "splits": {"sport": ["a", "b"]}}, "must hold"),
    ],
)
def test_a_task_file_that_makes_no_sense_is_refused(keys: Mapping[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        task(**keys)


def test_what_a_change_does_in_words() -> None:
    said = change("1", renames={"cup": "sport", "league": "sport", "money": "economy"}, retired=("gossip",)).does
    assert said == ["merge cup into sport", "merge league into sport", "rename money to economy", "retire gossip"]
