"""Heads of labels that are each right or wrong by themselves: solved together, with thresholds that newer rows choose."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from config.errors import RunFailedError
from perennial_artifact.errors import UnusableError
from perennial_artifact.labels import LabelSet
from perennial_artifact.sentence.head import HEAD_FILE, Head, Solved
from perennial_artifact.sentence.layout import HEAD_FOLDER
from trainers.learners.heads.building import build
from trainers.learners.heads.families import calibration, thresholds
from trainers.learners.heads.families.binomial import NOT_KNOWN, Binomial
from trainers.learners.heads.families.family import Judged
from trainers.learners.heads.rows import HeadRows
from trainers.learners.heads.validation import forward
from trainers.learners.heads.validation.forward import Choice
from trainers.learners.protocols import Example

NAMES = LabelSet(("SPORT", "MARKETS", "WEATHER"), frozenset({"SPORT", "MARKETS", "WEATHER"}))
FAMILY = Binomial()


def rows(count: int = 300, *, noise: float = 0.3, days: float = 700.0, seed: int = 1) -> HeadRows:
    """Rows along the directions of all their labels, of which each has any with probability 0.4."""
    chance = np.random.default_rng(seed)
    gold = (chance.random((count, 3)) < 0.4).astype(np.intp)
    features = gold @ np.eye(3, 8) + noise * chance.normal(size=(count, 8))
    return HeadRows(
        features.astype(np.float32), gold, np.ones(count), np.linspace(0.0, days, count), np.arange(count, dtype=np.intp),
        np.ones(count, dtype=bool), FAMILY,
    )  # fmt: skip


def unit_rows(count: int, *, arts: int, seed: int) -> HeadRows:
    """Rows of length 1, as encoders give them, of which the last carry a fourth label, every second one."""
    chance = np.random.default_rng(seed)
    directions = np.random.default_rng(99).normal(size=(5, 384)) / np.sqrt(384)
    gold = np.zeros((count, 4), dtype=np.intp)
    gold[:, :3] = chance.random((count, 3)) < 0.4
    gold[count - 2 * arts :: 2, 3] = arts > 0
    features = directions[4] + gold @ directions[:4] + 2.0 * chance.normal(size=(count, 384)) / np.sqrt(384)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    marks = gold if arts else gold[:, :3]
    return replace(rows(count, days=30.0), features=features.astype(np.float32), labels=marks)


def test_each_label_is_solved_as_a_regression_of_its_own_would_be() -> None:
    some = rows()
    weights = np.linspace(0.5, 1.5, len(some))
    found = FAMILY.solve(some.features, some.labels, weights, strength=10.0)
    assert found.labels.tolist() == [0, 1, 2]
    for label in range(3):
        alone = LogisticRegression(C=10.0, tol=1e-8, max_iter=1_000).fit(some.features, some.labels[:, label], weights)
        assert found.weight[label] == pytest.approx(alone.coef_[0], abs=0.05)
        assert found.bias[label] == pytest.approx(alone.intercept_[0], abs=0.05)
    again = FAMILY.solve(some.features, some.labels, weights, strength=10.0, start=found)
    assert again.weight == pytest.approx(found.weight, abs=0.05)


def test_a_row_says_nothing_of_a_label_that_nobody_knew() -> None:
    some = rows()
    unknown = some.labels.copy()
    unknown[:200, 2] = NOT_KNOWN
    found = FAMILY.solve(some.features, unknown, some.weights, strength=10.0)
    late = FAMILY.solve(some.features[200:], some.labels[200:], some.weights[200:], strength=10.0)
    assert found.weight[2] == pytest.approx(late.weight[2], abs=0.05)
    log, _said = FAMILY.judge(found, some.features, np.full_like(unknown, NOT_KNOWN))
    assert (log == 0).all()


def test_labels_outside_the_scope_of_a_row_are_not_known() -> None:
    given = [
        Example("1", "a", {"labels": ["SPORT"]}, scope=frozenset({"SPORT", "MARKETS"})),
        Example("2", "b", {"labels": ["WEATHER", "not learnt yet"]}, scope=frozenset({"MARKETS"})),
        Example("3", "c", {"labels": []}),
    ]
    assert FAMILY.encoded(given, NAMES.ids).tolist() == [[1, 0, NOT_KNOWN], [NOT_KNOWN, 0, 1], [0, 0, 0]]


def test_a_row_is_told_by_older_ones_where_they_carry_all_of_its_labels() -> None:
    older = np.array([[1, 0, 0], [0, 1, NOT_KNOWN]])
    newer = np.array([[1, 1, 0], [0, 0, 1], [0, 0, 0], [1, 0, NOT_KNOWN]])
    assert FAMILY.told_by(newer, older).tolist() == [True, False, True, True]


def test_rows_that_tell_nothing_apart_and_numbers_that_are_none_fail_the_run() -> None:
    some = rows()
    for gold in (np.zeros_like(some.labels), np.ones_like(some.labels), np.full_like(some.labels, NOT_KNOWN)):
        with pytest.raises(RunFailedError, match="carry a label and others that lack it"):
            FAMILY.solve(some.features, gold, some.weights, strength=1.0)
    broken = some.features.copy()
    broken[7, 3] = np.inf
    with pytest.raises(RunFailedError, match="row 7"):
        FAMILY.solve(broken, some.labels, some.weights, strength=1.0)


def test_the_prior_moves_a_label_that_comes_more_often_of_late_and_hardly_one_that_is_rare() -> None:
    some = rows(days=100.0)
    gold = some.labels.copy()
    gold[:, 2] = 0
    gold[0, 2] = 1
    late = some.days > 50.0
    gold[late, 0] = 1
    found = FAMILY.solve(some.features, gold, some.weights, strength=10.0)
    prior = FAMILY.prior(found, gold, some.weights, days=some.days, independent=np.arange(300), window_days=50.0)
    assert prior is not None
    assert prior.shift[0] > 1.0
    assert abs(prior.shift[2]) < 0.5, "it came once, and half a row was to be expected in the window"
    assert FAMILY.prior(found, gold, some.weights, days=some.days, independent=np.arange(300), window_days=None) is None


def test_balanced_labels_weigh_as_much_as_what_lacks_them() -> None:
    some = rows(2_000, noise=1.0)
    gold = some.labels.copy()
    gold[:, 1] *= np.arange(2_000) % 20 == 0
    more = Binomial(balanced=True).balancing(gold, some.weights)
    assert more is not None
    carried = np.where(gold == 1, more, 0).sum(axis=0)
    assert carried == pytest.approx(np.where(gold == 0, more, 0).sum(axis=0))
    plain, balanced = (
        family.solve(some.features, gold, some.weights, strength=10.0) for family in (FAMILY, Binomial(balanced=True))
    )
    given = [(found.scores(some.features)[:, 1] > 0).mean() for found in (plain, balanced)]
    assert given[0] < 0.05
    assert given[1] > 0.2
    window = {"days": some.days, "independent": np.arange(2_000), "window_days": 90.0}
    assert Binomial(balanced=True).prior(balanced, gold, some.weights, **window) is None


def test_a_threshold_is_where_f1_is_best_and_that_of_a_rare_label_near_the_common_one() -> None:
    chance = np.random.default_rng(3)
    gold = (chance.random((2_000, 3)) < (0.3, 0.3, 0.002)).astype(np.intp)
    probabilities = np.clip(gold * 0.3 + chance.uniform(0.0, 0.2, gold.shape), 0.0, 1.0)
    probabilities[:, 1] += 0.4
    chosen = thresholds.of(probabilities, gold)
    assert chosen is not None
    found, common = chosen
    assert 0.2 < found[0] < 0.31
    assert 0.6 < found[1] < 0.71
    assert abs(found[2] - common) < abs(found[1] - common) or found[2] == pytest.approx(common, abs=0.1)
    assert ((found > 0.0) & (found < 1.0)).all()


def test_probabilities_of_each_label_are_calibrated_on_newer_rows() -> None:
    chance = np.random.default_rng(3)
    true = chance.normal(size=(400, 3))
    gold = (chance.random((400, 3)) < expit(true)).astype(np.intp)
    sure = Judged(3.0 * true, gold, np.arange(3))
    assert calibration.temperature_of_each(sure) == pytest.approx(3.0, rel=0.3)
    answering = FAMILY.answering(sure, gold)
    assert answering.temperature == calibration.temperature_of_each(sure)
    assert answering.thresholds is not None
    assert all(0.1 < threshold < 0.7 for threshold in answering.thresholds.values()), "of calibrated probabilities"


def test_what_nobody_knew_and_labels_that_no_older_row_carries_calibrate_nothing() -> None:
    logits, gold = np.full((80, 2), 2.0), np.zeros((80, 2), dtype=np.intp)
    logits[:, 1], gold[:, 0] = -np.inf, NOT_KNOWN
    assert calibration.temperature_of_each(Judged(logits, gold, np.arange(2))) == 1.0
    assert calibration.temperature_of_each(Judged(np.zeros((10, 2)), gold[:10] + 1, np.arange(2))) == 1.0, "too few rows"


def test_few_rows_choose_no_threshold_and_it_lies_between_a_head_that_tells_nothing_and_one_that_tells_all() -> None:
    assert thresholds.of(np.full((10, 2), 0.3), np.ones((10, 2), dtype=np.intp)) is None
    shares = np.array([0.001, 0.01, 1 / 6, 0.5, 1.0])
    found = thresholds.by_share(shares)
    assert (found >= shares / (1 + shares)).all()
    assert (found <= 0.5).all()
    assert (np.diff(found) > 0).all()


def test_balanced_heads_have_one_threshold_where_few_rows_choose() -> None:
    gold = np.array([[1, 0], [0, 1], [0, 1], [0, NOT_KNOWN]])
    assert FAMILY.answering(None, gold).thresholds == pytest.approx({0: 0.333, 1: 0.45}, abs=0.01)
    found = Binomial(balanced=True).answering(None, gold).thresholds
    assert found is not None
    assert found[0] == found[1]


def test_after_a_refresh_on_60_rows_a_new_label_with_ten_clear_examples_is_answered() -> None:
    names = LabelSet((*NAMES.names, "ARTS"), frozenset({*NAMES.names, "ARTS"}))
    first = build(unit_rows(40, arts=0, seed=1), NAMES, Choice(), Solved())
    head = build(unit_rows(60, arts=10, seed=2), names, Choice(), Solved(), start=first)
    assert "ARTS" in head.labels.seen
    fresh = unit_rows(200, arts=60, seed=3)
    answers = head.answers(fresh.features, [False] * 200)
    has = fresh.labels[:, 3] == 1
    said = np.array(["ARTS" in answer["labels"] for answer in answers])
    assert said[has].mean() > 0.8
    assert said[~has].mean() < 0.05
    more_sure_than_not = np.array([answer["scores"]["ARTS"] >= 0.5 for answer in answers])
    assert more_sure_than_not[has].mean() < 0.5, "at 0.5 most would not be answered"


def test_newer_rows_choose_and_the_head_answers_any_number_of_labels() -> None:
    some = rows(900)
    choice = forward.choose(some, Choice(), lambda _one: None)
    head = build(some, LabelSet((*NAMES.names, "ARTS"), frozenset({*NAMES.names, "ARTS"})), choice, Solved())
    assert head.thresholds is not None
    assert head.labels.seen == NAMES.seen
    fresh = rows(300, seed=2)
    answers = head.answers(fresh.features, [False] * 300)
    said = np.array([[name in answer["labels"] for name in NAMES.names] for answer in answers])
    assert (said == (fresh.labels == 1)).mean() > 0.9
    assert {len(answer["labels"]) for answer in answers} == {0, 1, 2, 3}
    assert all(list(answer["scores"].values()) == sorted(answer["scores"].values(), reverse=True) for answer in answers)
    assert all(answer["labels"] == sorted(answer["labels"]) for answer in answers)


def test_a_head_is_read_as_it_was_written(tmp_path: Path) -> None:
    some = rows()
    head = build(some, NAMES, Choice(), Solved())
    head.write(tmp_path)
    again = Head.read(tmp_path)
    assert again.thresholds is not None
    assert again.thresholds == pytest.approx(head.thresholds)
    assert again.answers(some.features, [False] * 300) == head.answers(some.features, [False] * 300)
    replace(head, thresholds=None).write(tmp_path)
    assert Head.read(tmp_path).thresholds is None


@pytest.mark.parametrize("wrong", [{"SPORT": 0.5}, {"SPORT": 2, "MARKETS": 0.5, "WEATHER": 0.5}, [0.5, 0.5, 0.5], None, "high"])
def test_thresholds_that_are_none_are_refused(tmp_path: Path, wrong: object) -> None:
    build(rows(), NAMES, Choice(), Solved()).write(tmp_path)
    file = tmp_path / HEAD_FOLDER / HEAD_FILE
    file.write_text(json.dumps(json.loads(file.read_text()) | {"thresholds": wrong}), encoding="utf-8")
    with pytest.raises(UnusableError, match="cannot be read"):
        Head.read(tmp_path)
