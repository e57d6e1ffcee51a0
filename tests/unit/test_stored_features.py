"""Features of rows whose encoder did not change: stored ones serve where a sample, read again, gives the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from consumers.text import ngrams
from trainers.learners.encoders.stored import features_of
from trainers.learners.features import FeatureSet, of_one_encoder, spread_by_length

WIDTH = 4
TOKENS = [list(range(1 + at % 37, 2 + at % 37 + at // 37)) for at in range(1_000)]
IDS = [f"e-{at}" for at in range(len(TOKENS))]


class Encoder:
    """Counts what it reads; features are those of its tokens."""

    def __init__(self, *, turn: float = 0.0) -> None:
        self.read = 0
        self._turn = turn

    def features_of(self, tokenised: Sequence[Sequence[int]]) -> np.ndarray:
        self.read += len(tokenised)
        angles = np.array([[sum(tokens) + place + self._turn for place in range(WIDTH)] for tokens in tokenised])
        return np.sin(angles).astype(np.float32)


def made(encoder: Any, stored: FeatureSet | None) -> tuple[np.ndarray, int]:
    return features_of(encoder, IDS, TOKENS, stored)


def test_what_is_stored_is_taken_after_a_look_and_the_rest_is_computed() -> None:
    expected = Encoder().features_of(TOKENS)
    encoder = Encoder()
    known = [at for at in range(len(IDS)) if at % 10]
    found, computed = made(encoder, FeatureSet.of([IDS[at] for at in known], expected[known]))
    assert np.array_equal(found, expected)
    assert computed == 100
    assert 250 <= encoder.read <= 300, "up to 200 to compare, and those that are missing"


@pytest.mark.parametrize("stored", ["none", "empty", "of other rows", "another encoder's", "another width", "not a number"])
def test_else_all_are_computed(stored: str) -> None:
    expected = Encoder().features_of(TOKENS)
    given = {
        "none": None,
        "empty": FeatureSet.of([], np.empty((0, WIDTH), np.float32)),
        "of other rows": FeatureSet.of(["x"], np.ones((1, WIDTH), np.float32)),
        "another encoder's": FeatureSet.of(IDS, Encoder(turn=1.0).features_of(TOKENS)),
        "another width": FeatureSet.of(IDS, np.ones((len(IDS), WIDTH + 1), np.float32)),
        "not a number": FeatureSet.of(IDS, np.full((len(IDS), WIDTH), np.nan, np.float32)),
    }[stored]
    found, computed = made(Encoder(), given)
    assert np.array_equal(found, expected)
    assert computed == len(IDS)


def test_the_longest_text_is_among_those_that_are_compared() -> None:
    lengths = [len(tokens) for tokens in TOKENS]
    chosen = spread_by_length(range(len(TOKENS)), lengths)
    assert len(chosen) <= 200
    assert lengths[chosen[0]] == max(lengths)
    assert spread_by_length([], []) == []


def test_embeddings_of_letters_are_not_the_encoders() -> None:
    rows = pa.table({
        "example_id": ["a", "b", "c"], "encoder_id": ["minilm@1", ngrams.ENCODER_ID, "minilm@1"],
        "embedding": [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]],
    })  # fmt: skip
    assert set(of_one_encoder(rows).places) == {"a", "c"}
    unsaid = rows.set_column(1, "encoder_id", pa.nulls(3, pa.string()))
    assert set(of_one_encoder(unsaid).places) == {"a", "b", "c"}
