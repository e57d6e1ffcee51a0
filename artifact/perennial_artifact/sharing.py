"""Files of versions that lie here already, found by their content: what versions have in common is kept, and fetched, once."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path

from perennial_artifact.errors import UnusableError
from perennial_artifact.manifest import File, unchecked, verify_file

_NO_LINK = frozenset({errno.EMLINK, errno.EPERM, errno.EXDEV, errno.EOPNOTSUPP, errno.ENOSYS})
"""The file has as many names as it may, or this file system knows no second name."""


class Held:
    """What whole versions hold. The file system counts who shares a file: it goes with its last name."""

    def __init__(self, folders: Iterable[Path]) -> None:
        """`folders` are those of versions; one whose manifest cannot be read holds nothing. Some may disappear meanwhile."""
        self._places: dict[tuple[str, int], list[Path]] = {}
        for folder in folders:
            for file in unchecked(folder).values():
                self._places.setdefault((file.sha256, file.size_bytes), []).append(folder / file.name)
        self._sizes = {size_bytes for _sha256, size_bytes in self._places}

    def may_hold(self, size_bytes: int) -> bool:
        """Return whether any file has this size: one that has not need not be hashed to be looked for."""
        return size_bytes in self._sizes

    def holds(self, file: File) -> bool:
        """Return whether a manifest names the content of `file`; `place` finds out whether it is true."""
        return (file.sha256, file.size_bytes) in self._places

    def place(self, file: File, target: Path) -> bool:
        """Make `target`, which is not there yet, hold what `file` says; return whether it does, from something that is here.

        A second name of the same file, or a copy where the file system knows none. Every byte is read: what is damaged here
        is not passed on. Raises `OSError` when a copy cannot be written.
        """
        for source in self._places.get((file.sha256, file.size_bytes), ()):
            try:
                _name_again(source, target)
                if stat.S_ISREG(target.lstat().st_mode):
                    verify_file(target, file)
                    return True
            except (FileNotFoundError, UnusableError):
                pass  # removed meanwhile, or damaged: perhaps another version has it
            target.unlink(missing_ok=True)
        return False


def _name_again(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        try:
            shutil.copyfile(source, target, follow_symlinks=False)
        except BaseException:
            target.unlink(missing_ok=True)
            raise
