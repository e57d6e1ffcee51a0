"""Writes that survive a power cut: the few file-system steps every layer shares."""

from __future__ import annotations

import ctypes
import ctypes.util
import hashlib
import os
import secrets
import shutil
import sys
from pathlib import Path

_HASH_CHUNK_BYTES = 1 << 20


def sync_folder(folder: Path) -> None:
    """Fsync a folder so that a rename or a new file inside it is durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Fsync one file's content."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Fsync every file below `folder`, then every folder, innermost first, `folder` last."""
    for current, _folders, files in os.walk(folder, topdown=False):
        for name in files:
            sync_file(Path(current) / name)
        sync_folder(Path(current))


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


def write_atomic(path: Path, content: bytes) -> None:
    """Replace `path` by `content` so that a reader or a crash sees the old file or the new one, never half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sha256_of_file(path: Path) -> str:
    """Return the SHA-256 of a file's content in lower-case hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_HASH_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def free_bytes(path: Path) -> int:
    """Return the bytes still free for us on the file system that holds `path` (or its nearest existing parent)."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free
