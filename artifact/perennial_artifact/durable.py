"""Writes that survive a power cut."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

_CHUNK_BYTES = 1 << 20


def sync_folder(folder: Path) -> None:
    """Fsync a folder, so that a rename or a new file inside it is durable."""
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


def sync_folders(folder: Path) -> None:
    """Fsync every folder below `folder`, innermost first, and then itself."""
    for current, _folders, _files in os.walk(folder, topdown=False):
        sync_folder(Path(current))


def sync_tree(folder: Path) -> None:
    """Fsync every file below `folder`, then every folder, innermost first, `folder` last."""
    for current, _folders, files in os.walk(folder, topdown=False):
        for name in files:
            sync_file(Path(current) / name)
        sync_folder(Path(current))


def write_atomic(path: Path, content: bytes) -> None:
    """Replace `path` by `content`, so that a reader or a crash sees the old file or the new one, never half."""
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
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
