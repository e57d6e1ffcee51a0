"""Runs `perennial` in forks of a process that has the libraries of most commands imported.

Each command is a process of its own, with its own folder, variables, streams and end; it is only spared the second or two of a
core that imports take. What starts threads when it is imported (LanceDB, PyTorch) is left to the command that needs it.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

_LIMIT_S = 120.0
IMPORTED = (
    "daemon.cli.main", "registry.store", "daemon.views.installation.keys", "daemon.views.dead_letters",
    "daemon.views.models.runs", "daemon.views.models.versions", "daemon.views.tasks", "daemon.views.installation.settings",
    "daemon.views.erasures", "daemon.operations.erasing", "consumers.log.open", "consumers.formats.importing",
)  # fmt: skip


class Commands:
    """Runs commands one after the other; leaving the `with` block ends the process that they are forked from."""

    def __enter__(self) -> Self:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PERENNIAL_")}
        self._parent = subprocess.Popen(
            # As the installed script does, it looks for no modules in the working folder.
            [sys.executable, "-P", __file__],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=clean, start_new_session=True,
        )  # fmt: skip
        return self

    def __exit__(self, *_error: object) -> None:
        # A command that hangs, too.
        os.killpg(self._parent.pid, signal.SIGKILL)
        self._parent.communicate()

    def run(
        self, *arguments: str, folder: Path, environment: Mapping[str, str], stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run `perennial ARGUMENTS` in a folder, with these variables and no others."""
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        with tempfile.TemporaryDirectory() as kept:
            streams = [Path(kept) / name for name in ("in", "out", "errors")]
            streams[0].write_text(stdin)
            order = {
                "arguments": arguments, "folder": str(folder), "environment": dict(environment),
                "streams": list(map(str, streams)),
            }  # fmt: skip
            self._parent.stdin.write(json.dumps(order).encode() + b"\n")
            self._parent.stdin.flush()
            ended, _, _ = select.select([self._parent.stdout], [], [], _LIMIT_S)
            code = self._parent.stdout.readline() if ended else b""
            assert code, f"perennial {' '.join(arguments)} did not end: {streams[2].read_text()[-2000:]}"
            return subprocess.CompletedProcess(order["arguments"], int(code), streams[1].read_text(), streams[2].read_text())


def _become(order: Mapping[str, Any]) -> None:
    """Make this process the one that was ordered."""
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    for number, path in enumerate(order["streams"]):
        file = os.open(path, os.O_RDWR | os.O_CREAT)
        os.dup2(file, number)
        os.close(file)
    sys.stdin, sys.stdout, sys.stderr = (open(number, mode, closefd=False) for number, mode in enumerate("rww"))  # noqa: SIM115
    sys.argv = ["perennial", *order["arguments"]]


def _serve() -> bool:
    """Fork once per order; return whether this process is such a fork, with a command to run."""
    for order in iter(sys.stdin.buffer.readline, b""):
        child = os.fork()
        if child == 0:
            _become(json.loads(order))
            return True
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        sys.stdout.write(f"{code}\n")
        sys.stdout.flush()
    return False


if __name__ == "__main__":
    for module in IMPORTED:
        importlib.import_module(module)
    if _serve():
        sys.modules["daemon.cli.main"].main()
