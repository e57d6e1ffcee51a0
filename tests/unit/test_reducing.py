"""The most frequent label is reduced to a share, and each label to a number of rows."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from config.task_files.sections.training import Training
from trainers.job.rows.reducing import kept


def counted(strata: list[str], new: list[bool], **options: float) -> tuple[Counter[str], np.ndarray]:
    stays = kept(strata, np.array(new, dtype=bool), Training.model_validate(options))
    return Counter(stratum for stratum, stay in zip(strata, stays, strict=True) if stay), stays


@given(st.lists(st.tuples(st.sampled_from(["", "a", "b", "c"]), st.booleans()), min_size=1, max_size=80), st.floats(0.05, 0.95))
def test_no_label_has_more_than_its_share_and_others_lose_nothing(rows: list[tuple[str, bool]], share: float) -> None:
    strata, new = [name for name, _ in rows], [is_new for _, is_new in rows]
    before = Counter(strata)
    after, _stays = counted(strata, new, majority_share=share)
    largest = max(before, key=lambda name: (before[name], name))
    assert {name: after[name] for name in before if name != largest} == {name: before[name] for name in before if name != largest}
    if len(before) > 1:
        assert after[largest] <= max(1, share * after.total() + 1e-9)
    else:
        assert after == before


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.booleans()), max_size=80), st.integers(1, 20))
def test_each_label_has_at_most_so_many_rows_the_new_ones_first(rows: list[tuple[str, bool]], most: int) -> None:
    strata, new = [name for name, _ in rows], [is_new for _, is_new in rows]
    after, stays = counted(strata, new, max_rows_per_label=most)
    assert after == {name: min(count, most) for name, count in Counter(strata).items()}
    for name in set(strata):
        lost_new = any(n and not stay for s, n, stay in zip(strata, new, stays, strict=True) if s == name)
        kept_old = any(not n and stay for s, n, stay in zip(strata, new, stays, strict=True) if s == name)
        assert not (lost_new and kept_old)


def test_older_rows_of_all_ages_stay() -> None:
    _after, stays = counted(["a"] * 100, [False] * 100, max_rows_per_label=10)
    assert np.flatnonzero(stays).tolist() == list(range(0, 100, 10))


def test_without_options_all_rows_stay() -> None:
    assert kept(["a", "a", "b"], np.zeros(3, dtype=bool), Training()).all()
