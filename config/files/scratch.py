"""Folders that are gone with the process that made them, or by the next sweep where it was killed."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def scratch_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """A new folder that is gone afterwards unless it was renamed; no sweep takes it while this process lives."""
    folder = parent / f"{prefix}{secrets.token_hex(8)}"
    folder.mkdir(parents=True)
    with _locked(folder):
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def sweep(folders: Iterable[Path]) -> int:
    """Remove those of the folders that no living process holds; return how many those were."""
    swept = 0
    for folder in folders:
        try:
            with _locked(folder) as free:
                if free:
                    shutil.rmtree(folder)
                    swept += 1
        except FileNotFoundError:
            continue  # its own process has just removed it
    return swept


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Hold the folder's lock, which the kernel drops when the process dies; False when it cannot be had."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            # Another process holds it, or this file system knows no locks: then nobody can tell, and it stays.
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
