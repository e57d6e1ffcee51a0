"""The training child: `python -m trainers.job SPEC.json`; `trainers/job/spec.py` defines the protocol."""

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
from trainers.job import guards

_LOG = structlog.get_logger(__name__)
_USAGE = "python -m trainers.job SPEC.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out the order in the one file that `arguments` names; return the exit code."""
    guards.rest_collector()
    keep_private()
    stop = guards.StopRequest()
    stop.listen()
    guards.die_with_parent()
    configure_logging(LogSettings(format="auto", level="info"))
    given = sys.argv[1:] if arguments is None else arguments
    try:
        (path,) = (Path(argument) for argument in given)
        order = json.loads(path.read_bytes())
        guards.cap_threads(order["training"]["threads"])
        extensions.load(order.get("modules", ()))
    except (OSError, ValueError, KeyError, TypeError, UserError) as error:
        _LOG.error("order_unreadable", arguments=list(given), problem=repr(error), usage=_USAGE)
        return 1
    # Only now: numpy and torch size their thread pools when they are imported.
    from trainers.job import run as job_run  # noqa: PLC0415 - see above

    return job_run.run(order, stop, path.resolve().parent)


if __name__ == "__main__":
    sys.exit(main())
