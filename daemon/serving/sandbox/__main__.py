"""`python -m daemon.serving.sandbox FOLDER`: carries out the order in that folder and leaves its findings there."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import structlog

from config import extensions
from config.errors import UserError
from config.files.durable import write_atomic
from config.files.private import keep_private
from config.logging import configure_logging
from config.sections import LogSettings
from daemon.training.sandbox import order as protocol
from trainers import orphans
from trainers.job import guards

_LOG = structlog.get_logger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out the order in the one folder that `arguments` names; return the exit code."""
    guards.rest_collector()
    keep_private()
    orphans.die_with_parent()
    configure_logging(LogSettings(format="auto", level="info"))
    (folder,) = map(Path, sys.argv[1:] if arguments is None else arguments)
    order = protocol.Order.model_validate_json((folder / protocol.ORDER_FILE).read_bytes())
    guards.limit_data(order.memory_limit_mib)
    guards.cap_threads(order.threads)
    try:
        extensions.load(order.modules)
    except UserError as error:
        return _later(folder, str(error))
    # Only now: numpy and torch size their thread pools when they are imported.
    try:
        from daemon.serving.sandbox import examining  # noqa: PLC0415 - see above
    except (ImportError, MemoryError, OSError) as error:
        # This program's own files: perhaps no room to load them, or another version is being installed.
        return _later(folder, f"the sandbox could not be started ({type(error).__name__}: {error})")

    def beyond(_in_use_mib: float) -> None:
        _leave(folder, examining.findings_of(order, examining.beyond_memory(order)))
        os._exit(protocol.EXIT_DONE)

    guards.wake_collector()
    (folder / protocol.BEGUN_FILE).touch()
    with guards.watch(order.memory_limit_mib, beyond):
        try:
            found = examining.examine(order)
        except examining.TryLaterError as error:
            return _later(folder, str(error))
    _leave(folder, found)
    return protocol.EXIT_DONE


def _leave(folder: Path, found: protocol.Findings) -> None:
    write_atomic(folder / protocol.FINDINGS_FILE, found.model_dump_json().encode())


def _later(folder: Path, why: str) -> int:
    _LOG.warning("sandbox.try_later", reason=why)
    write_atomic(folder / protocol.FINDINGS_FILE, json.dumps({"try_later": why}).encode())
    return protocol.EXIT_TRY_LATER


if __name__ == "__main__":
    # What the model left running must not keep the process.
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
