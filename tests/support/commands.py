"""Running our own command beside an installation."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from typing import Protocol
from unittest import mock

from daemon.cli import main as cli
from daemon.demo.installation import Installation

_LIMIT_S = 300.0


def perennial(town: Installation, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run the command with an installation's settings, in its folder and on a wide terminal; it must succeed if `check`."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "daemon", *arguments],
        env=os.environ | town.environment() | {"COLUMNS": "250"}, cwd=town.folder,
        capture_output=True, text=True, timeout=_LIMIT_S, check=False,
    )  # fmt: skip
    assert not check or done.returncode == 0, done.stderr
    return done


class Settled(Protocol):
    """Knows the variables that make a process read its settings."""

    def environment(self) -> dict[str, str]: ...


def perennial_here(town: Settled, *arguments: str) -> subprocess.CompletedProcess[str]:
    """As `perennial`, in this process: spares each command the imports, where many are run."""
    out, errors = io.StringIO(), io.StringIO()
    told = ["perennial", *arguments]
    returncode: object = 0
    with (
        mock.patch.dict(os.environ, town.environment()),
        mock.patch.object(sys, "argv", told),
        redirect_stdout(out),
        redirect_stderr(errors),
    ):
        try:
            cli.main()
        except SystemExit as end:
            returncode = end.code or 0
    assert isinstance(returncode, int)
    return subprocess.CompletedProcess(told, returncode, out.getvalue(), errors.getvalue())
