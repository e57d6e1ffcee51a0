"""Between champion and candidate: what is kept back, what is averaged, and which of it goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from tests.support.ner_rows import examples
from trainers.learners.entities import averaging
from trainers.learners.entities.averaging import KeptBack, Weights, between, keep_back, settle
from trainers.learners.protocols import Example

OLDER = [Example("old", "o", {"spans": []}, is_new=False)]
NEWER = [Example("new", "n", {"spans": []})]


def weights(value: float) -> Weights:
    return {(0, "W"): np.full((2, 3), value, dtype=np.float32), (1, "b"): np.full(2, value, dtype=np.float32)}


def by_share(weights: Weights) -> float:
    """How far the weights are from a champion of 1 towards a candidate of 2."""
    return float(weights[0, "W"].mean()) - 1.0


def settled(
    older: Mapping[float, float], newer: Mapping[float, float] | None = None, *, before: float = 0.9, max_forgetting: float = 0.1
) -> tuple[float, list[tuple[str, bool]]]:
    """Return the share chosen, and what was tried."""

    def score(tried: Weights, rows: Sequence[Example]) -> float:
        share = round(by_share(tried), 2)
        return older[share] if rows is OLDER else (newer or {})[share]

    chosen, tried = settle(
        score, weights(1.0), weights(2.0), KeptBack((), OLDER, NEWER if newer else ()),
        before=before, max_forgetting=max_forgetting, trained_cpu_s=7.0,
    )  # fmt: skip
    assert sum(one.chosen for one in tried) == 1
    assert tried[1].cpu_s >= 7.0
    return round(by_share(chosen), 2), [(one.name, one.chosen) for one in tried]


def test_a_candidate_that_forgets_little_goes_on_as_it_is() -> None:
    share, tried = settled({1.0: 0.88, 0.85: 0.89, 0.7: 0.9, 0.5: 0.9})
    assert share == 1.0
    assert tried[:2] == [(averaging.CHAMPION, False), (averaging.CANDIDATE, True)]
    assert len(tried) == 1 + len(averaging.SHARES)


def test_what_forgets_too_much_gives_way_to_the_average_that_goes_farthest_within_the_limit() -> None:
    assert settled({1.0: 0.7, 0.85: 0.84, 0.7: 0.86, 0.5: 0.89})[0] == 0.7


def test_where_all_forget_too_much_the_one_that_forgets_least_goes_on() -> None:
    assert settled({1.0: 0.1, 0.85: 0.2, 0.7: 0.4, 0.5: 0.3})[0] == 0.7


def test_newer_rows_choose_among_those_within_the_limit() -> None:
    older = {1.0: 0.86, 0.85: 0.87, 0.7: 0.88, 0.5: 0.89}
    assert settled(older, {1.0: 0.4, 0.85: 0.5, 0.7: 0.45, 0.5: 0.1})[0] == 0.85
    assert settled(older | {0.85: 0.5}, {1.0: 0.4, 0.85: 0.99, 0.7: 0.45, 0.5: 0.1})[0] == 0.7


def test_moves_that_the_champion_does_not_know_are_the_candidates_alone() -> None:
    champion = {(0, "W"): np.array([[2.0, 2.0], [0.0, 0.0]], dtype=np.float32), (0, "b"): np.array([4.0, 0.0], dtype=np.float32)}
    candidate = {(0, "W"): np.array([[4.0, 0.0], [8.0, 6.0]], dtype=np.float32), (0, "b"): np.array([0.0, 1.0], dtype=np.float32)}
    mean = between(champion, candidate, 0.5)
    assert mean[0, "W"].tolist() == [[3.0, 1.0], [8.0, 6.0]]
    assert mean[0, "b"].tolist() == [2.0, 1.0]
    assert mean[0, "W"].dtype == np.float32


def rows(old: int, new: int) -> list[Example]:
    every = examples(old + new)
    return [replace(row, example_id=f"{at}", is_new=at >= old) for at, row in enumerate(every)]


@pytest.mark.parametrize(
    ("old", "new", "older", "newer"), [(499, 50, 0, 0), (500, 50, 50, 0), (900, 400, 90, 40), (5_000, 10, 200, 0), (0, 400, 0, 0)]
)
def test_a_tenth_judges_where_that_is_enough(old: int, new: int, older: int, newer: int) -> None:
    every = rows(old, new)
    kept = keep_back(every, seed=1)
    assert (len(kept.older), len(kept.newer)) == (older, newer)
    assert not any(row.is_new for row in kept.older)
    assert all(row.is_new for row in kept.newer)
    ids = [row.example_id for part in (kept.learnt, kept.older, kept.newer) for row in part]
    assert sorted(ids) == sorted(row.example_id for row in every)
    assert keep_back(every, seed=1) == kept
    if older:
        assert keep_back(every, seed=2).older != kept.older


def test_partial_and_light_rows_never_judge() -> None:
    light = [replace(row, weight=0.3) for row in rows(600, 0)]
    partial = [replace(row, target={**row.target, "partial": True}) for row in rows(600, 0)]
    assert not keep_back([*light, *partial], seed=0).older
