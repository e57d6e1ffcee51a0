"""One suite over every metric: what comparison, bootstrap, swaps and gate rely on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainers.compare import statistics
from trainers.compare.metrics import catalog
from trainers.compare.metrics.metric import KnowsLabels, Metric, TakesWeights
from trainers.compare.metrics.scale import Scale
from trainers.compare.resampling.rows import PairedRows
from trainers.compare.resampling.sums import PairedSums

NAMES = (
    "accuracy", "macro_f1", "micro_f1", "subset_accuracy", "entity_f1", "mae", "rmse", "spearman",
    "signal_score", "tag_f1", "intensity",
    "weighted mae", "weighted rmse", "weighted spearman",
)  # fmt: skip
seeds = st.integers(0, 100_000)

Answers = Sequence[Mapping[str, Any]]


def answers_to(metric: Metric, gold: Answers, rng: np.random.Generator) -> Answers:
    """Return what a fair model would say, partly wrong."""
    return [said if rng.random() < 0.6 else drawn(metric, 1, rng)[0] for said in gold]


def drawn(metric: Metric, rows: int, rng: np.random.Generator) -> Answers:
    """Return targets of the form that the metric reads."""
    if metric.name == "entity_f1":
        starts = rng.integers(0, 6, (rows, 3))
        return [
            {"spans": [{"start": int(at), "end": int(at) + 1, "label": "AB"[int(at) % 2]} for at in set(each)]} for each in starts
        ]
    if metric.name in ("micro_f1", "subset_accuracy"):
        return [
            {"labels": sorted(rng.choice(["a", "b", "c", "d"], int(rng.integers(0, 4)), replace=False).tolist())}
            for _ in range(rows)
        ]
    if metric.name in ("signal_score", "tag_f1", "intensity"):
        return [{"signals": {name: signal(rng) for name in ("crime", "sports")}} for _ in range(rows)]
    if isinstance(metric, KnowsLabels):
        return [{"label": str(label)} for label in rng.choice(["a", "b", "c", "d"], rows)]
    return [{"values": {"clarity": round(float(one), 1), "tone": float(other)}} for one, other in rng.normal(0, 3, (rows, 2))]


def signal(rng: np.random.Generator) -> dict[str, Any]:
    tag = str(rng.choice(["none", "a", "b"]))
    return {"score": 0.0 if tag == "none" else round(float(rng.uniform(-1, 1)), 2), "tag": tag}


@pytest.fixture(params=NAMES, scope="module")
def metric(request: pytest.FixtureRequest) -> Metric:
    found = catalog.find(request.param.removeprefix("weighted "))
    if not request.param.startswith("weighted"):
        return found
    assert isinstance(found, TakesWeights)
    return found.weighted({"clarity": 3.0, "tone": 0.5})


def both(metric: Metric, seed: int, rows: int) -> tuple[Answers, Answers, Answers]:
    rng = np.random.default_rng(seed)
    gold = drawn(metric, rows, rng)
    return gold, answers_to(metric, gold, rng), answers_to(metric, gold, rng)


def clustered(rows: int, seed: int) -> np.ndarray:
    return np.unique(np.random.default_rng(seed).integers(0, max(rows // 2, 1), rows), return_inverse=True)[1]


def weighed(metric: Metric, answers: tuple[Answers, Answers, Answers], clusters: np.ndarray) -> statistics.Evidence:
    return statistics.weigh(metric.pair(*answers), clusters, metric.scale, confidence=0.95, seed=1)


@settings(deadline=None, max_examples=3)
@given(seeds, st.integers(1, 60))
def test_swapping_the_models_turns_the_gain_round(metric: Metric, seed: int, rows: int) -> None:
    gold, ours, theirs = both(metric, seed, rows)
    clusters = clustered(rows, seed)
    one, other = weighed(metric, (gold, ours, theirs), clusters), weighed(metric, (gold, theirs, ours), clusters)
    assert one.gain == pytest.approx(-other.gain, abs=1e-9)
    assert (one.lower_bound, one.upper_bound) == pytest.approx((-other.upper_bound, -other.lower_bound), abs=1e-9)
    # Together they count every outcome once, and those of exactly this size twice; the coins are tossed again, so roughly.
    assert one.p_equal + other.p_equal >= 0.9


@settings(deadline=None, max_examples=3)
@given(seeds, st.integers(30, 120))
def test_bounds_enclose_the_gain_and_the_scale_encloses_the_scores(metric: Metric, seed: int, rows: int) -> None:
    answers = both(metric, seed, rows)
    found = weighed(metric, answers, clustered(rows, seed))
    # A percentile bootstrap of a curved score may sit a little off its own gain.
    slack = 0.5 * found.standard_error + 1e-9
    assert found.lower_bound - slack <= found.gain <= found.upper_bound + slack
    for score in metric.pair(*answers).scores():
        assert metric.scale.lowest - 1e-9 <= score <= metric.scale.highest + 1e-9


@settings(deadline=None, max_examples=8)
@given(seeds, st.integers(1, 60))
def test_a_perfect_model_scores_best_and_gains(metric: Metric, seed: int, rows: int) -> None:
    gold, ours, _theirs = both(metric, seed, rows)
    perfect, other = metric.pair(gold, gold, ours).scores()
    assert metric.scale.gain(perfect, other) >= 0.0
    if rows > 20 and metric.name != "macro_f1":  # a label that is claimed and never right costs even the perfect one
        assert perfect == pytest.approx(metric.scale.best)


def test_a_model_is_no_better_than_itself(metric: Metric) -> None:
    gold, ours, _theirs = both(metric, 5, 80)
    found = weighed(metric, (gold, ours, ours), clustered(80, 5))
    # Sums of real numbers in another order differ in their last digits.
    near = pytest.approx((0.0, 0.0, 0.0, 1.0), abs=1e-12)
    assert (found.gain, found.standard_error, found.lower_bound, found.p_equal) == near


def test_without_rows_everything_is_possible(metric: Metric) -> None:
    found = weighed(metric, ([], [], []), np.array([], dtype=np.intp))
    assert (found.gain, found.p_equal) == (0.0, 1.0)
    assert (-found.lower_bound, found.upper_bound) == (metric.scale.highest - metric.scale.lowest,) * 2


@settings(deadline=None, max_examples=8)
@given(seeds, st.integers(1, 40), st.data())
def test_grouping_rows_into_clusters_changes_no_score(metric: Metric, seed: int, rows: int, data: st.DataObject) -> None:
    paired = metric.pair(*both(metric, seed, rows))
    groups = np.array(data.draw(st.lists(st.integers(0, 5), min_size=rows, max_size=rows)))
    clusters = np.unique(groups, return_inverse=True)[1]
    grouped = paired.by_cluster(clusters)
    assert len(grouped) == clusters.max() + 1
    assert grouped.scores() == pytest.approx(paired.scores())


@settings(deadline=None, max_examples=8)
@given(seeds, st.integers(1, 30), st.data())
def test_a_resample_scores_like_the_same_rows_repeated(metric: Metric, seed: int, rows: int, data: st.DataObject) -> None:
    answers = both(metric, seed, rows)
    times = np.array(data.draw(st.lists(st.integers(0, 3), min_size=rows, max_size=rows)), dtype=np.intp)
    where = np.repeat(np.arange(rows), times)
    paired = metric.pair(*answers)
    if isinstance(paired, PairedSums):
        sums = (times @ array for array in (paired.shared, paired.candidate))
        resampled = float(paired.score(*sums))
        repeated = float(paired.score(paired.shared[where].sum(axis=0), paired.candidate[where].sum(axis=0)))
    else:
        assert isinstance(paired, PairedRows)
        resampled = paired.score(paired.gold, paired.candidate, times)
        repeated = paired.score(paired.gold[where], paired.candidate[where], np.ones(len(where), np.intp))
    assert resampled == pytest.approx(repeated, abs=1e-9)


def test_p_is_as_small_as_it_says_where_models_are_equal(metric: Metric) -> None:
    """Of equal models a tenth or so may show a p of 0.1 or less."""
    found = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        gold, one, other = both(metric, seed, 40)
        # Who is the candidate is a coin toss a row, so the two are equal in truth.
        coins = rng.random(40) < 0.5
        ours = [first if coin else second for first, second, coin in zip(one, other, coins, strict=True)]
        theirs = [second if coin else first for first, second, coin in zip(one, other, coins, strict=True)]
        paired = metric.pair(gold, ours, theirs)
        observed = metric.scale.gain(*paired.scores())
        found.append(float(np.mean(metric.scale.gain(*paired.swapped(rng, 200)) >= observed - 1e-9)))
    assert sum(p <= 0.1 for p in found) < 12, "a true tenth comes to this less than once in 1,000 tests"
    assert 0.25 <= float(np.mean(found)) <= 0.75


def test_the_scale_survives_json(metric: Metric) -> None:
    stored = json.loads(json.dumps(metric.scale.model_dump(mode="json"), allow_nan=False))
    assert Scale.model_validate(stored) == metric.scale
    assert metric.scale.title
    assert metric.scale.lowest < metric.scale.highest
