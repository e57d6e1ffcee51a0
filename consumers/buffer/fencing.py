"""Keeps a former leader from writing the buffer: the folder knows the highest token, and every write brings its own.

The lock of `folder` keeps two writers apart on one machine. A token also does where a lock is lost: on a shared file system,
or where somebody has removed the lock file under a process that was frozen.
"""

from __future__ import annotations

from pathlib import Path

from config.errors import StopError
from config.files import durable
from consumers.buffer.folder import kept_number

TOKEN_FILE = "highest_fencing_token"  # noqa: S105 - a number that counts leaders, no secret


class Fence:
    """The token of one writer. Without one (None) it writes as a person does, who has seen to it that nobody else leads."""

    def __init__(self, folder: Path, token: int | None) -> None:
        self._folder = folder
        self._token = token

    def take_over(self) -> None:
        """Keep every lower token out from now on, durably. Raises `StopError` when a higher one was here."""
        self.check()
        if self._token is not None and self._token > highest_token(self._folder):
            durable.write_atomic(self._folder / TOKEN_FILE, f"{self._token}\n".encode())

    def check(self) -> None:
        """Raise `StopError` when a later leader has taken the buffer over."""
        if self._token is None:
            return
        highest = highest_token(self._folder)
        if highest > self._token:
            message = (
                f"this process is no longer the leader: its token is {self._token}, and the buffer in {self._folder} was taken "
                f"over under token {highest}. Nothing was written, and this process stops. Start it again as a standby"
            )
            raise StopError(message)


def highest_token(folder: Path) -> int:
    """Return the highest token that was used on the buffer in `folder`, 0 before the first. Raises `StopError` if unreadable."""
    return kept_number(
        folder / TOKEN_FILE,
        "so a former leader cannot be recognised. Nothing was written. Stop every daemon that uses this folder, remove the file, "
        "and start one again",
    )
