"""The child in which two models answer: `python -m trainers.pair FOLDER`; `trainers/pair/order.py` defines the protocol."""

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

_LOG = structlog.get_logger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out the order in the one folder that `arguments` names; return the exit code."""
    guards.rest_collector()
    keep_private()
    stop = guards.StopRequest()
    stop.listen()
    orphans.die_with_parent()
    configure_logging(LogSettings(format="auto", level="info"))
    given = sys.argv[1:] if arguments is None else arguments
    try:
        (folder,) = (Path(argument).resolve() for argument in given)
        content = json.loads((folder / "order.json").read_bytes())
        # As a training child, and no further: a daemon that is nice itself would leave it no time at all beside other work.
        guards.step_back(content["training"]["nice"])
        guards.cap_threads(content["training"]["threads"])
        extensions.load(content.get("modules", ()))
    except (OSError, ValueError, KeyError, TypeError, UserError) as error:
        _LOG.error("order_unreadable", arguments=list(given), problem=repr(error), usage="python -m trainers.pair FOLDER")
        return 1
    # Only now: numpy and torch size their thread pools when they are imported.
    from trainers.pair import run  # noqa: PLC0415 - see above

    return run.run(content, stop, folder)


if __name__ == "__main__":
    sys.exit(main())
