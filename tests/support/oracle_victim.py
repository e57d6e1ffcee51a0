"""`perennial oracle label`, killed at step after step on one folder, and then let through: `oracle_victim.py KILLS`.

The settings stand in the environment. Prints how many were killed.
"""

from __future__ import annotations

import functools
import os
import random
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import anyio
import certifi
import typer.main

from consumers.buffer.open import open_reader
from consumers.labelling.oracle.endpoint import Endpoint
from consumers.labelling.oracle.ledger import Ledger
from consumers.log.embedded.log import _EmbeddedSink as EmbeddedSink
from daemon.cli import main as command_line
from daemon.operations.oracle import labelling
from tests.support.failpoints import Failpoint, say

STEPS = ((Ledger, "begin"), (Endpoint, "ask"), (Ledger, "answered"), (EmbeddedSink, "publish"), (EmbeddedSink, "flush"))
"""What a text goes through, in this order. Each stands for all that was done up to it."""
IMPORTED = (anyio, certifi, open_reader, labelling)
"""So that no child has to."""
NEVER = 1_000_000
_STUCK_S = 120


def label(kill_at: int) -> int:
    """Return how a forked command ends that is killed at a step."""
    child = os.fork()
    if child == 0:
        signal.alarm(_STUCK_S)
        failpoint = Failpoint(kill_at)
        for owner, name in STEPS:
            failpoint.before(owner, name)
        sys.argv = ["perennial", "oracle", "label", "mine", "--most", "90", "--force"]
        # What it prints is not what this process prints.
        os.dup2(2, 1)
        command_line.main()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    # What each child would build again.
    typer.main.get_command = functools.cache(typer.main.get_command)
    typer.main.get_command(command_line.app)
    drawn = random.Random(7)
    ends = [label(drawn.randint(0, 12)) for _ in range(int(sys.argv[1]))]
    last = label(NEVER)
    say(ends.count(-signal.SIGKILL))
    sys.exit(last)
