"""What a restore that was killed leaves in the data folder: a copy of all texts, removed by the next restore or the daemon."""

from __future__ import annotations

from pathlib import Path

from config.files import scratch

STAGING_PREFIX = ".restore-"


def sweep(data_dir: Path) -> int:
    """Remove what no living restore holds; return how many folders those were."""
    return scratch.sweep(data_dir.glob(f"{STAGING_PREFIX}*"))
