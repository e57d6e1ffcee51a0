"""Errors and rank correlation are what scikit-learn and scipy call them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import mean_absolute_error, root_mean_squared_error

from config.errors import RunFailedError
from trainers.compare.metrics import catalog

number = st.floats(-1e6, 1e6).map(lambda value: round(value, 2))
few = st.integers(0, 4).map(float)


def targets(rows: Sequence[Sequence[float]]) -> list[Mapping[str, object]]:
    return [{"values": {f"d{column}": value for column, value in enumerate(row)}} for row in rows]


def scores(metric: str, *columns: Sequence[Sequence[float]]) -> tuple[float, float]:
    return catalog.find(metric).pair(*(targets(column) for column in columns)).scores()


def three(values: st.SearchStrategy[float]) -> st.SearchStrategy[list[list[list[float]]]]:
    """Return rows of gold, candidate and opponent, each with two dimensions."""
    two = st.lists(values, min_size=2, max_size=2)
    return st.lists(st.lists(two, min_size=3, max_size=3), min_size=1, max_size=25)


@settings(deadline=None)
@given(three(number))
def test_errors_are_scikit_learns_mean_over_dimensions(rows: list[list[list[float]]]) -> None:
    gold, ours, theirs = ([row[which] for row in rows] for which in range(3))
    for metric, oracle in (("mae", mean_absolute_error), ("rmse", root_mean_squared_error)):
        assert scores(metric, gold, ours, theirs) == pytest.approx([oracle(gold, ours), oracle(gold, theirs)])


@settings(deadline=None)
@given(three(few) | three(number))
def test_rank_correlation_is_scipys_ties_included_and_0_without_an_order(rows: list[list[list[float]]]) -> None:
    gold, ours, theirs = (np.array([row[which] for row in rows]) for which in range(3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy warns of columns that do not vary
        expected = [
            np.mean([np.nan_to_num(spearmanr(gold[:, column], answers[:, column]).statistic) for column in (0, 1)])
            if len(rows) > 1
            else 0.0
            for answers in (ours, theirs)
        ]
    assert scores("spearman", gold.tolist(), ours.tolist(), theirs.tolist()) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("metric", ["mae", "rmse", "spearman"])
def test_only_what_gold_and_both_models_tell_counts(metric: str) -> None:
    whole = [{"values": {"a": float(at), "b": float(at * at)}} for at in range(8)]
    off = [{"values": {"a": at + 0.5 * (at % 3), "b": float(at)}} for at in range(8)]
    gold = [{"values": {"a": row["values"]["a"]}} if at > 4 else row for at, row in enumerate(whole)]
    without_b = [{"values": {"a": row["values"]["a"]}} for row in off]
    only_a = [{"values": {"a": row["values"]["a"]}} for row in whole]
    paired = catalog.find(metric).pair
    assert paired(gold, off, without_b).scores() == pytest.approx(paired(only_a, without_b, without_b).scores())


@pytest.mark.parametrize("said", [float("nan"), float("inf"), 1e300])
@pytest.mark.parametrize("metric", ["mae", "rmse", "spearman"])
def test_an_answer_that_is_no_number_fails_the_run(metric: str, said: float) -> None:
    with pytest.raises(RunFailedError, match=r"the candidate says .* for 'd0' in test row 2"):
        scores(metric, [[1.0], [2.0]], [[1.0], [said]], [[1.0], [2.0]])
