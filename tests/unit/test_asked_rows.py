"""Rows asked for where two models disagree: how they are drawn, whom one can believe, and what they say of the gain."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest

from config.tasks import TaskSpec
from tests.support.cycles import task
from trainers.compare.apart import apart, bounds_of, by_size, strata_of
from trainers.compare.asked import compare_asked, is_weighable
from trainers.compare.comparison import Asked, Comparison
from trainers.compare.one_class import only_label
from trainers.compare.sequential.pair import PairTest
from trainers.pair.annotators import Seen, is_doubtful
from trainers.pair.drawing import draw

ACCURACY = task(promotion={"metric": "accuracy", "min_test_examples": 5})
NUMBERS = TaskSpec.model_validate({
    "name": "mood", "kind": "regression", "backend": "transformer", "base_model": "minilm",
    "dimensions": [{"name": "heat", "low": 0, "high": 10}], "promotion": {"metric": "mae"},
})  # fmt: skip
ASKED = Asked(pool=1000, disagreement=0.1, requests=0, labelled=0)


def said(label: str) -> dict[str, Any]:
    return {"label": label}


def test_how_far_answers_are_apart() -> None:
    assert apart(ACCURACY, said("A") | {"scores": {"A": 0.9}}, said("A") | {"scores": {"A": 0.4}}) == 0.0
    assert apart(ACCURACY, said("A"), said("B")) == 1.0
    assert apart(NUMBERS, {"values": {"heat": 2.0}}, {"values": {"heat": 7.0}}) == pytest.approx(0.5)
    assert (by_size(ACCURACY), by_size(NUMBERS)) == (False, True)
    assert is_weighable(ACCURACY)
    assert is_weighable(NUMBERS)
    spearman = NUMBERS.model_copy(update={"promotion": NUMBERS.promotion.model_copy(update={"metric": "spearman"})})
    assert not is_weighable(spearman)


def test_a_draw_is_mostly_of_rows_that_differ_in_random_order_by_its_seed() -> None:
    sizes = np.array([1.0] * 100 + [0.0] * 900)
    found = draw(sizes, numbers=False, labels=80, agreements=0.1, seed=5)
    assert found.sizes == (900, 100)
    assert Counter(found.strata[found.rows].tolist()) == {1: 72, 0: 8}
    assert set(found.inclusion[found.rows].round(6).tolist()) == {0.72, round(8 / 900, 6)}
    assert len(set(found.rows.tolist())) == 80
    # No stretch of the order is of one kind alone.
    assert 0 < found.strata[found.rows[:40]].sum() < 40
    again = draw(sizes, numbers=False, labels=80, agreements=0.1, seed=5)
    assert again.rows.tolist() == found.rows.tolist()
    assert draw(sizes, numbers=False, labels=80, agreements=0.1, seed=6).rows.tolist() != found.rows.tolist()


def test_few_differing_rows_are_all_asked_about_and_none_where_nothing_differs() -> None:
    few = draw(np.array([1.0] * 3 + [0.0] * 200), numbers=False, labels=80, agreements=0.1, seed=1)
    assert Counter(few.strata[few.rows].tolist()) == {1: 3, 0: 2}
    assert draw(np.zeros(50), numbers=False, labels=80, agreements=0.1, seed=1).rows.tolist() == []
    assert draw(np.empty(0), numbers=False, labels=80, agreements=0.1, seed=1).rows.tolist() == []
    only = draw(np.ones(50), numbers=False, labels=80, agreements=0.1, seed=1)
    assert sorted(only.rows.tolist()) == list(range(50))


def test_numbers_are_drawn_by_the_size_of_the_difference() -> None:
    sizes = np.random.default_rng(2).exponential(size=2_000)
    found = draw(sizes, numbers=True, labels=80, agreements=0.1, seed=1)
    bounds = bounds_of(sizes)
    assert found.bounds == bounds
    assert strata_of(sizes, bounds, numbers=True).tolist() == found.strata.tolist()
    counts = np.bincount(found.strata[found.rows], minlength=4)
    assert counts[0] >= 8
    rates = counts / np.array(found.sizes)
    assert rates[3] > rates[2] > rates[1] > rates[0]
    assert draw(np.full(20, 0.5), numbers=True, labels=8, agreements=0.1, seed=1).sizes == (20,)


def before() -> Comparison:
    return Comparison(
        task=ACCURACY.name, metric="accuracy", candidate_run="r", champion_version="t/v1", opponent="t/v1", rows=10, stories=10,
        champion_score=0.5, candidate_score=0.6, gain=0.1, confidence=0.95, lower_bound=-0.1, upper_bound=0.3,
        standard_error=0.1, p_equal=0.3, discordant=0.1, required_gain=0.025, required_rows=500, size_mib=3.0,
    )  # fmt: skip


def world(seed: int, *, better: float) -> tuple[list[str], list[str], list[str]]:
    """4,000 texts on a tenth of which the models differ; there the candidate is right with this probability."""
    chance = np.random.default_rng(seed)
    gold = ["A" if one else "B" for one in chance.random(4_000) < 0.5]
    other = {"A": "B", "B": "A"}
    agreed = [one if right else other[one] for one, right in zip(gold, chance.random(4_000) < 0.8, strict=True)]
    candidate, champion = list(agreed), list(agreed)
    for row in range(400):
        right = chance.random() < better
        candidate[row], champion[row] = (gold[row], other[gold[row]]) if right else (other[gold[row]], gold[row])
    return gold, candidate, champion


def judged(seed: int, *, better: float, unknown: int = 0) -> Comparison:
    gold, candidate, champion = world(seed, better=better)
    sizes = np.array([float(one != other) for one, other in zip(candidate, champion, strict=True)])
    random = np.random.default_rng(seed).permutation(4_000)[:150]
    pool = np.setdiff1d(np.arange(4_000), random)
    found = draw(sizes[pool], numbers=False, labels=80, agreements=0.1, seed=seed)
    rows = [*random.tolist(), *pool[found.rows].tolist()]
    strata = strata_of(sizes[rows], (), numbers=False)
    labels: list[Any] = [said(gold[row]) for row in rows]
    labels[len(labels) - unknown :] = [None] * unknown
    return compare_asked(
        ACCURACY, before(), gold=labels, candidate=[said(candidate[row]) for row in rows],
        opponent=[said(champion[row]) for row in rows], strata=strata,
        sizes=np.bincount(strata_of(sizes, (), numbers=False)).astype(np.float64), clusters=np.arange(len(rows)),
        random=150, looks=1, seed=1, asked=ASKED.model_copy(update={"requests": 80, "labelled": 80 - unknown}),
    )  # fmt: skip


def test_the_gain_is_that_over_all_texts_and_surer_than_test_rows_alone_make_it() -> None:
    gains = [judged(seed, better=0.8) for seed in range(12)]
    # In a tenth of the texts the candidate is right in 80 %, the champion in 20 %.
    assert np.mean([one.gain for one in gains]) == pytest.approx(0.06, abs=0.01)
    assert np.mean([one.champion_score for one in gains]) == pytest.approx(0.74, abs=0.04)
    # 150 random rows with a tenth differing alone have a standard error of about 2.5 points.
    assert np.mean([one.standard_error for one in gains]) < 0.015
    first = gains[0]
    assert first.lower_bound < first.gain < first.upper_bound
    assert (first.rows, first.size_mib, first.looks, first.same_answers) == (230, 3.0, 1, False)
    assert first.p_equal < 0.01
    equal = [judged(seed, better=0.5) for seed in range(12)]
    assert sum(one.p_equal < 0.008 for one in equal) <= 1
    assert abs(np.mean([one.gain for one in equal])) < 0.01


def test_labels_that_all_speak_for_one_model_are_uncertain_as_between_equal_ones() -> None:
    """Sixteen rows that differ, the candidate right in each: nothing varies among them, and the chance of it is 1 in 65,536."""
    gold, strata = [said("A")] * 24, np.array([0] * 8 + [1] * 16)
    test = PairTest(level=0.004, planned=math.inf, drawn=0.25)
    found = compare_asked(
        ACCURACY, before(), gold=gold, candidate=gold, opponent=[said("A")] * 8 + [said("B")] * 16, strata=strata,
        sizes=np.array([80.0, 20.0]), clusters=np.arange(24), random=0, looks=1, seed=1,
        asked=ASKED.model_copy(update={"requests": 24, "labelled": 24, "test": test}),
    )  # fmt: skip
    assert found.asked is not None
    assert found.asked.test is not None
    assert found.asked.test.now is not None
    error = found.asked.test.now.information**-0.5
    assert error == pytest.approx(20 / 100 / math.sqrt(16), rel=0.05)
    assert error > found.standard_error
    assert found.asked.test.passes(0.0)
    assert found.asked.test.gain == pytest.approx(0.2)


def test_what_nobody_could_tell_counts_against_the_candidate() -> None:
    whole, part = judged(3, better=0.8), judged(3, better=0.8, unknown=20)
    assert (part.rows, whole.rows) == (210, 230)
    assert part.lower_bound < whole.lower_bound
    assert part.upper_bound > part.gain
    assert part.p_equal >= whole.p_equal
    assert part.asked is not None
    assert (part.asked.unlabelled, part.asked.only_label) == (20, "")


def test_rows_of_one_label_and_rows_of_one_type_of_entities() -> None:
    assert only_label([said("A"), None, said("A")]) == "A"
    assert only_label([said("A"), said("B")]) == only_label([None]) == only_label([]) == ""
    assert only_label([{"labels": ["A"]}, {"labels": ["A"]}]) == "A"
    assert only_label([{"labels": ["A", "B"]}]) == only_label([{"labels": []}, {"labels": ["A"]}]) == ""
    # Finding a type of entities or missing it is what such a task is about.
    assert only_label([{"spans": [{"start": 0, "end": 2, "label": "PERSON"}], "partial": False}] * 2) == ""
    assert only_label([{"values": {"heat": 2.0}}]) == ""


def seen(gold: str, candidate: str = "A", opponent: str = "B", stratum: int = 1) -> Seen:
    return Seen(said(gold), said(candidate), said(opponent), stratum)


TEST = [seen("AB"[number % 2]) for number in range(20)]


def test_whoever_says_the_same_of_everything_is_not_believed() -> None:
    turns = [("A", "B") if number % 2 else ("B", "A") for number in range(20)]
    assert is_doubtful([seen("A", *models) for models in turns], TEST)
    assert not is_doubtful([seen("AB"[number % 2], *models) for number, models in enumerate(turns)], TEST)
    assert not is_doubtful([seen("A", *models) for models in turns[:9]], TEST)
    # A new label that one of the models has learnt is right of all that is asked.
    assert not is_doubtful([seen("N", "N", "A") for _number in range(20)], TEST)
    # Where nearly all test rows say so too, it is nothing strange.
    assert not is_doubtful([seen("A", *models) for models in turns], [seen("A") for _number in range(200)])


def test_whoever_is_against_both_models_where_test_rows_are_not_is_not_believed() -> None:
    odd = [seen("CDE"[number % 3]) for number in range(20)]
    assert is_doubtful(odd, TEST)
    assert is_doubtful(odd * 100, TEST)
    # Where both models are mostly wrong by the test rows too, it is nothing strange.
    assert not is_doubtful(odd, [seen("CDE"[number % 3]) for number in range(40)])
