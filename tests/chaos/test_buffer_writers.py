"""The buffer under hostile writers: a second one, and one that is killed while it inserts, updates and optimises at once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

from consumers.buffer.open import open_reader
from consumers.tables.compaction import FRAGMENT_BITS
from tests.support import buffer_writer, upserter
from tests.support.buffers import TASKS, enrich, opened
from tests.support.processes import freeze
from tests.support.tables import rows_of

LIMIT_S = 60


def start(script: str | None, *arguments: str | Path) -> subprocess.Popen[str]:
    assert script is not None
    command = [sys.executable, script, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def write(writer: subprocess.Popen[str], start: int, count: int) -> None:
    assert writer.stdin is not None
    assert writer.stdout is not None
    writer.stdin.write(f"{start} {count}\n")
    writer.stdin.flush()
    assert writer.stdout.readline() == "done\n"


def stored_ids(folder: Path) -> Counter[str]:
    """Return how often each row is stored."""
    return Counter(rows_of(folder, "examples", ["row_id"])["row_id"].to_pylist())


def test_a_second_writer_never_writes_beside_one_that_lives_or_is_frozen(tmp_path: Path) -> None:
    folder = tmp_path / "buffer"
    with start(buffer_writer.__file__, folder) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "open\n"
        write(first, 0, 10)
        freeze(first)
        with start(buffer_writer.__file__, folder) as second:
            _said, told = second.communicate("5 10\n", timeout=LIMIT_S)
            assert second.returncode == 1
            assert f"is being written by process {first.pid}" in told
        first.send_signal(signal.SIGCONT)
        write(first, 10, 10)
        first.kill()
    with start(buffer_writer.__file__, folder) as third:
        assert third.stdout is not None
        assert third.stdout.readline() == "open\n", "the lock went with its holder"
        write(third, 15, 10)
        third.kill()
    assert stored_ids(folder) == {f"l-{number}": 1 for number in range(25)}


def test_killed_while_it_optimises_under_inserts_and_updates_it_loses_and_doubles_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "buffer"
    chance = random.Random(4)
    durable = 0
    for _ in range(3):
        with start(upserter.__file__, folder, durable) as process:
            assert process.stdout is not None
            durable = int(process.stdout.readline())
            until = time.monotonic() + chance.uniform(1, 2)
            with closing(open_reader(folder, tasks=TASKS)) as reader:
                seen = 0
                while time.monotonic() < until:
                    count = reader.table_counts()["examples"]
                    assert count >= seen, "a reader in another process sees no row go"
                    seen = count
            os.kill(process.pid, signal.SIGKILL)
            durable = max([durable, *map(int, process.stdout.read().split())])
        with opened(folder) as buffer:
            assert buffer.repairs == (), "a kill alone tears nothing"
        ids = stored_ids(folder)
        assert {f"l-{number}" for number in range(durable)} <= ids.keys()
        assert set(ids.values()) == {1}
    with opened(folder) as buffer:
        enrich(buffer)
        total = buffer.table_counts()["examples"]
        assert total >= durable > 0
        assert (buffer.counts("news-topics").train, buffer.counts("news-topics").unenriched) == (total, 0)
        with buffer._upkeep.pinned(["examples"]) as tables:
            fragments = set((tables.row_ids("examples") >> FRAGMENT_BITS).tolist())
        assert len(fragments) < total / upserter.PORTION, "it was optimised meanwhile"
