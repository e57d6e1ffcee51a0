"""Writes that survive a power cut: what published models need, and what only the daemon's own folders do."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import shutil
import sys
from pathlib import Path

from perennial_artifact.durable import sha256_of_file, sync_file, sync_folder, sync_tree, write_atomic

__all__ = ["free_bytes", "sha256_of_file", "sync_file", "sync_filesystem", "sync_folder", "sync_tree", "write_atomic"]


def sync_filesystem(path: Path) -> None:
    """Flush the whole file system that holds `path` (Linux `syncfs`; elsewhere every file below `path`).

    Raises OSError when the kernel reports that a write was lost.
    """
    library = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
    if library is None or not hasattr(library, "syncfs"):
        sync_tree(path)
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if library.syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(path))
    finally:
        os.close(descriptor)


def free_bytes(path: Path) -> int:
    """Return the bytes still free for us on the file system that holds `path` (or its nearest existing parent)."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free
