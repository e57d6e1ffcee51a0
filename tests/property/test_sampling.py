"""Labels drawn with known probabilities: no estimate is off over all samples, and both models are treated alike."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from config.tasks import TaskSpec
from tests.support.scored import topics
from trainers.compare.apart import bounds_of
from trainers.compare.apart import strata_of as strata_of_sizes
from trainers.compare.metrics.catalog import find
from trainers.compare.metrics.errors import MAE
from trainers.compare.metrics.f1 import ACCURACY, MACRO_F1
from trainers.compare.resampling.sums import PairedSums
from trainers.compare.sampling.design import Design
from trainers.compare.sampling.drawing import points, stratified, systematic
from trainers.compare.sampling.expected import Expected, of_errors, of_f1
from trainers.compare.sampling.inclusion import AGREE, DIFFER, allocate, by_size, of_strata
from trainers.compare.sampling.linearised import covariance, scored
from trainers.compare.sampling.possible import possible
from trainers.compare.sampling.skipped import with_skips

LABELS = "abc"
ANSWERS = st.tuples(st.sampled_from(LABELS), st.sampled_from(LABELS), st.sampled_from(LABELS))
QUICK = settings(deadline=None, max_examples=30)


NUMBERS = TaskSpec.model_validate(
    {
        "name": "mood", "kind": "regression", "backend": "transformer", "base_model": "minilm",
        "dimensions": [{"name": "x", "low": 0, "high": 10}], "promotion": {"metric": "rmse", "improvement": "absolute"},
    }
)  # fmt: skip


def named(column: list[str]) -> list[dict[str, str]]:
    return [{"label": name} for name in column]


def sums_of(metric: str, rows: list[tuple[str, str, str]]) -> PairedSums:
    paired = find(metric).pair(*(named(list(column)) for column in zip(*rows, strict=True)))
    assert isinstance(paired, PairedSums)
    return paired


def picked(paired: PairedSums, rows: np.ndarray) -> PairedSums:
    return replace(paired, shared=paired.shared[rows], candidate=paired.candidate[rows], opponent=paired.opponent[rows])


def claims(paired: PairedSums, strata: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    inside = np.stack([strata == stratum for stratum in (AGREE, DIFFER)]).astype(float)
    classes = paired.shared.shape[1]
    return inside @ paired.candidate[:, classes:], inside @ paired.opponent[:, classes:]


def strata_of(rows: list[tuple[str, str, str]]) -> np.ndarray:
    return np.array([DIFFER if ours != theirs else AGREE for _gold, ours, theirs in rows])


@QUICK
@given(st.lists(ANSWERS, min_size=4, max_size=7), st.data())
def test_over_all_samples_of_a_small_population_the_gain_in_accuracy_is_the_true_one(
    rows: list[tuple[str, str, str]], data: st.DataObject
) -> None:
    whole, strata = sums_of("accuracy", rows), strata_of(rows)
    sizes = np.bincount(strata, minlength=2)
    wanted = [data.draw(st.integers(min(1, size), size)) for size in sizes]
    ours, theirs = whole.scores()
    found = []
    for drawn in itertools.product(*(itertools.combinations(np.flatnonzero(strata == h), wanted[h]) for h in (AGREE, DIFFER))):
        chosen = np.concatenate([np.array(part, dtype=np.intp) for part in drawn])
        design = Design.of_strata(strata[chosen], sizes, np.arange(len(chosen)))
        found.append(scored(picked(whole, chosen), design).contrast(1.0, -1.0)[0])
    assert np.mean(found) == pytest.approx(ours - theirs, abs=1e-9)


@QUICK
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1)), min_size=4, max_size=7), st.integers(2, 3))
def test_over_all_samples_with_replacement_the_variance_is_the_true_one(values: list[tuple[int, int]], size: int) -> None:
    population = np.array([value for value, _other in values], dtype=float)
    count = len(population)
    totals, variances = [], []
    for drawn in itertools.product(range(count), repeat=size):
        design = Design(np.zeros(size, np.intp), np.full(size, min(size / count, 1.0)), np.arange(size))
        some = population[list(drawn)][:, None]
        totals.append(float(design.weights @ some[:, 0]))
        variances.append(covariance(some, design)[0, 0])
    assert np.mean(variances) == pytest.approx(np.var(totals), abs=1e-9)


@QUICK
@given(st.lists(st.floats(0.0, 10.0), min_size=3, max_size=12), st.integers(1, 6))
def test_each_row_is_drawn_as_often_as_was_meant(differences: list[float], labels: int) -> None:
    inclusion = by_size(np.array(differences), labels, floor=0.2)
    assert inclusion.sum() == pytest.approx(min(labels, len(differences)))
    assert float(inclusion.max()) <= 1.0
    larger = np.argsort(differences, kind="stable")
    assert (np.diff(inclusion[larger]) >= -1e-9).all()
    # Over all starts of the line; the order of rows only says which are drawn together.
    starts = (np.arange(4_000) + 0.5) / 4_000
    drawn = np.zeros(len(differences))
    for start in starts:
        some = points(inclusion, float(start))
        assert len(some) == min(labels, len(differences))
        drawn[some] += 1
    assert drawn / len(starts) == pytest.approx(inclusion, abs=1e-3)


def test_a_line_is_walked_in_random_order() -> None:
    rng = np.random.default_rng(1)
    pairs = {tuple(systematic(np.full(4, 0.5), rng).tolist()) for _ in range(200)}
    assert pairs == set(itertools.combinations(range(4), 2))


@QUICK
@example([(4, 5e-324)], 8)
@given(st.lists(st.tuples(st.integers(0, 40), st.floats(0.0, 2.0)), min_size=1, max_size=4), st.integers(8, 60))
def test_labels_go_where_rows_are_many_and_differ(strata: list[tuple[int, float]], labels: int) -> None:
    sizes, deviations = (np.array(column, dtype=float) for column in zip(*strata, strict=True))
    found = allocate(sizes, deviations, labels)
    assert found.sum() == min(labels, int(sizes.sum()))
    assert (found <= sizes).all()
    assert (found >= np.minimum(sizes, 2)).all()
    pool = np.repeat(np.arange(len(sizes)), sizes.astype(int))
    drawn = stratified(pool, found, np.random.default_rng(0))
    assert np.bincount(pool[drawn], minlength=len(sizes)).tolist() == found.tolist()
    assert of_strata(pool, found).sum() == pytest.approx(found.sum())


def test_too_few_labels_for_the_strata_are_refused() -> None:
    with pytest.raises(ValueError, match="strata"):
        allocate(np.array([10.0, 10.0]), np.array([1.0, 1.0]), 3)


@QUICK
@given(st.lists(ANSWERS, min_size=6, max_size=20), st.sampled_from(["accuracy", "macro_f1", "micro_f1"]))
def test_swapping_the_models_turns_the_gain_round(rows: list[tuple[str, str, str]], metric: str) -> None:
    design = Design.of_strata(strata_of(rows), 10.0 * np.bincount(strata_of(rows), minlength=2), np.arange(len(rows)) // 2)
    ours = scored(sums_of(metric, rows), design)
    theirs = scored(sums_of(metric, [(gold, other, one) for gold, one, other in rows]), design)
    assert ours.contrast(1.0, -1.0) == pytest.approx(theirs.contrast(-1.0, 1.0), abs=1e-9)
    assert ours.scores[::-1] == pytest.approx(theirs.scores)


@QUICK
@given(st.lists(ANSWERS, min_size=6, max_size=20), st.sampled_from(["accuracy", "macro_f1"]))
def test_all_rows_labelled_are_the_score_itself(rows: list[tuple[str, str, str]], metric: str) -> None:
    whole, strata = sums_of(metric, rows), strata_of(rows)
    design = Design.of_strata(strata, np.bincount(strata, minlength=2), np.arange(len(rows)))
    assert scored(whole, design).scores == pytest.approx(whole.scores())
    expected = replace(of_f1(whole, design, *claims(whole, strata)), trust=np.ones(len(rows)))
    assert scored(whole, design, expected).scores == pytest.approx(whole.scores())


def test_clusters_that_repeat_themselves_are_one_piece_of_evidence() -> None:
    rows = [("a", "a", "b"), ("a", "b", "a"), ("a", "a", "b"), ("b", "b", "a"), ("b", "a", "a")] * 4
    twice = [row for row in rows for _copy in range(2)]
    once = scored(sums_of("macro_f1", rows), Design.random(np.arange(20)))
    together = scored(sums_of("macro_f1", twice), Design.random(np.repeat(np.arange(20), 2)))
    apart = scored(sums_of("macro_f1", twice), Design.random(np.arange(40)))
    # But for rows / (rows - 1) within a stratum, which counts rows.
    assert together.contrast(1, -1)[1] * np.sqrt(39 / 40 * 20 / 19) == pytest.approx(once.contrast(1, -1)[1])
    assert apart.contrast(1, -1)[1] < 0.8 * together.contrast(1, -1)[1]


def test_the_error_is_that_of_the_bootstrap_and_no_rows_say_nothing() -> None:
    rng = np.random.default_rng(3)
    gold, ours, theirs = rng.integers(0, 3, (3, 400))
    theirs = np.where(rng.random(400) < 0.6, gold, theirs)
    paired = sums_of("macro_f1", [(LABELS[a], LABELS[b], LABELS[c]) for a, b, c in zip(gold, ours, theirs, strict=True)])
    found = scored(paired, Design.random(np.arange(400)))
    candidate, opponent = paired.bootstrapped(np.random.default_rng(0), replicates=600)
    assert found.contrast(1.0, -1.0)[1] == pytest.approx(float((candidate - opponent).std()), rel=0.1)
    nothing = scored(picked(paired, np.array([], dtype=np.intp)), Design.random(np.array([], dtype=np.intp)))
    assert np.isinf(nothing.contrast(1.0, -1.0)[1])


def test_rows_are_drawn_by_how_far_two_numbers_are_apart() -> None:
    rng = np.random.default_rng(7)
    gold = rng.normal(size=400)
    theirs = gold + rng.normal(size=400)
    ours = np.where(rng.random(400) < 0.8, theirs, gold + 0.5 * rng.normal(size=400))
    values = [[{"values": {"x": float(value)}} for value in column] for column in (gold, ours, theirs)]
    whole = MAE.pair(*values)
    true = np.subtract(*whole.scores())
    by_chance, by_difference = [], []
    for _ in range(60):
        for inclusion, found in ((np.full(400, 0.1), by_chance), (by_size(np.abs(ours - theirs), 40), by_difference)):
            drawn = systematic(inclusion, rng)
            design = Design(np.zeros(len(drawn), np.intp), inclusion[drawn], np.arange(len(drawn)))
            some = picked(whole, drawn)
            found.append(scored(some, design, of_errors(some, np.array([400.0]))).contrast(1.0, -1.0)[0])
    assert np.mean(by_difference) == pytest.approx(true, abs=0.04)
    assert np.std(by_difference) < 0.7 * np.std(by_chance)


@QUICK
@given(st.lists(st.tuples(ANSWERS, st.booleans()), min_size=6, max_size=16), st.data())
def test_no_answer_to_a_skipped_row_leaves_the_bounds(rows: list[tuple[tuple[str, str, str], bool]], data: st.DataObject) -> None:
    gold, ours, theirs = (named(list(column)) for column in zip(*(answers for answers, _skip in rows), strict=True))
    skips = [skip for _answers, skip in rows]
    if all(skips):
        skips[0] = False
    design = Design.random(np.arange(len(rows)))
    known = [None if skip else target for target, skip in zip(gold, skips, strict=True)]
    found = with_skips(ACCURACY, known, ours, theirs, design)
    filled = [{"label": data.draw(st.sampled_from(LABELS))} if target is None else target for target in known]
    gain = scored(ACCURACY.pair(filled, ours, theirs), design).contrast(1.0, -1.0)[0]
    bounds = found.against.contrast(1.0, -1.0)[0], found.in_favour.contrast(1.0, -1.0)[0]
    assert bounds[0] - 1e-9 <= gain <= bounds[1] + 1e-9
    assert found.skipped == sum(skips)


@QUICK
@given(st.lists(st.tuples(ANSWERS, st.booleans()), min_size=6, max_size=16))
def test_no_one_label_for_all_skipped_rows_leaves_the_bounds_of_macro_f1(
    rows: list[tuple[tuple[str, str, str], bool]],
) -> None:
    task, design = topics(), Design.random(np.arange(len(rows)))
    gold, ours, theirs = (named(list(column)) for column in zip(*(answers for answers, _skip in rows), strict=True))
    known = [None if skip else target for target, (_answers, skip) in zip(gold, rows, strict=True)]
    found = with_skips(MACRO_F1, known, ours, theirs, design, possible=possible(task, known, ours, theirs))
    least, most = (side.contrast(1.0, -1.0)[0] for side in (found.against, found.in_favour))
    both = with_skips(MACRO_F1, known, ours, theirs, design)
    assert least <= both.against.contrast(1.0, -1.0)[0] + 1e-9
    assert most >= both.in_favour.contrast(1.0, -1.0)[0] - 1e-9


def test_a_rare_label_that_neither_model_gives_is_within_the_bounds() -> None:
    gold = [*named(["a", "b"] * 30), {"label": "c"}, {"label": "c"}, *[None] * 6]
    ours, theirs = named(["a", "b"] * 30 + ["c", "c"] + ["a"] * 6), named(["a", "b"] * 30 + ["a", "b"] + ["b"] * 6)
    design = Design.of_strata(np.array([0] * 62 + [1] * 6), np.array([62.0, 9.0]), np.arange(68))
    found = with_skips(MACRO_F1, gold, ours, theirs, design, possible=possible(topics(), gold, ours, theirs))
    rare = [{"label": "c"} if target is None else target for target in gold]
    gain = scored(MACRO_F1.pair(rare, ours, theirs), design).contrast(1.0, -1.0)[0]
    assert found.against.contrast(1.0, -1.0)[0] <= gain + 1e-9
    assert gain < with_skips(MACRO_F1, gold, ours, theirs, design).against.contrast(1.0, -1.0)[0]


@pytest.mark.parametrize("end", [0.0, 10.0])
def test_numbers_at_the_ends_of_their_range_are_within_the_bounds(end: float) -> None:
    gold = [{"values": {"x": float(number % 7)}} for number in range(30)] + [None] * 5
    ours = [{"values": {"x": number % 7 + 0.5}} for number in range(30)] + [{"values": {"x": 6.0}}] * 5
    theirs = [{"values": {"x": number % 7 + 0.8}} for number in range(30)] + [{"values": {"x": 5.0}}] * 5
    design, rmse = Design.random(np.arange(35)), find("rmse")
    found = with_skips(rmse, gold, ours, theirs, design, possible=possible(NUMBERS, gold, ours, theirs))
    filled = [{"values": {"x": end}} if target is None else target for target in gold]
    gain = scored(rmse.pair(filled, ours, theirs), design).contrast(-1.0, 1.0)[0]
    assert found.against.contrast(-1.0, 1.0)[0] - 1e-9 <= gain <= found.in_favour.contrast(-1.0, 1.0)[0] + 1e-9


@QUICK
@given(st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.5, 1.0, 3.0]), min_size=1, max_size=40))
def test_each_stratum_of_sizes_has_rows(sizes: list[float]) -> None:
    bounds = bounds_of(np.array(sizes))
    assert set(strata_of_sizes(np.array(sizes), bounds, numbers=True).tolist()) == set(range(len(bounds) + 1))


def test_a_stratum_stands_for_the_rows_it_lost() -> None:
    gold = [{"label": "a"}, None, {"label": "b"}, {"label": "a"}]
    answers = named(["a", "a", "a", "b"])
    design = Design.of_strata(np.array([0, 0, 1, 1]), np.array([40.0, 20.0]), np.arange(4))
    found = with_skips(ACCURACY, gold, answers, named(["b", "b", "b", "b"]), design)
    assert found.labelled.scores == pytest.approx([40 / 60, 10 / 60])


def test_macro_f1_of_many_classes_needs_fewer_labels_where_models_differ() -> None:
    """The variance per label at accuracy 0.45 and 12 classes, one third of the answers apart; the truth is 0."""
    rng, classes, rows, labels = np.random.default_rng(11), 12, 1_500, 120
    one_hot = np.eye(classes)
    random, asked = [], []
    for _ in range(40):
        gold = rng.integers(0, classes, rows)
        theirs = np.where(rng.random(rows) < 0.4, gold, rng.integers(0, classes, rows))
        fresh = np.where(rng.random(rows) < 0.4, gold, rng.integers(0, classes, rows))
        ours = np.where(rng.random(rows) < 0.6, theirs, fresh)
        hits = [one_hot[gold] * (gold == side)[:, None] for side in (ours, theirs)]
        whole = PairedSums(
            one_hot[gold],
            np.hstack([hits[0], one_hot[ours]]),
            np.hstack([hits[1], one_hot[theirs]]),
            MACRO_F1.pair([], [], []).score,
        )
        random.append(scored(picked(whole, np.arange(labels)), Design.random(np.arange(labels))).contrast(1.0, -1.0)[0])
        strata = np.where(ours == theirs, AGREE, DIFFER)
        drawn = stratified(strata, np.array([20, 100]), rng)
        design = Design.of_strata(strata[drawn], np.bincount(strata), np.arange(labels))
        some = picked(whole, drawn)
        asked.append(scored(some, design, of_f1(some, design, *claims(whole, strata))).contrast(1.0, -1.0))
    assert np.std([gain for gain, _error in asked]) < 0.75 * np.std(random)
    # What it says of its own error is right.
    assert np.mean([error for _gain, error in asked]) == pytest.approx(np.std([gain for gain, _error in asked]), rel=0.3)


def test_designs_that_are_none_are_refused() -> None:
    one = np.zeros(1, dtype=np.intp)
    with pytest.raises(ValueError, match="probabilities"):
        Design(one, np.ones(2), one)
    with pytest.raises(ValueError, match="probability"):
        Design(one, np.zeros(1), one)
    with pytest.raises(ValueError, match="more rows"):
        Design.of_strata(np.zeros(3, dtype=np.intp), np.array([2.0]), np.arange(3))
    with pytest.raises(ValueError, match="negative"):
        by_size(np.array([-1.0]), 1)
    with pytest.raises(ValueError, match="probability"):
        systematic(np.array([1.5]), np.random.default_rng(0))
    with pytest.raises(ValueError, match="design"):
        scored(sums_of("accuracy", [("a", "a", "b")] * 2), Design.random(one))
    with pytest.raises(ValueError, match="spearman"):
        with_skips(
            find("spearman"), [{"values": {"x": 1.0}}], [{"values": {"x": 1.0}}], [{"values": {"x": 2.0}}], Design.random(one)
        )


def test_what_is_expected_has_the_shape_of_what_is_found() -> None:
    rows = [("a", "a", "b"), ("b", "b", "b"), ("c", "a", "a")]
    whole, strata = sums_of("macro_f1", rows), strata_of(rows)
    found = of_f1(whole, Design.of_strata(strata, np.bincount(strata), np.arange(3)), *claims(whole, strata))
    assert isinstance(found, Expected)
    assert found.candidate.shape == whole.candidate.shape
    assert found.trust.tolist() == pytest.approx([1.0, 2 / 17, 2 / 17]) or found.trust[0] == 1.0
    assert found.totals[1][2:].tolist() == whole.candidate[:, 2:].sum(axis=0).tolist()
