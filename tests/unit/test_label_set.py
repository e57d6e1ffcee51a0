import json
from pathlib import Path

import pytest

from config.task_files.labels.label_changes import composed
from perennial_artifact.errors import UnusableError
from perennial_artifact.labels import LABELS_FILE, LabelSet
from tests.support.tiny_models import toy_spec
from trainers.learners.label_set import grow

OPEN = toy_spec("minilm", new_label_min_examples=5)


def test_first_labels_come_declared_first_then_by_name() -> None:
    spec = toy_spec("minilm", label_names=("WORLD",))
    labels = grow(spec, {"SPORT": 9, "ARTS": 5}, None, from_base=True)
    assert labels.names == ("WORLD", "ARTS", "SPORT")
    assert labels.seen == {"ARTS", "SPORT"}, "a declared label without a row is never answered"


def test_old_labels_keep_their_ids_and_new_ones_are_appended() -> None:
    champion = LabelSet(("SPORT", "MARKETS"), frozenset({"SPORT", "MARKETS"}))
    labels = grow(OPEN, {"ARTS": 5, "MARKETS": 1}, champion, from_base=False)
    assert labels.ids == {"SPORT": 0, "MARKETS": 1, "ARTS": 2}
    assert labels.seen == {"SPORT", "MARKETS", "ARTS"}


def test_a_new_label_waits_for_enough_rows_but_a_known_one_does_not() -> None:
    champion = LabelSet(("SPORT",), frozenset({"SPORT"}))
    labels = grow(OPEN, {"ARTS": 4, "SPORT": 1}, champion, from_base=False)
    assert labels.names == ("SPORT",)


def test_from_base_only_labels_with_rows_count_as_seen() -> None:
    champion = LabelSet(("SPORT", "MARKETS"), frozenset({"SPORT", "MARKETS"}))
    labels = grow(OPEN, {"MARKETS": 8}, champion, from_base=True)
    assert labels.names == ("SPORT", "MARKETS")
    assert labels.seen == {"MARKETS"}
    assert labels.seen_ids == [1]


def test_closed_labels_never_grow_and_answer_only_the_declared() -> None:
    spec = toy_spec("minilm", labels="closed", label_names=("SPORT", "MARKETS"))
    champion = LabelSet(("OLD", "SPORT"), frozenset({"OLD", "SPORT"}))
    labels = grow(spec, {"TYPO": 50, "MARKETS": 3}, champion, from_base=False)
    assert labels.names == ("OLD", "SPORT", "MARKETS")
    assert labels.seen == {"SPORT", "MARKETS"}


def test_a_renamed_label_keeps_its_row() -> None:
    spec = toy_spec("minilm", renames={"FINANCE": "MARKETS"})
    champion = LabelSet(("SPORT", "FINANCE"), frozenset({"SPORT", "FINANCE"}))
    labels = grow(spec, {"MARKETS": 7}, champion, from_base=False)
    assert labels.names == ("SPORT", "MARKETS")
    assert labels.seen == {"SPORT", "MARKETS"}


def test_a_merged_label_keeps_a_row_that_nobody_answers() -> None:
    spec = toy_spec("minilm", renames={"FINANCE": "MARKETS", "STOCKS": "MARKETS"})
    champion = LabelSet(("FINANCE", "MARKETS", "STOCKS"), frozenset({"FINANCE", "MARKETS", "STOCKS"}))
    labels = grow(spec, {}, champion, from_base=False)
    assert labels.names == ("FINANCE", "MARKETS", "STOCKS")
    assert labels.seen == {"MARKETS"}


def test_labels_survive_the_file(tmp_path: Path) -> None:
    labels = LabelSet(("Föreläsning", "SPORT", "ARTS"), frozenset({"ARTS", "Föreläsning"}))
    labels.write(tmp_path)
    assert LabelSet.read(tmp_path) == labels


@pytest.mark.parametrize(
    "content", ["", "[]", '{"format_version": 1}', json.dumps({"format_version": 9, "labels": [], "seen": []})]
)
def test_a_torn_or_newer_file_fails_the_run_and_names_it(tmp_path: Path, content: str) -> None:
    (tmp_path / LABELS_FILE).write_text(content)
    with pytest.raises(UnusableError, match=r"labels\.json"):
        LabelSet.read(tmp_path)


def test_renames_one_after_the_other_become_one() -> None:
    assert composed([{"money": "economy"}, {"economy": "business"}, {"business": "finance", "cash": "finance"}]) == {
        "money": "finance", "economy": "finance", "business": "finance", "cash": "finance",
    }  # fmt: skip
    assert composed([{"sport": "sports"}, {"sports": "sport"}]) == {"sports": "sport"}, "there and back is no rename"
    assert composed([]) == {}


def test_labels_that_an_earlier_version_told_apart_become_one_and_keep_their_ids() -> None:
    champion = LabelSet(("cafe\u0301", "SPORT ", "café"), frozenset({"cafe\u0301", "SPORT ", "café"}))
    labels = grow(OPEN, {"café": 9, "SPORT": 9}, champion, from_base=False)
    assert labels.names == ("cafe\u0301", "SPORT", "café")
    assert labels.seen == {"café", "SPORT"}, "the row of the other spelling stays, and nobody answers it"
    alone = LabelSet(("cafe\u0301",), frozenset({"cafe\u0301"}))
    assert grow(OPEN, {"café": 1}, alone, from_base=False).names == ("café",)


def test_a_model_has_a_bounded_number_of_labels_and_those_with_most_rows_join_first() -> None:
    spec = toy_spec("minilm", new_label_min_examples=1, max_labels=3, label_names=("DECLARED",))
    many = {f"L{number:05}": 1 + (number in (7, 9)) for number in range(20_000)}
    first = grow(spec, many, None, from_base=True)
    assert first.names == ("DECLARED", "L00007", "L00009")
    later = grow(spec, {**many, "L00003": 50}, first, from_base=False)
    assert later.names == first.names, "what a model has learnt stays, and there is no room"
