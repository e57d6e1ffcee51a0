"""Which fragments are merged: pure."""

from __future__ import annotations

from consumers.tables.compaction import to_merge


def test_nothing_is_merged_below_four_of_a_size() -> None:
    assert to_merge({}) == []
    assert to_merge({1: 1, 2: 1, 3: 1}) == []
    assert to_merge({1: 1, 2: 5, 3: 20, 4: 100}) == []


def test_four_of_a_size_take_smaller_ones_along_and_leave_larger_ones() -> None:
    assert to_merge({1: 5_000, 2: 100, 3: 90, 4: 80, 5: 70, 6: 2, 7: 1}) == [2, 3, 4, 5, 6, 7]


def test_large_fragments_stay() -> None:
    assert to_merge(dict.fromkeys(range(9), 20_000)) == []
    assert to_merge(dict.fromkeys(range(9), 1_000_000)) == []


def test_a_long_stream_stays_in_few_fragments_and_rewrites_little() -> None:
    sizes: dict[int, int] = {}
    rewritten = largest = 0
    writes = 40_000
    for number in range(writes):
        sizes[number] = 1
        if number % 20 == 19 and (chosen := to_merge(sizes)):
            merged = sum(sizes.pop(fragment) for fragment in chosen)
            sizes[number] = merged
            rewritten += merged
        largest = max(largest, len(sizes))
    assert sum(sizes.values()) == writes
    assert largest < 50
    assert rewritten / writes < 8, "how often a row is written again"
