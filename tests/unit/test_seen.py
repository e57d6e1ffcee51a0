"""The filter of ids: it may suspect wrongly, it never misses."""

from __future__ import annotations

import pytest

from consumers.rows.arriving import seen
from consumers.rows.arriving.seen import SeenIds


@pytest.mark.parametrize("merge_at", [1, 7, 1_000])
def test_every_id_that_was_given_is_found_and_others_are_not(monkeypatch: pytest.MonkeyPatch, merge_at: int) -> None:
    monkeypatch.setattr(seen, "_MERGE_AT", merge_at)
    ids = SeenIds(f"old-{number}" for number in range(50))
    for number in range(50):
        ids.add([f"new-{number}", f"old-{number}"])
    known = [f"{kind}-{number}" for number in range(50) for kind in ("old", "new")]
    others = [f"other-{number}" for number in range(50)]
    assert ids.among(known + others) == known, "in the order they were asked for"
    assert ids.among([]) == []


def test_nothing_is_seen_at_first() -> None:
    assert SeenIds().among(["a", "b"]) == []
