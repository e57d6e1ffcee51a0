"""The label model: what it believes of sources that agree, that disagree, that never meet, and that people judge."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.labelling.weak.label_model import ACCURACY, SILENT, estimate

Array = np.ndarray


def sources(truth: Array, accuracies: list[float], spoken: float, labels: int, seed: int = 0) -> Array:
    """Votes of sources that are right so often, each on so large a share of the texts."""
    draw = np.random.default_rng(seed)
    wrong = (truth[:, None] + draw.integers(1, labels, (len(truth), len(accuracies)))) % labels
    right = draw.random((len(truth), len(accuracies))) < np.array(accuracies)
    votes = np.where(right, truth[:, None], wrong)
    return np.where(draw.random(votes.shape) < spoken, votes, SILENT).astype(np.int32)


def test_sources_of_different_quality_are_told_apart_without_a_label() -> None:
    truth = np.random.default_rng(1).integers(0, 3, 3_000)
    accuracies = [0.95, 0.85, 0.7, 0.55]
    votes = sources(truth, accuracies, 0.7, 3)
    seen = estimate(votes, 3)
    assert seen.precision == pytest.approx(accuracies, abs=0.04)
    said = (votes != SILENT).any(axis=1)
    ours = seen.probabilities.argmax(axis=1)[said] == truth[said]
    counts = np.stack([(votes == label).sum(axis=1) for label in range(3)], axis=1)
    majority = counts.argmax(axis=1)[said] == truth[said]
    assert ours.mean() > majority.mean(), "better than counting votes"


def test_sources_that_never_meet_keep_what_is_believed_of_any() -> None:
    votes = np.full((300, 2), SILENT, np.int32)
    votes[:200, 0], votes[200:, 1] = 0, 1
    seen = estimate(votes, 2)
    assert seen.precision == pytest.approx([ACCURACY, ACCURACY], abs=0.01)
    assert seen.probabilities[0] == pytest.approx([ACCURACY, 1 - ACCURACY], abs=0.01)


def test_a_rule_for_a_rare_label_is_not_taken_for_wrong_because_it_is_rare() -> None:
    votes = np.full((1_000, 2), SILENT, np.int32)
    votes[:990, 0], votes[990:, 1] = 0, 1
    assert estimate(votes, 2).probabilities[995, 1] == pytest.approx(ACCURACY, abs=0.02)


def test_labels_of_people_measure_a_source() -> None:
    votes = np.zeros((400, 1), np.int32)
    gold = np.full(400, SILENT, np.int32)
    gold[:100], gold[100:200] = 0, 1
    seen = estimate(votes, 2, gold=gold)
    assert seen.precision[0] < 0.65, "people agree with half of it"
    assert (seen.probabilities[:200].argmax(axis=1) == gold[:200]).all(), "what people said stands"


def test_known_shares_of_labels_are_taken() -> None:
    seen = estimate(np.full((5, 1), SILENT, np.int32), 2, shares=[0.9, 0.1])
    assert seen.probabilities[0] == pytest.approx([0.9, 0.1])


@given(st.integers(0, 6), st.integers(0, 4), st.integers(1, 4), st.integers(0, 2**31))
def test_whatever_is_said_probabilities_are_probabilities(texts: int, count: int, labels: int, seed: int) -> None:
    votes = np.random.default_rng(seed).integers(-1, labels, (texts, count)).astype(np.int32)
    seen = estimate(votes, labels)
    assert seen.probabilities.shape == (texts, labels)
    assert np.isfinite(seen.probabilities).all()
    assert seen.probabilities.sum(axis=1) == pytest.approx(np.ones(texts))
    assert seen.shares.sum() == pytest.approx(1.0)
