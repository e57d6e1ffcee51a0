"""Batches within memory, and rows kept back for early stopping: arithmetic alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainers import hardware
from trainers.learners.protocols import Example
from trainers.learners.tuning.fitting import largest
from trainers.learners.tuning.judging import keep_back
from trainers.learners.tuning.stopping import Found, Judged

MIB = 1 << 20


@pytest.mark.parametrize(
    ("free", "at_most", "among", "rows"),
    [(1_000, 32, 1, 32), (300, 32, 1, 8), (300, 4, 1, 4), (300, 32, 4, 32), (10, 32, 1, 1), (0, 32, 1, 1)],
)
def test_a_batch_is_the_largest_part_of_a_step_that_fits(free: float, at_most: int, among: int, rows: int) -> None:
    assert largest(32, at_most, fixed=100.0, per_row=10.0, free=free, among=among) == rows


def test_a_step_is_never_split_unevenly() -> None:
    assert largest(30, 30, fixed=0.0, per_row=1.0, free=20.0) == 10
    assert largest(31, 31, fixed=0.0, per_row=1.0, free=20.0) == 1


def test_free_memory_is_what_the_machine_the_container_and_the_limit_leave(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1_000 * MIB))
    monkeypatch.setattr(hardware, "_left_in_container", lambda: 800 * MIB)
    assert hardware.free_memory("cpu") == 800 * MIB
    assert hardware.free_memory("cpu", among=2) == 400 * MIB
    in_use = psutil.Process().memory_info().rss
    assert hardware.free_memory("cpu", limit_mib=1) == 0, "more is in use already"
    assert 0 < hardware.free_memory("cpu", limit_mib=in_use // MIB + 100) <= 101 * MIB
    monkeypatch.undo()
    for name, content in (("memory.max", "500"), ("memory.current", "300"), ("memory.stat", "anon 1\ninactive_file 50\n")):
        (tmp_path / name).write_text(content)
    assert hardware._left_in_container(tmp_path) == 250
    (tmp_path / "memory.max").write_text("max")
    assert hardware._left_in_container(tmp_path) > 2**60
    assert hardware._left_in_container(tmp_path / "nowhere") > 2**60


def rows_of(documents: Sequence[str | None], **more: Any) -> list[Example]:
    return [Example(f"row-{at}", "text", {}, document=document, **more) for at, document in enumerate(documents)]


_MAYBE = st.one_of(st.none(), st.integers(0, 200).map(str))


@settings(max_examples=30, deadline=None)
@given(told=st.lists(st.tuples(_MAYBE, _MAYBE, st.booleans()), max_size=1_500), seed=st.integers(0, 5))
def test_a_tenth_is_kept_back_of_whole_documents_and_stories(told: list[tuple[str | None, str | None, bool]], seed: int) -> None:
    rows = [
        Example(f"row-{at}", "text", {}, document=document, story=story, independent=independent)
        for at, (document, story, independent) in enumerate(told)
    ]
    kept = keep_back(rows, seed)
    assert kept == keep_back(rows, seed)
    assert len(kept.out) <= min(1_000, len(rows) // 10)
    assert not kept.out or len(kept.judging) >= 50
    assert set(kept.judging) == {at for at in kept.out if rows[at].independent}
    for name in ("document", "story"):
        inside, outside = (
            {getattr(row, name) for at, row in enumerate(rows) if (at in kept.out) is within} - {None} for within in (True, False)
        )
        assert not inside & outside


def test_too_few_rows_and_one_document_keep_nothing_back() -> None:
    assert keep_back(rows_of([None] * 499), 1).out == frozenset()
    assert len(keep_back(rows_of([None] * 500), 1).judging) == 50
    assert keep_back(rows_of(["one"] * 900), 1).out == frozenset()
    assert keep_back(rows_of([None] * 900, independent=False), 1).out == frozenset(), "corrections do not judge"


@pytest.mark.parametrize(("lower", "best"), [(False, 3), (True, 1)])
def test_the_metric_chooses_the_epoch_and_the_loss_where_that_ties(lower: bool, best: int) -> None:
    found = {1: Found(0.9, 0.5), 2: Found(0.5, 0.7), 3: Found(0.4, 0.7), 4: Found(0.4, 0.7), 5: Found(0.1, 0.6)}
    judged = Judged(found, 60, 9, "macro_f1", lower)
    assert judged.best == best
    assert [one.chosen for one in judged.tried] == [epoch == best for epoch in found]
    assert judged.tried[1].scores == {"macro_f1": 0.7, "loss": 0.5}
    assert judged.tried[0].name == "tuned for 1 of 9, on 60 rows kept back"


def test_without_a_metric_the_smallest_loss_goes_on() -> None:
    judged = Judged({epoch: Found(loss, None) for epoch, loss in enumerate((0.5, 0.3, 0.3, 0.4), start=1)}, 60, 9)
    assert judged.best == 2
    assert [one.scores for one in judged.tried] == [{"loss": 0.5}, {"loss": 0.3}, {"loss": 0.3}, {"loss": 0.4}]
