"""Whether a file that a command writes at its end can be written: asked before its work, which may take hours."""

from __future__ import annotations

import tempfile
from pathlib import Path

from config.errors import UserError


def check(path: Path, option: str) -> None:
    """Raise `UserError`, which names the option that gave the path, where no file can be written there."""
    if path.is_dir():
        message = f"{option} {path}: it is a folder; name a file"
        raise UserError(message)
    folder = path.absolute().parent
    if not folder.is_dir():
        message = f"{option} {path}: the folder {path.parent} does not exist; make it first"
        raise UserError(message)
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        message = f"{option} {path}: nothing can be written to {folder} ({error.strerror or error}); name another place"
        raise UserError(message) from None
