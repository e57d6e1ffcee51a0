"""Confident learning: labels that were turned on purpose are found, and what cannot be judged is not."""

from __future__ import annotations

import numpy as np

from trainers.learners.heads.validation.confident import InDoubt, cross_validated, in_doubt


def clouds(per_label: int, labels: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows around a corner each, and their labels."""
    random = np.random.default_rng(seed)
    which = np.repeat(np.arange(labels, dtype=np.intp), per_label)
    corners = 3.0 * np.eye(labels, 8)
    return (corners[which] + random.normal(0, 0.7, (len(which), 8))).astype(np.float32), which


def test_labels_that_were_turned_are_found_and_hardly_others() -> None:
    features, right = clouds(60)
    given = right.copy()
    turned = np.arange(0, 180, 12)
    given[turned] = (right[turned] + 1) % 3
    found = in_doubt(cross_validated(features, given, np.arange(180, dtype=np.intp)), given)
    places = [one.place for one in found]
    assert len(set(turned) & set(places)) >= 12, "of 15"
    assert len(set(places) - set(turned)) <= 2
    assert all(one.suggested == right[one.place] for one in found if one.place in turned)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)


def test_a_copy_does_not_vouch_for_its_copy() -> None:
    features, right = clouds(40)
    wrong = np.repeat(features[:1], 5, axis=0)
    features = np.concatenate([features, wrong])
    labels = np.concatenate([right, np.full(5, 1, np.intp)])
    groups = np.concatenate([np.arange(120), np.full(5, 120)]).astype(np.intp)
    found = {one.place for one in in_doubt(cross_validated(features, labels, groups), labels)}
    assert set(range(120, 125)) <= found


def test_a_label_of_two_rows_is_not_judged() -> None:
    features, labels = clouds(20)
    features = np.concatenate([features, features[:2]])
    labels = np.concatenate([labels, np.full(2, 3, np.intp)])
    probabilities = cross_validated(features, labels, np.arange(62, dtype=np.intp))
    assert np.isnan(probabilities[60:]).all()
    assert np.isfinite(probabilities[:60]).all()
    assert all(one.place < 60 for one in in_doubt(probabilities, labels))


def test_one_label_or_no_row_is_nothing_to_tell_apart() -> None:
    features, labels = clouds(10, labels=1)
    groups = np.arange(10, dtype=np.intp)
    assert in_doubt(cross_validated(features, labels, groups), labels) == []
    empty = np.empty(0, np.intp)
    assert in_doubt(cross_validated(np.empty((0, 8), np.float32), empty, empty), empty) == []


def test_the_rule_is_that_of_the_paper() -> None:
    # Thresholds: 0.7 for label 0, 0.575 for label 1. The third row reaches that of label 1 and is labelled 0; the fourth none.
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.3, 0.7], [0.55, 0.45], [0.3, 0.7]])
    labels = np.array([0, 0, 0, 1, 1], dtype=np.intp)
    assert in_doubt(probabilities, labels) == [InDoubt(place=2, suggested=1, score=0.7)]
