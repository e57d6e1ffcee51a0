"""A part of the rows holds every label in its share, is as large as asked for, and is the same for the same seed."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from trainers.job.rows.downsampling import stratified

LABELS = st.lists(st.sampled_from("abcdefgh"), max_size=300)


@given(LABELS, st.integers(0, 320), st.integers(0, 3))
def test_every_label_keeps_its_share(labels: list[str], count: int, seed: int) -> None:
    chosen = stratified(labels, count, seed)
    assert len(chosen) == len(set(chosen.tolist())) == min(count, len(labels))
    assert chosen.tolist() == sorted(stratified(labels, count, seed).tolist())
    whole, part = Counter(labels), Counter(labels[at] for at in chosen)
    assert all(part[label] <= whole[label] for label in part)
    if len(chosen) >= len(whole):
        assert part.keys() == whole.keys(), "none is lost"
        for label, size in whole.items():
            exact = size * len(chosen) / len(labels)
            assert abs(part[label] - exact) < 1 + len(whole) / 2
    elif chosen.size:
        assert set(part.values()) == {1}
        assert min(whole[label] for label in part) >= max(size for label, size in whole.items() if label not in part)


def test_the_same_rows_are_not_drawn_under_every_seed() -> None:
    labels = ["a"] * 50 + ["b"] * 50
    assert len({tuple(stratified(labels, 10, seed).tolist()) for seed in range(5)}) == 5
