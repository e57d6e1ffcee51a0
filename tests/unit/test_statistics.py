import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import f1_score

from trainers.compare import statistics
from trainers.compare.metrics.f1 import MACRO_F1, mean_f1, paired_counts
from trainers.compare.resampling.paired import Clusters
from trainers.compare.resampling.sums import SWAP_REPLICATES, PairedSums
from trainers.compare.statistics import Evidence


def of_accuracy(candidate: Sequence[int], opponent: Sequence[int]) -> PairedSums:
    ones = np.ones((len(candidate), 1))
    return paired_counts(ones, np.array(candidate, float)[:, None], ones, np.array(opponent, float)[:, None], ones)


def answers(both: int, only_candidate: int, only_opponent: int, neither: int) -> PairedSums:
    candidate = [1] * (both + only_candidate) + [0] * (only_opponent + neither)
    opponent = [1] * both + [0] * only_candidate + [1] * only_opponent + [0] * neither
    return of_accuracy(candidate, opponent)


def weigh(paired: PairedSums, clusters: Clusters | None = None) -> Evidence:
    numbered = np.arange(len(paired)) if clusters is None else clusters
    return statistics.weigh(paired, numbered, MACRO_F1.scale, confidence=0.95, seed=3)


def test_scores_are_accuracy_where_every_row_claims_one_answer() -> None:
    assert answers(6, 2, 1, 1).scores() == (0.8, 0.7)


def test_scores_are_sklearns_macro_f1() -> None:
    rng = np.random.default_rng(5)
    gold, candidate, opponent = rng.integers(0, 4, (3, 200))
    one_hot = np.eye(4)
    counts = paired_counts(
        one_hot[gold],
        one_hot[gold] * (gold == candidate)[:, None],
        one_hot[candidate],
        one_hot[gold] * (gold == opponent)[:, None],
        one_hot[opponent],
    )
    expected = [f1_score(gold, answer, average="macro", labels=np.unique(gold)) for answer in (candidate, opponent)]
    assert counts.scores() == pytest.approx(expected)


def test_a_class_without_gold_counts_as_zero_and_no_class_at_all_is_zero() -> None:
    assert mean_f1(np.array([2.0, 0.0]), np.array([2.0, 0.0, 2.0, 5.0])) == 0.5
    assert mean_f1(np.array([2.0, 0.0]), np.array([2.0, 0.0, 2.0, 0.0])) == 0.5
    assert mean_f1(np.array([0.0]), np.array([0.0, 3.0])) == 0.0
    assert mean_f1(np.empty(0), np.empty(0)) == 0.0


def test_p_equal_is_mcnemars_exact_test_for_single_rows() -> None:
    for only_candidate, only_opponent in ((12, 4), (20, 6), (9, 9), (3, 8)):
        exact = binomtest(only_candidate, only_candidate + only_opponent, 0.5, alternative="greater").pvalue
        found = weigh(answers(100, only_candidate, only_opponent, 30)).p_equal
        assert found == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / SWAP_REPLICATES) + 2e-4)


def test_standard_error_is_that_of_paired_differences() -> None:
    evidence = weigh(answers(700, 90, 50, 160))
    difference = np.array([1] * 90 + [-1] * 50 + [0] * 860)
    assert evidence.gain == pytest.approx(0.04)
    assert evidence.standard_error == pytest.approx(difference.std() / math.sqrt(1000), rel=0.06)
    assert evidence.lower_bound == pytest.approx(0.04 - 1.645 * evidence.standard_error, abs=0.003)
    assert evidence.upper_bound == pytest.approx(0.04 + 1.645 * evidence.standard_error, abs=0.003)


def test_rows_that_repeat_their_story_add_no_evidence() -> None:
    once = answers(70, 12, 4, 14)
    shared, candidate, opponent = (np.repeat(array, 4, axis=0) for array in (once.shared, once.candidate, once.opponent))
    four_times = replace(once, shared=shared, candidate=candidate, opponent=opponent)
    clustered = weigh(four_times, np.repeat(np.arange(100), 4))
    assert clustered.standard_error == pytest.approx(weigh(once).standard_error, rel=0.06)
    assert clustered.p_equal == pytest.approx(weigh(once).p_equal, abs=0.01)
    assert weigh(four_times).standard_error < 0.6 * clustered.standard_error
    assert weigh(four_times).p_equal < 0.2 * clustered.p_equal


def test_identical_models_differ_in_nothing() -> None:
    evidence = weigh(answers(150, 0, 0, 50))
    assert (evidence.gain, evidence.standard_error, evidence.lower_bound, evidence.p_equal) == (0.0, 0.0, 0.0, 1.0)


def test_no_rows_are_no_evidence() -> None:
    empty = paired_counts(*(np.zeros((0, 1)) for _ in range(5)))
    assert weigh(empty) == Evidence(gain=0.0, standard_error=0.0, lower_bound=-1.0, upper_bound=1.0, p_equal=1.0)


def test_the_same_seed_gives_the_same_evidence() -> None:
    assert weigh(answers(70, 12, 4, 14)) == weigh(answers(70, 12, 4, 14))


@pytest.mark.parametrize(("discordant", "rows"), [(0.09, 330), (0.15, 530), (0.25, 900)])
def test_required_rows_at_accuracy_080_are_those_of_the_design(discordant: float, rows: int) -> None:
    error_of_300_rows = math.sqrt(discordant / 300)
    assert statistics.required_rows(300, error_of_300_rows, 0.04) == pytest.approx(rows, rel=0.04)


def test_required_rows_do_not_depend_on_the_rows_they_were_estimated_from() -> None:
    assert {statistics.required_rows(rows, math.sqrt(0.15 / rows), 0.04) for rows in (100, 400, 1600)} <= {544, 545}


def test_required_rows_grow_with_looks() -> None:
    needed = [statistics.required_rows(300, 0.02, 0.04, looks=looks) for looks in (1, 2, 10, 50)]
    assert needed == sorted(set(needed))


def test_no_number_of_rows_changes_an_answer_without_a_minimum_or_out_of_reach() -> None:
    assert statistics.required_rows(300, 0.02, 0.0) == 0
    assert statistics.required_rows(300, 0.02, math.inf) == 0
    assert statistics.required_rows(0, math.inf, 0.04) == 0


def test_five_thousand_rows_of_forty_labels_stay_quick_and_small() -> None:
    rng = np.random.default_rng(1)
    gold, candidate, opponent = rng.integers(0, 40, (3, 5_000))
    one_hot = np.eye(40)
    counts = paired_counts(one_hot[gold], one_hot[gold] * (gold == candidate)[:, None], one_hot[candidate],
                            one_hot[gold] * (gold == opponent)[:, None], one_hot[opponent])  # fmt: skip
    ours, theirs = counts.bootstrapped(rng, 500)
    gains = ours - theirs
    assert gains.shape == (500,)
    assert gains.mean() == pytest.approx(np.subtract(*counts.scores()), abs=0.002)


def test_many_stories_are_resampled_in_groups_that_keep_them_whole_and_say_the_same() -> None:
    rng = np.random.default_rng(6)
    rows = 12_000
    candidate, opponent = rng.random((2, rows)) < 0.7
    found = weigh(of_accuracy(candidate.tolist(), opponent.tolist()))
    assert found.standard_error == pytest.approx(math.sqrt(0.42 / rows), rel=0.15)
    assert found.gain == pytest.approx(candidate.mean() - opponent.mean())
    stories = rng.permutation(np.repeat(np.arange(6_000), 2))
    groups = statistics.grouped(stories, rng)
    assert len(np.unique(groups)) == statistics.MOST_UNITS
    assert len(np.unique(stories * 10_000 + groups)) == 6_000
    assert statistics.grouped(np.arange(2_000), rng).tolist() == list(range(2_000))
