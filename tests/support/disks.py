"""A small disk of its own for a test that fills it or makes it read-only."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, *, instead: str) -> Iterator[Path]:
    """Mount 16 MiB; where that is not allowed, skip and name `instead`, the test that puts the fault in."""
    disk = folder / "disk"
    disk.mkdir()
    if shutil.which("mount") is None:
        pytest.skip(f"there is no mount command here; {instead} puts the fault in")
    command = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(disk)]
    mounted = subprocess.run(command, capture_output=True, check=False, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"no small disk can be mounted ({mounted.stderr.strip()}); {instead} puts the fault in")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def remount(disk: Path, how: str) -> None:
    """Make the disk read-only (`ro`) or writable again (`rw`)."""
    subprocess.run(["mount", "-o", f"remount,{how}", str(disk)], check=True)
