"""How good probabilities are: calibration, the next-best labels, what abstains; in a comparison, and in one stored before."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.kinds import catalog as kinds
from config.tasks import TaskSpec
from perennial_artifact.abstaining import abstains, highest
from tests.support.scored import compared, table, topics
from trainers.compare.comparison import Comparison
from trainers.compare.probabilities import Probabilities


def answer(**scores: float) -> dict[str, Any]:
    """An answer whose label is the most probable."""
    return {"label": max(scores, key=scores.__getitem__), "scores": scores}


GOLD = [{"label": label} for label in "aabc"]
ANSWERS = [answer(a=0.9, b=0.1), answer(a=0.9, b=0.1), answer(a=0.6, b=0.4), answer(a=0.5, b=0.3, c=0.2)]


def test_figures_are_those_of_the_definitions() -> None:
    found = Probabilities.of(GOLD, ANSWERS)
    assert found is not None
    # Bins: two answers at 0.9, both right; one at 0.6 and one at 0.5, both wrong.
    assert found.calibration_error == pytest.approx((2 * 0.1 + 0.6 + 0.5) / 4)
    assert (found.top_2, found.top_3) == (0.75, 1.0)
    assert found.reliability.rows == (1, 1, 2)
    assert found.reliability.confidence == pytest.approx((0.5, 0.6, 0.9))
    assert found.reliability.accuracy == (0.0, 0.0, 1.0)
    assert (found.abstained, found.accuracy_of_others) == (None, None), "the task asks for no threshold"


def test_who_abstains_below_a_threshold_is_counted_and_the_others_scored() -> None:
    some = Probabilities.of(GOLD, ANSWERS, abstain_below=0.6)
    assert some is not None
    assert some.abstained == 0.25, "0.6 itself is not below"
    assert some.accuracy_of_others == pytest.approx(2 / 3)
    every = Probabilities.of(GOLD, ANSWERS, abstain_below=1.0)
    assert every is not None
    assert (every.abstained, every.accuracy_of_others) == (1.0, None)


@pytest.mark.parametrize(
    ("gold", "answers"),
    [
        ([], []),
        (GOLD[:1], [{"label": "a"}]),
        (GOLD[:2], [ANSWERS[0], {"label": "a", "scores": {}}]),
        ([{"spans": []}], [{"spans": []}]),
    ],
    ids=["no rows", "no scores", "one without", "entities"],
)
def test_where_answers_carry_no_probabilities_nothing_is_said(gold: list[Any], answers: list[Any]) -> None:
    assert Probabilities.of(gold, answers, abstain_below=0.5) is None


@given(st.lists(st.tuples(st.floats(0.34, 1.0), st.booleans()), min_size=1, max_size=60))
def test_the_calibration_error_is_the_gap_that_the_diagram_shows(drawn: list[tuple[float, bool]]) -> None:
    gold = [{"label": "a" if right else "b"} for _sure, right in drawn]
    answers = [{"label": "a", "scores": {"a": sure, "b": 1 - sure}} for sure, _right in drawn]
    found = Probabilities.of(gold, answers)
    assert found is not None
    bins = found.reliability
    assert sum(bins.rows) == len(drawn)
    gaps = [rows * abs(sure - right) for rows, sure, right in zip(bins.rows, bins.confidence, bins.accuracy, strict=True)]
    assert found.calibration_error == pytest.approx(sum(gaps) / len(drawn), abs=1e-9)


SEVERAL_GOLD = [{"labels": ["a", "b"]}, {"labels": []}, {"labels": ["a"], "scope": ["a"]}]
SEVERAL = [
    {"labels": ["a"], "scores": {"a": 0.9, "b": 0.2}},
    {"labels": [], "scores": {"a": 0.2, "b": 0.1}},
    {"labels": ["a"], "scores": {"a": 0.9, "b": 0.9}},
]


def test_of_several_labels_each_label_of_each_text_counts() -> None:
    found = Probabilities.of(SEVERAL_GOLD, SEVERAL)
    assert found is not None
    assert found.of_each_label
    assert (found.top_2, found.top_3, found.abstained) == (None, None, None)
    # The third text was tagged by somebody who did not know b, so its 0.9 counts nowhere.
    assert found.reliability.rows == (1, 2, 2)
    assert found.reliability.confidence == pytest.approx((0.1, 0.2, 0.9))
    assert found.reliability.accuracy == (0.0, 0.5, 1.0)
    assert found.calibration_error == pytest.approx((0.1 + 2 * 0.3 + 2 * 0.1) / 5)


@pytest.mark.parametrize("answer", [{"labels": ["a"]}, {"labels": ["a"], "scores": {}}, {"label": "a", "scores": {"a": 1.0}}])
def test_answers_without_a_score_for_each_label_say_nothing(answer: dict[str, Any]) -> None:
    assert Probabilities.of(SEVERAL_GOLD[:1], [answer]) is None


def test_a_comparison_says_it_of_both_models_and_survives_json() -> None:
    spec = topics().model_copy(update={"abstain_below": 0.55})
    seen = compared(spec, table(GOLD, ANSWERS, [answer(b=0.7, a=0.3)] * 4))
    assert seen.candidate_probabilities == Probabilities.of(GOLD, ANSWERS, abstain_below=0.55)
    assert seen.champion_probabilities is not None
    assert (seen.champion_probabilities.top_2, seen.champion_probabilities.abstained) == (0.75, 0.0)
    assert seen.abstain_below == 0.55
    assert Comparison.model_validate_json(seen.model_dump_json()) == seen


def test_only_deciding_rows_count() -> None:
    seen = compared(topics(), table(GOLD, ANSWERS, ANSWERS, role="anchor"))
    assert seen.candidate_probabilities is None


def test_a_comparison_that_was_stored_before_is_read() -> None:
    seen = compared(topics(), table(GOLD, ANSWERS, ANSWERS))
    new = ("candidate_probabilities", "champion_probabilities", "abstain_below")
    before = {name: value for name, value in json.loads(seen.model_dump_json()).items() if name not in new}
    found = Comparison.model_validate(before)
    assert (found.candidate_probabilities, found.champion_probabilities, found.abstain_below) == (None, None, 0.0)
    assert found.candidate_score == seen.candidate_score


@given(st.dictionaries(st.text(min_size=1), st.floats(0, 1), min_size=1), st.floats(0, 1))
def test_an_answer_abstains_where_its_highest_probability_is_below(scores: dict[str, float], below: float) -> None:
    said = {"label": "a", "scores": scores}
    assert highest(said) == max(scores.values())
    assert abstains(said, below) == (max(scores.values()) < below)
    assert not abstains(said, 0.0)


@pytest.mark.parametrize("said", [{"spans": []}, {"label": "a"}, {"label": "a", "scores": {}}])
def test_an_answer_without_probabilities_never_abstains(said: dict[str, Any]) -> None:
    assert highest(said) is None
    assert not abstains(said, 1.0)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), "often"])
def test_a_threshold_that_is_no_share_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="abstain_below"):
        TaskSpec.model_validate({**topics().model_dump(), "abstain_below": value})


def test_a_kind_without_probabilities_takes_no_threshold() -> None:
    body = {
        "name": "e", "kind": "ner", "backend": "spacy", "base_model": "blank:en", "labels": "open",
        "promotion": {"metric": "entity_f1"},
    }  # fmt: skip
    assert TaskSpec.model_validate(body).abstain_below == 0.0
    with pytest.raises(ValueError, match=r"abstain_below needs one label a text .* kind ner"):
        TaskSpec.model_validate(body | {"abstain_below": 0.5})


def test_people_read_that_an_answer_abstained() -> None:
    said = answer(sport=0.4, politics=0.3)
    pieces = kinds.of(said).pieces(said | {"abstained": True}, "A text")
    assert (" abstained", "warning") in pieces
    assert not [words for words, _style in kinds.of(said).pieces(said | {"abstained": False}, "A text") if "abstained" in words]
