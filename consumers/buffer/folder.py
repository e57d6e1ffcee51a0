"""The buffer's folder: its format, the lock that lets one process write, and the number that outlives the rows."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import BinaryIO

import psutil

from config.errors import NothingRanError, StopError
from config.files import durable
from consumers.tables.columns import FORMAT_VERSION

FORMAT_FILE = "format_version"
LOCK_FILE = "writer.lock"
HIGHEST_SEQ_FILE = "highest_enriched_seq"


class WriterHeldError(StopError):
    """Another process writes the buffer."""


def prepare(folder: Path) -> None:
    """Make the folder, or check that this version can read it (`StopError`)."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / FORMAT_FILE).exists():
        durable.write_atomic(folder / FORMAT_FILE, f"{FORMAT_VERSION}\n".encode())
    check(folder)


def check(folder: Path) -> None:
    """Refuse a missing buffer (`NothingRanError`) and one of a newer or unreadable format (`StopError`)."""
    try:
        text = (folder / FORMAT_FILE).read_text(encoding="ascii").strip()
    except FileNotFoundError:
        message = f"there is no buffer in {folder} yet; start the daemon with `perennial run`, which makes it"
        raise NothingRanError(message) from None
    if not text.isdecimal() or int(text) > FORMAT_VERSION:
        message = (
            f"the buffer in {folder} has format {text!r}; this version of Perennial reads up to {FORMAT_VERSION}. Nothing was "
            "changed. Install the version that wrote it, or set data_dir to another folder"
        )
        raise StopError(message)


def remember_highest_seq(folder: Path, seq: int) -> None:
    """Keep the highest enrichment number durably: runs compare with it long after retention removed the row that had it."""
    if seq > highest_seq(folder):
        durable.write_atomic(folder / HIGHEST_SEQ_FILE, f"{seq}\n".encode())


def highest_seq(folder: Path) -> int:
    """Return the enrichment number that was kept, 0 when none was. Raises `StopError` when it cannot be read."""
    return kept_number(
        folder / HIGHEST_SEQ_FILE,
        "without it new examples could pass for old ones. Nothing was changed. Restore the file from a backup, or write the "
        "highest `max_seq` of the training sets under runs into it",
    )


def kept_number(path: Path, otherwise: str) -> int:
    """Return the number in a file, 0 when there is none. Raises `StopError`, ending with `otherwise`, for anything else in it."""
    try:
        text = path.read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        return 0
    if not text.isdecimal():
        message = f"{path} holds {text[:80]!r} instead of a number; {otherwise}"
        raise StopError(message)
    return int(text)


def lock_for_writing(folder: Path) -> BinaryIO:
    """Return the held lock; closing it, or the end of the process, frees it. Raises `WriterHeldError` naming the holder."""
    file = (folder / LOCK_FILE).open("a+b")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        holder = file.read().decode("ascii", "replace").strip() or "unknown"
        file.close()
        message = (
            f"the buffer in {folder} is being written by process {holder}; two writers would double its rows. "
            "Stop that process first, or set data_dir to another folder"
        )
        raise WriterHeldError(message) from None
    file.truncate(0)
    file.write(f"{os.getpid()}\n".encode())
    file.flush()
    return file


def kill_writer(folder: Path) -> int | None:
    """Kill the process that holds the lock and return its id; None where no other process here is seen to hold it."""
    process = _writer(folder)
    if process is None:
        return None
    with contextlib.suppress(psutil.NoSuchProcess):
        process.kill()
    return process.pid


def writer_is_stopped(folder: Path) -> bool:
    """Return whether the process that holds the lock is one of this machine and was stopped by a signal."""
    process = _writer(folder)
    try:
        return process is not None and process.status() == psutil.STATUS_STOPPED
    except psutil.NoSuchProcess:
        return False


def _writer(folder: Path) -> psutil.Process | None:
    lock = folder / LOCK_FILE
    try:
        process = psutil.Process(int(lock.read_text(encoding="ascii")))
        # The number alone could be a stranger's: it may have been written in another container or on another machine.
        holds = process.pid != os.getpid() and any(Path(file.path).samefile(lock) for file in process.open_files())
    except (psutil.Error, OSError, ValueError):
        return None
    return process if holds else None
