from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perennial_artifact.tagging import tags


def is_path(path: tuple[int, ...]) -> bool:
    before = (tags.OUTSIDE, *path)
    return all(tag == 0 or tag % 2 or last in {tag, tag - 1} for last, tag in zip(before, path, strict=False))


@given(
    scores=st.integers(0, 2).flatmap(
        lambda types: st.lists(
            st.lists(st.integers(-9, 9), min_size=1 + 2 * types, max_size=1 + 2 * types), min_size=1, max_size=4
        )
    )
)
@settings(deadline=None)
def test_the_best_path_is_the_best_of_all(scores: list[list[int]]) -> None:
    found = np.array(scores, dtype=np.float32)
    path = tags.best_path(found)
    every = [one for one in itertools.product(range(found.shape[1]), repeat=len(found)) if is_path(one)]
    assert is_path(tuple(path.tolist()))
    assert sum(found[range(len(found)), path]) == max(sum(found[range(len(found)), one]) for one in every)


def test_a_type_without_scores_is_never_answered() -> None:
    scores = np.array([[0, -np.inf, -np.inf, 1, -5], [0, -np.inf, -np.inf, -9, 3]], dtype=np.float32)
    assert tags.best_path(scores).tolist() == [3, 4]


def test_names_and_numbers_go_together() -> None:
    names = tags.names(["A", "B"])
    assert names == ["O", "B-A", "I-A", "B-B", "I-B"]
    assert [names[tag] for tag in tags.of_types([1])] == ["B-B", "I-B"]
    assert names[tags.begins(1)] == "B-B"


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ([0, 0], []),
        ([1, 2, 0, 3], [(0, 2, 0), (3, 4, 1)]),
        ([1, 1, 2], [(0, 1, 0), (1, 3, 0)]),
    ],
)
def test_entities_of_a_path(path: list[int], found: list[tuple[int, int, int]]) -> None:
    assert tags.entities(np.array(path)) == found
