"""The end of what a training child has logged."""

from __future__ import annotations

import os
from pathlib import Path

from trainers.job import files

_TAIL_BYTES = 8_000


def tail(run_dir: Path) -> str | None:
    """Return the last lines of a run's log; None where there is none, or its folder is gone."""
    try:
        with (run_dir / files.LOG_FILE).open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(0, size - _TAIL_BYTES))
            content = log.read()
    except OSError:
        return None
    text = content.decode("utf-8", "backslashreplace")
    return text if size <= _TAIL_BYTES else text.partition("\n")[2]
