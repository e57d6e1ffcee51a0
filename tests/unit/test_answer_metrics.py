from __future__ import annotations

import math
import random

import pytest
from sklearn import metrics as reference

from trainers.compare import scoring
from trainers.compare.metrics import entities, labels


def spans(*triples: tuple[int, int, str], partial: bool = False) -> dict[str, object]:
    listed = [{"start": start, "end": end, "label": label} for start, end, label in triples]
    return {"spans": listed, "partial": True} if partial else {"spans": listed}


def test_an_entity_is_right_only_with_start_end_and_type() -> None:
    gold = spans((0, 4, "PER"), (10, 14, "ORG"), (20, 24, "LOC"), (30, 34, "LOC"))
    answer = spans((0, 4, "PER"), (10, 14, "LOC"), (20, 25, "LOC"), (40, 44, "LOC"))

    scores = entities.entity_scores([gold], [answer])

    assert scores.overall == entities.Counts(true_positive=1, false_positive=3, false_negative=3)
    assert scores.overall.precision == scores.overall.recall == scores.overall.f1 == 0.25
    assert scores.per_type == {
        "LOC": entities.Counts(0, 3, 2),
        "ORG": entities.Counts(0, 0, 1),
        "PER": entities.Counts(1, 0, 0),
    }
    assert scores.type_errors == 1
    assert scores.boundary_errors == 1


def test_counts_add_up_over_texts() -> None:
    golds = [spans((0, 1, "A")), spans((0, 1, "A"), (2, 3, "B")), spans()]
    answers = [spans((0, 1, "A")), spans((2, 3, "B")), spans((5, 6, "A"))]

    overall = entities.entity_scores(golds, answers).overall

    assert (overall.true_positive, overall.false_positive, overall.false_negative) == (2, 1, 1)
    assert overall.support == 3
    assert overall.f1 == pytest.approx(2 / 3)


def test_of_a_partial_target_only_what_touches_a_known_span_counts() -> None:
    gold = spans((10, 20, "ORG"), partial=True)
    answer = spans((12, 20, "ORG"), (30, 40, "PER"))

    assert entities.entity_counts(gold, answer) == {"ORG": entities.Counts(0, 1, 1)}


def test_what_touches_only_parts_that_cannot_be_told_counts_for_nothing() -> None:
    gold = spans((0, 4, "ORG")) | {"unknown": [[5, 9]]}
    assert entities.entity_counts(gold, spans((5, 9, "ORG"))) == {"ORG": entities.Counts(0, 0, 1)}
    assert entities.entity_counts(gold, spans((0, 9, "ORG"))) == {"ORG": entities.Counts(0, 1, 1)}
    assert entities.entity_counts(gold, spans((10, 12, "ORG"))) == {"ORG": entities.Counts(0, 1, 1)}


def test_nothing_expected_and_nothing_found_scores_zero_not_an_error() -> None:
    overall = entities.entity_scores([spans()], [spans()]).overall
    assert (overall.precision, overall.recall, overall.f1) == (0.0, 0.0, 0.0)


@pytest.fixture(params=range(5))
def labelled(request: pytest.FixtureRequest) -> tuple[list[str], list[str]]:
    random_ = random.Random(request.param)
    gold = random_.choices("abcd", weights=[8, 4, 2, 1], k=200)
    predicted = [label if random_.random() < 0.7 else random_.choice("abcde") for label in gold]
    return gold, predicted


def test_accuracy_agrees_with_scikit_learn(labelled: tuple[list[str], list[str]]) -> None:
    gold, predicted = labelled
    assert labels.accuracy(gold, predicted) == pytest.approx(reference.accuracy_score(gold, predicted))


def test_top_k_agrees_with_scikit_learn() -> None:
    random_ = random.Random(3)
    names = list("abcde")
    gold = random_.choices(names, k=100)
    scores = [{label: random_.random() for label in names} for _ in gold]
    table = [[row[label] for label in names] for row in scores]
    for k in (1, 2, 3):
        expected = reference.top_k_accuracy_score(gold, table, k=k, labels=names)
        assert labels.within(labels.ranked(gold, scores)[1], k) == pytest.approx(expected)


def test_top_k_counts_a_label_the_model_does_not_know_as_a_miss() -> None:
    assert labels.within(labels.ranked(["new"], [{"old": 1.0}])[1], 3) == 0.0


def test_a_model_as_sure_as_it_is_right_is_calibrated() -> None:
    right = [True] * 8 + [False] * 2
    assert labels.expected_calibration_error([0.8] * 10, right) == pytest.approx(0.0)
    assert labels.expected_calibration_error([1.0] * 10, right) == pytest.approx(0.2)


def test_calibration_error_weighs_bins_by_their_rows() -> None:
    # 3 rows at 0.95 of which 1 is right, 1 row at 0.15 that is right.
    error = labels.expected_calibration_error([0.95, 0.95, 0.95, 0.15], [True, False, False, True], bins=10)
    assert error == pytest.approx((3 * (0.95 - 1 / 3) + 1 * (1 - 0.15)) / 4)


def test_calibration_refuses_lists_of_different_length() -> None:
    with pytest.raises(ValueError, match="2 confidences for 1 answers"):
        labels.expected_calibration_error([0.5, 0.5], [True])


def test_scores_without_rows_are_zero() -> None:
    assert labels.accuracy([], []) == labels.within(labels.ranked([], [])[1], 1) == 0.0
    assert labels.expected_calibration_error([], []) == 0.0


def test_percentiles_are_in_milliseconds() -> None:
    p50, p95, p99 = scoring.percentiles_ms([number / 1000 for number in range(1, 102)])
    assert (p50, p95, p99) == (pytest.approx(51.0), pytest.approx(96.0), pytest.approx(100.0))
    with pytest.raises(ValueError, match="no duration"):
        scoring.percentiles_ms([])
    assert not math.isnan(p99)


def test_an_answer_of_a_type_outside_the_scope_counts_for_nothing() -> None:
    gold = spans((0, 4, "LOC"), (10, 14, "BILL")) | {"scope": ["LOC", "PER"]}
    answer = spans((0, 4, "country"), (5, 9, "PER"), (10, 14, "BILL"), (20, 24, "politician"))
    counts = entities.entity_counts(gold, answer)
    # What is marked is missed all the same, and a type that somebody marked was known.
    assert counts == {
        "BILL": entities.Counts(1, 0, 0),
        "LOC": entities.Counts(0, 0, 1),
        "PER": entities.Counts(0, 1, 0),
    }
    assert entities.entity_counts(spans((0, 4, "LOC")), answer)["politician"] == entities.Counts(0, 1, 0)
