"""Running our own command beside an installation."""

from __future__ import annotations

import os
import subprocess
import sys

from daemon.demo.installation import Installation

_LIMIT_S = 300.0


def perennial(town: Installation, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run the command with an installation's settings, in its folder and on a wide terminal; it must succeed if `check`."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "daemon", *arguments],
        env=os.environ | town._environment() | {"COLUMNS": "250"}, cwd=town.folder,
        capture_output=True, text=True, timeout=_LIMIT_S, check=False,
    )  # fmt: skip
    assert not check or done.returncode == 0, done.stderr
    return done
