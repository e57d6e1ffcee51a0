"""The presence file: found alive, and never mistaken for another process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.process import presence

ADDRESS = "http://127.0.0.1:8310"


def test_a_running_process_is_found(tmp_path: Path) -> None:
    written = presence.write(tmp_path, ADDRESS)
    found = presence.read(tmp_path)
    assert found == written
    assert (found.pid, found.address) == (os.getpid(), ADDRESS)
    assert presence.is_alive(found)


@pytest.mark.process
def test_an_ended_process_is_not_alive_even_as_a_zombie(tmp_path: Path) -> None:
    code = f"from pathlib import Path; from daemon.process import presence; presence.write(Path({str(tmp_path)!r}), 'http://x')"
    child = subprocess.Popen([sys.executable, "-c", code])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    found = presence.read(tmp_path)
    assert found.pid == child.pid
    assert not presence.is_alive(found), "a zombie serves nobody"
    child.wait()
    assert not presence.is_alive(found)


def test_another_process_with_the_same_id_is_not_taken_for_it(tmp_path: Path) -> None:
    mine = presence.write(tmp_path, ADDRESS)
    assert not presence.is_alive(replace(mine, started_s_after_boot=mine.started_s_after_boot - 60))
    assert not presence.is_alive(replace(mine, boot_id="another boot"))


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"pid": 1}', '{"pid": "x", "started_s_after_boot": 1, "boot_id": "", "address": ""}']
)
def test_a_missing_or_damaged_file_means_nobody(tmp_path: Path, content: str) -> None:
    assert presence.read(tmp_path) is None
    (tmp_path / presence.FILE_NAME).write_text(content)
    assert presence.read(tmp_path) is None


def test_a_process_removes_only_its_own_file(tmp_path: Path) -> None:
    presence.write(tmp_path, ADDRESS)
    presence.remove(tmp_path)
    assert presence.read(tmp_path) is None
    written = presence.write(tmp_path, ADDRESS)
    other = {**json.loads((tmp_path / presence.FILE_NAME).read_text()), "pid": written.pid + 1}
    (tmp_path / presence.FILE_NAME).write_text(json.dumps(other))
    presence.remove(tmp_path)
    assert presence.read(tmp_path) is not None
