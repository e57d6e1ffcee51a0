"""`perennial`, for which the hour that other readers have is two seconds: `hasty_daemon.py [--die] run`.

With `--die` one daemon after the other dies, as in a crash, each before an erasure first writes another of `ROAD`.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from consumers.dead_letters.store import DeadLetters
from consumers.erasure.requests import Erasures
from consumers.log.embedded import erasure as log_erasure
from consumers.tables.upkeep import Upkeep
from daemon.cli import main as cli
from daemon.upkeep.erasure import runs as run_folders
from daemon.upkeep.erasure import worker
from daemon.upkeep.erasure.worker import Eraser
from registry.artifacts.local import LocalArtifacts
from registry.removal import erasure
from tests.support.daemon_victim import by_words, unsandboxed

KEEP = timedelta(seconds=2)
_LIFE_LIMIT_S = 180
ROAD: Mapping[str, tuple[Any, str]] = {
    "request": (Erasures, "request"), "derive": (Erasures, "derive"), "work": (Erasures, "add_work"),
    "rows": (Upkeep, "delete"), "letters": (DeadLetters, "erase"), "log": (log_erasure, "empty"),
    "positions": (Erasures, "drop_positions"), "versions": (erasure, "mark_versions"), "runs": (erasure, "mark_runs"),
    "folders": (run_folders, "remove"), "half a folder": (shutil, "rmtree"), "removed_at": (Erasures, "reached"),
    "rewrite": (Upkeep, "rewrite"), "rewritten": (Erasures, "rewritten"), "purge": (Upkeep, "purge"),
    "compact": (log_erasure, "compact"), "letters compact": (DeadLetters, "compact"),
    "purged_at": (Erasures, "reached"), "vacuum": (Erasures, "vacuum"), "retrain_at": (Erasures, "reached"),
    "models": (erasure, "collect"), "a model": (LocalArtifacts, "remove"), "done_at": (Erasures, "reached"),
}  # fmt: skip
"""What an erasure writes, in its order."""


def hurry() -> None:
    """Shorten the hour, enrich by words alone, and let every candidate pass."""
    by_words()
    unsandboxed()
    wired = Eraser.__init__

    def hasty(self: Eraser, *given: Any, **parts: Any) -> None:
        wired(self, *given, **parts)
        self._keep = KEEP

    Eraser.__init__ = hasty  # type: ignore[method-assign]  # the point of this file
    worker._PURGE_AGAIN_S = 0.5


def die_before(write: str) -> None:
    """Kill the process when it first comes to one of `ROAD`."""
    owner, name = ROAD[write]
    function = getattr(owner, name)

    def deadly(*args: Any, **kwargs: Any) -> Any:
        if name != "reached" or write in args:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)

    setattr(owner, name, deadly)


def die_before_each() -> None:
    """Run one daemon per write and see it killed there. They are forked, which spares each the imports."""
    for write in ROAD:
        child = os.fork()
        if child == 0:
            signal.alarm(_LIFE_LIMIT_S)
            die_before(write)
            cli.main()
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code != -signal.SIGKILL:
            sys.exit(f"the daemon did not die before {write!r}: it ended with {code}")


if __name__ == "__main__":
    hurry()
    if sys.argv[1] == "--die":
        sys.argv.pop(1)
        die_before_each()
    else:
        cli.main()
