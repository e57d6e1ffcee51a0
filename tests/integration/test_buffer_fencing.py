"""Writes of the buffer carry the leader's token: a former leader's are refused, whatever became of the lock."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from config.errors import StopError
from consumers.buffer.fencing import TOKEN_FILE, Fence, highest_token
from consumers.buffer.folder import LOCK_FILE
from consumers.buffer.writer import BufferWriter
from consumers.tables.lance import Tables
from consumers.tables.upkeep import Upkeep
from tests.support.buffers import FEEDBACK, TOPICS, enrich, finding, label, opened, stored


def content(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_former_leaders_writes_are_refused_and_nothing_of_them_lands(tmp_path: Path) -> None:
    folder = tmp_path / "b"
    with ExitStack() as stack:
        former = stack.enter_context(opened(folder, fencing_token=4))
        former.insert(stored(label("l-1")))
        waiting = former.unenriched("examples", 9)
        # The lock is lost: somebody removes its file while the former leader is frozen.
        (folder / LOCK_FILE).unlink()
        leader = stack.enter_context(opened(folder, fencing_token=5))
        before = content(folder)
        for write in (
            lambda: former.insert(stored(label("l-2"), offset=1)),
            lambda: former.apply_enrichment("examples", [finding(row) for row in waiting]),
            lambda: former.drop_from_training({"l-1": "no"}),
            lambda: former.judge_feedback(FEEDBACK),
            lambda: former.try_again(of_this_version=False),
            lambda: former.purge(timedelta(0)),
            lambda: former.rewound("perennial.labels"),
            former.resolve_waiting, former.optimize_if_due, former.enforce_retention,
        ):  # fmt: skip
            with pytest.raises(StopError, match=r"its token is 4, .* under token 5"):
                write()
        assert content(folder) == before
        assert former.counts(TOPICS.name).unenriched == 1, "it reads on"
        leader.insert(stored(label("l-2", "Rates fall"), offset=1))
        enrich(leader)
        assert leader.counts(TOPICS.name).train == 2


def test_what_is_under_way_when_another_leader_comes_is_refused_at_its_next_table(tmp_path: Path) -> None:
    with opened(tmp_path / "b", fencing_token=4) as former:
        former.insert(stored(*(label(f"l-{number}", f"text {number}") for number in range(3))))
    fence = Fence(tmp_path / "b", 4)
    tables = Tables(tmp_path / "b", writer=True, before_write=fence.check)
    upkeep = Upkeep(tables, threading.RLock())
    rows = tables.pin(["examples"]).row_ids("examples").tolist()
    upkeep.delete("examples", rows[:1])
    Fence(tmp_path / "b", 5).take_over()
    for write in (
        lambda: upkeep.delete("examples", rows[1:]),
        lambda: upkeep.compact(["examples"], timedelta(0)),
        lambda: tables.delete("examples", "true"),
        lambda: tables.append("requests", [{}]),
    ):
        with pytest.raises(StopError, match="under token 5"):
            write()
    assert tables.count("examples") == 2


def test_a_former_leader_cannot_even_open(tmp_path: Path) -> None:
    with opened(tmp_path / "b", fencing_token=7):
        pass
    before = content(tmp_path / "b")
    with pytest.raises(StopError, match=r"its token is 6, .* under token 7"), opened(tmp_path / "b", fencing_token=6):
        pass
    assert content(tmp_path / "b") == before
    with opened(tmp_path / "b", fencing_token=7) as again:
        again.insert(stored(label("l-1")))
    with opened(tmp_path / "b", fencing_token=8):
        pass
    assert highest_token(tmp_path / "b") == 8


def test_without_a_lease_no_token_is_needed(tmp_path: Path) -> None:
    def write(buffer: BufferWriter, number: int) -> None:
        buffer.insert(stored(label(f"l-{number}", f"text {number}"), offset=number))

    with opened(tmp_path / "b") as buffer:
        write(buffer, 0)
    assert highest_token(tmp_path / "b") == 0
    with opened(tmp_path / "b", fencing_token=3) as buffer:
        write(buffer, 1)
    with opened(tmp_path / "b") as buffer:
        write(buffer, 2)
        assert buffer.table_counts()["examples"] == 3
    assert highest_token(tmp_path / "b") == 3


def test_a_token_file_that_holds_no_number_stops_the_writer_and_says_what_to_do(tmp_path: Path) -> None:
    with opened(tmp_path / "b", fencing_token=3):
        pass
    (tmp_path / "b" / TOKEN_FILE).write_text("three")
    with pytest.raises(StopError, match=rf"{TOKEN_FILE} holds 'three'.*remove the file"), opened(tmp_path / "b", fencing_token=4):
        pass
