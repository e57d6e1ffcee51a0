"""Heads: solved to their optimum, weighted by age, moved to the prior of late, chosen on newer rows, calibrated."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax

from config.errors import RunFailedError
from perennial_artifact.labels import LabelSet
from perennial_artifact.sentence.head import UNLEARNT_BIAS, Solved
from trainers.learners.heads.building import build, choice_of
from trainers.learners.heads.families import calibration
from trainers.learners.heads.families.family import Judged
from trainers.learners.heads.families.multinomial import Multinomial
from trainers.learners.heads.rows import HeadRows
from trainers.learners.heads.solving import solve
from trainers.learners.heads.validation import forward
from trainers.learners.heads.validation.forward import Choice
from trainers.learners.heads.weighting import decayed, prior
from trainers.learners.tried import Tried

NAMES = LabelSet(("SPORT", "MARKETS", "WEATHER"), frozenset({"SPORT", "MARKETS", "WEATHER"}))


def rows(count: int = 300, *, labels: int = 3, days: float = 700.0, noise: float = 0.4, seed: int = 1) -> HeadRows:
    """Rows of length 1 around one direction for each label, over `days`, oldest first."""
    chance = np.random.default_rng(seed)
    ids = chance.integers(0, labels, count)
    features = np.eye(labels, 8)[ids] + noise * chance.normal(size=(count, 8))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    return HeadRows(
        features.astype(np.float32), ids.astype(np.intp), np.ones(count), np.linspace(0.0, days, count),
        np.arange(count, dtype=np.intp), np.ones(count, dtype=bool),
    )  # fmt: skip


def test_a_separable_problem_is_solved_and_the_gradient_is_zero_there() -> None:
    some = rows()
    found = solve(some.features, some.labels, some.weights, strength=10.0)
    assert (found.labels[found.scores(some.features).argmax(axis=1)] == some.labels).mean() > 0.9
    probabilities = softmax(found.scores(some.features), axis=1)
    wrong = probabilities - np.eye(3)[some.labels]
    gradient = 10.0 * wrong.T @ some.features + found.weight
    assert np.abs(gradient).max() < 1e-3 * 10.0 * len(some), "the library's tolerance is a mean over rows"


def test_two_labels_are_solved_like_more() -> None:
    some = rows(labels=2)
    found = solve(some.features, some.labels, some.weights, strength=10.0)
    assert found.weight.shape == (2, 8)
    assert (found.labels[found.scores(some.features).argmax(axis=1)] == some.labels).mean() > 0.9


def test_a_start_changes_nothing_but_the_way() -> None:
    some = rows()
    cold = solve(some.features, some.labels, some.weights, strength=10.0)
    warm = solve(some.features, some.labels, some.weights, strength=10.0, start=cold)
    assert warm.weight == pytest.approx(cold.weight, abs=0.05)
    of_others = solve(some.features, some.labels, some.weights, strength=10.0, start=replace(cold, weight=cold.weight[:, :5]))
    assert of_others.weight == pytest.approx(cold.weight, abs=0.05)


def test_one_label_and_numbers_that_are_none_fail_the_run() -> None:
    some = rows()
    with pytest.raises(RunFailedError, match="at least two labels"):
        solve(some.features, np.zeros(300, dtype=np.intp), some.weights, strength=1.0)
    broken = some.features.copy()
    broken[7, 3] = np.nan
    with pytest.raises(RunFailedError, match="row 7"):
        solve(broken, some.labels, some.weights, strength=1.0)


def test_a_row_that_weighs_nothing_next_to_others_turns_no_answer() -> None:
    some = rows()
    wrong = (some.labels + 1) % 3
    both = solve(
        np.concatenate([some.features, some.features]), np.concatenate([some.labels, wrong]),
        np.concatenate([some.weights, 0.01 * some.weights]), strength=10.0,
    )  # fmt: skip
    assert (both.labels[both.scores(some.features).argmax(axis=1)] == some.labels).mean() > 0.9


@given(st.lists(st.floats(0, 5_000), min_size=1, max_size=30), st.floats(1, 2_000))
def test_weights_halve_with_every_half_life(days: list[float], half_life: float) -> None:
    times = np.array(days)
    found = decayed(times, np.ones(len(days)), half_life)
    assert found.max() == 1.0
    assert found == pytest.approx(2.0 ** (-(times.max() - times) / half_life))
    assert decayed(times, found, None) is found


def test_the_prior_is_that_of_rows_chosen_without_a_model_in_the_window() -> None:
    some = rows(days=100.0)
    late = some.days > 50.0
    corrections = np.flatnonzero(late)[::2]
    independent = np.setdiff1d(np.arange(300), corrections)
    labels = np.where(late, 0, some.labels).astype(np.intp)
    labels[corrections] = 1
    found = solve(some.features, labels, some.weights, strength=10.0)
    moved = prior(found, labels, some.weights, days=some.days, independent=independent, window_days=50.0)
    assert moved is not None
    assert moved.shares.argmax() == 0
    assert moved.shares[0] > 0.95, "the corrections, all of another label, do not count"
    assert moved.shares.sum() == pytest.approx(1.0)
    assert prior(found, labels, some.weights, days=some.days, independent=independent, window_days=None) is None
    assert prior(found, labels, some.weights, days=some.days, independent=corrections[:0], window_days=50.0) is None


def changed_meaning(count: int = 1_200) -> HeadRows:
    """Rows whose first half carries other labels than the same texts do today."""
    some = rows(count, days=1_400.0)
    old = np.arange(count) < count // 2
    return replace(some, labels=np.where(old, (some.labels + 1) % 3, some.labels).astype(np.intp))


def test_newer_rows_choose_and_the_report_lists_every_choice() -> None:
    tried: list[Tried] = []
    before = Choice(half_life_days=None, prior_days=None, strength=10.0)
    best = forward.choose(changed_meaning(), before, tried.append)
    assert best.half_life_days == 182.0
    assert [one.name for one in tried if one.chosen] == [best.name]
    assert len({one.name for one in tried}) == len(tried) > 6
    assert all({"log_probability", "accuracy", "macro_f1"} == one.scores.keys() for one in tried)


def test_balanced_labels_weigh_alike_and_no_prior_is_assumed() -> None:
    some = rows(900, noise=1.0)
    labels = np.where((some.labels == 2) & (np.arange(900) % 10 > 0), 0, some.labels)
    more = Multinomial(balanced=True).balancing(labels, some.weights)
    assert more is not None
    assert np.bincount(labels, weights=more) == pytest.approx([300.0] * 3)
    found = [
        forward.solved(replace(some, labels=labels, family=family), Choice(None, 182.0, 10.0))
        for family in (Multinomial(), Multinomial(balanced=True))
    ]
    assert found[0][1] is not None
    assert found[1][1] is None
    rare = [(head.scores(some.features).argmax(axis=1) == 2).sum() for head, _prior in found]
    assert rare[0] < rare[1]


def test_what_was_chosen_stays_chosen() -> None:
    some = rows(600, noise=2.0)
    best = forward.choose(some, Choice(half_life_days=730.0, prior_days=None, strength=10.0), lambda _one: None)
    assert forward.choose(some, best, lambda _one: None) == best


@pytest.mark.parametrize("count", [2, 20, 100])
def test_too_few_newer_rows_choose_nothing_and_say_so(count: int) -> None:
    tried: list[Tried] = []
    some = rows(count)
    some = replace(some, independent=np.arange(count) <= count // 2)
    assert forward.choose(some, Choice(), tried.append) == Choice()
    assert [(one.scores, one.chosen) for one in tried] == [({}, True)]


@pytest.mark.parametrize("people", [0, 60])
@pytest.mark.parametrize(("before", "after"), [(10.0, 3.0), (30.0, 3.0), (1.0, 1.0)])
def test_where_too_few_of_few_labels_of_people_judge_a_head_is_held_back(before: float, after: float, people: int) -> None:
    tried: list[Tried] = []
    some = replace(rows(), independent=np.arange(300) < people)
    assert forward.choose(some, Choice(strength=before), tried.append) == Choice(strength=after)
    assert [(one.scores, one.chosen, f"strength {after:g}" in one.name) for one in tried] == [({}, True, True)]


def test_rows_of_one_moment_have_no_newer_side() -> None:
    some = replace(rows(), days=np.zeros(300))
    assert forward.choose(some, Choice(), lambda _one: None) == Choice()
    assert forward.judged_rows(some, Choice()) is None


def test_a_document_is_never_on_both_sides() -> None:
    some = replace(rows(400), documents=np.arange(400, dtype=np.intp) % 7)
    assert forward.judged_rows(some, Choice()) is None, "each document reaches into the newest rows, and none is older"


def test_which_features_answer_newer_rows_better_is_told() -> None:
    some = rows(600)
    chance = np.random.default_rng(3).normal(size=some.features.shape).astype(np.float32)
    found = forward.compare(some.with_features(chance), some, Choice(None, None, 10.0), newer_than_days=500.0)
    assert found is not None
    first, second, better = found
    assert better
    assert second.scores["accuracy"] > first.scores["accuracy"] + 0.3
    equal = forward.compare(some, some, Choice(None, None, 10.0), newer_than_days=500.0)
    assert equal is not None
    assert not equal[2], "equal features are not better ones"
    assert forward.compare(some, some, Choice(), newer_than_days=699.0) is None, "too few newer rows"


def test_newer_rows_of_a_new_label_alone_do_not_tell_which_features_are_better() -> None:
    some = rows(600)
    newer = some.days > 500.0
    some = replace(some, labels=np.where(newer, 3, np.minimum(some.labels, 2)))
    assert forward.compare(some, some, Choice(), newer_than_days=500.0) is None


def test_a_head_answers_only_what_rows_have_shown() -> None:
    names = LabelSet(("SPORT", "MARKETS", "WEATHER", "ARTS"), frozenset({"SPORT", "MARKETS", "WEATHER", "ARTS"}))
    head = build(rows(), names, Choice(), Solved(tuned_rows=5))
    assert head.labels.seen == {"SPORT", "MARKETS", "WEATHER"}
    assert head.bias[3] == UNLEARNT_BIAS
    assert head.solved.rows == 300
    assert head.solved.tuned_rows == 5
    assert choice_of(head) == Choice()
    [answer] = head.answers(rows().features[:1], [False])
    assert answer["scores"].keys() == {"SPORT", "MARKETS", "WEATHER"}
    assert sum(answer["scores"].values()) == pytest.approx(1.0, abs=1e-5)


def test_solving_again_from_a_built_head_gives_the_same_head() -> None:
    some = rows(600)
    first = build(some, NAMES, Choice(), Solved())
    again = build(some, NAMES, Choice(), Solved(), start=first)
    assert again.probabilities(some.features) == pytest.approx(first.probabilities(some.features), abs=0.02)


def test_probabilities_are_calibrated_on_newer_rows() -> None:
    some = rows(2_000, noise=0.9)
    head = build(some, NAMES, Choice(None, None, 1_000.0), Solved())
    fresh = rows(2_000, noise=0.9, seed=2)
    probabilities = head.probabilities(fresh.features)
    confidence = probabilities.max(axis=1).mean()
    right = (probabilities.argmax(axis=1) == fresh.labels).mean()
    assert confidence == pytest.approx(right, abs=0.03)


def test_few_rows_calibrate_nothing() -> None:
    judged = Judged(np.array([[5.0, 0.0]]), np.array([1], dtype=np.intp), np.array([0, 1], dtype=np.intp))
    assert calibration.temperature(judged) == 1.0
