"""A demo that is ended from outside leaves nothing: no daemon, no serving, no folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil

from tests.support.served import eventually


def test_a_demo_that_is_ended_takes_its_daemon_with_it(tmp_path: Path) -> None:
    demo = subprocess.Popen(
        [sys.executable, "-P", "-m", "daemon", "demo"],
        env={**os.environ, "TMPDIR": str(tmp_path)}, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        eventually(
            lambda: any("daemon.started" in log.read_text() for log in tmp_path.glob("perennial-demo-*/daemon.log")), within_s=100
        )
        family = psutil.Process(demo.pid).children(recursive=True)
        assert family
        demo.terminate()
        assert demo.wait(60) == 130
    finally:
        demo.kill()
    assert list(tmp_path.glob("perennial-demo-*")) == []
    _gone, alive = psutil.wait_procs(family, timeout=30)
    assert alive == []
