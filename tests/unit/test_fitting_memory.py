"""Batches within memory, and rows kept back for early stopping: arithmetic alone."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainers import hardware
from trainers.learners.tuning.fitting import largest
from trainers.learners.tuning.stopping import Judged, keep_back

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


@settings(max_examples=50, deadline=None)
@given(documents=st.lists(st.one_of(st.none(), st.integers(0, 200).map(str)), max_size=2_000), seed=st.integers(0, 5))
def test_a_tenth_is_kept_back_of_whole_documents(documents: list[str | None], seed: int) -> None:
    kept = keep_back(documents, seed)
    assert kept == keep_back(documents, seed)
    assert not kept or 50 <= len(kept) <= min(1_000, len(documents) // 10)
    outside = {document for at, document in enumerate(documents) if at not in kept and document is not None}
    assert not outside & {documents[at] for at in kept}
    if len(documents) >= 500 and not any(documents):
        assert len(kept) == min(1_000, len(documents) // 10)


def test_too_few_rows_and_one_document_keep_nothing_back() -> None:
    assert keep_back([None] * 499, 1) == frozenset()
    assert len(keep_back([None] * 500, 1)) == 50
    assert keep_back(["one"] * 900, 1) == frozenset()


def test_the_first_of_the_best_epochs_goes_on_and_all_are_told() -> None:
    judged = Judged({1: 0.5, 2: 0.3, 3: 0.3, 4: 0.4}, rows=60, epochs=9)
    assert judged.best == 2
    assert [(one.scores["loss"], one.chosen) for one in judged.tried] == [(0.5, False), (0.3, True), (0.3, False), (0.4, False)]
    assert judged.tried[0].name == "tuned for 1 of 9, on 60 rows kept back"
