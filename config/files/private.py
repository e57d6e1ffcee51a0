"""Files of an installation are private to its user, whatever the umask: texts, events, the hashes of keys, models."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from config.errors import UserError

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)


def keep_private() -> None:
    """From now on everything that this process and its children create is for their user alone."""
    os.umask(_OTHERS)


def prepare(folder: Path) -> None:
    """Make the data folder, where it is not there. Raises `UserError` when this user may not write in it."""
    trial = folder / f".perennial-{secrets.token_hex(4)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        trial.touch()
        trial.unlink()
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
        raise UserError(refusal(error, folder)) from None


def refusal(error: OSError, path: object) -> str:
    """Return in words that this user may not do there what must be done, and the remedy."""
    return (
        f"{error.filename or path} cannot be used by this user (id {os.geteuid()}): {error.strerror}. Nothing was changed. Run "
        "as the user that owns the data folder, let this one read and write there, or set data_dir to another folder"
    )


def restrict(folder: Path) -> int:
    """Remove other users' rights from all that this user owns below `folder`; return how many files and folders had some."""
    restricted = 0
    for path in exposed(folder):
        # Files of another user stay as they are; `perennial doctor` reports them.
        with contextlib.suppress(OSError):
            path.chmod(stat.S_IMODE(path.lstat().st_mode) & ~_OTHERS)
            restricted += 1
    return restricted


def exposed(folder: Path) -> Iterator[Path]:
    """Yield what others have rights to: `folder` and everything in it, links left out. What goes meanwhile is passed over."""
    yield from _if_exposed(folder)
    for current, folders, files in os.walk(folder):
        for name in (*folders, *files):
            yield from _if_exposed(Path(current) / name)


def _if_exposed(path: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError):
        mode = path.lstat().st_mode
        if not stat.S_ISLNK(mode) and mode & _OTHERS:
            yield path
