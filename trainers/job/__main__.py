"""The training child: `python -m trainers.job SPEC.json`; `trainers/job/spec.py` defines the protocol.

Where the order asks for several processes it starts them (`several.launching`), each by the same command, and waits.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import structlog

from config import extensions
from config.errors import UserError
from config.files.private import keep_private
from config.logging import configure_logging
from config.sections import LogSettings
from trainers import orphans
from trainers.job import guards
from trainers.job.several import shares
from trainers.learners.tuning import processes

_LOG = structlog.get_logger(__name__)
_USAGE = "python -m trainers.job SPEC.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out the order in the one file that `arguments` names; return the exit code."""
    guards.rest_collector()
    keep_private()
    stop = guards.StopRequest()
    stop.listen()
    orphans.die_with_parent()
    configure_logging(LogSettings(format="auto", level="info"))
    given = sys.argv[1:] if arguments is None else arguments
    try:
        (path,) = (Path(argument) for argument in given)
        order = json.loads(path.read_bytes())
        together, count = processes.here(), shares.wanted(order)
        if together.count > 1:
            order = shares.share_of(order, together)
        # An order of a release before this one names none.
        guards.step_back(order["training"].get("nice", 0))
        guards.cap_threads(order["training"]["threads"])
        extensions.load(order.get("modules", ()))
    except (OSError, ValueError, KeyError, TypeError, UserError) as error:
        _LOG.error("order_unreadable", arguments=list(given), problem=repr(error), usage=_USAGE)
        return 1
    # Only now: numpy and torch size their thread pools when they are imported.
    if count > 1 and together.count == 1:
        from trainers.job.several import launching  # noqa: PLC0415 - see above

        return launching.launch(order, stop, path, count=count)
    if not together.first:
        from trainers.job.several import assisting  # noqa: PLC0415 - see above

        return assisting.assist(order, stop, path.resolve().parent, together)
    from trainers.job import run as job_run  # noqa: PLC0415 - see above

    return job_run.run(order, stop, path.resolve().parent)


if __name__ == "__main__":
    sys.exit(main())
