"""The note a complete backup leaves in the data folder, for the metric and its alarm."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

from config.files.durable import write_atomic

FILE_NAME = "last_backup.json"


def write(data_dir: Path, folder: Path, completed_at: datetime) -> None:
    """Note a complete backup."""
    content = {"folder": str(folder), "completed_at": completed_at.isoformat()}
    write_atomic(data_dir / FILE_NAME, json.dumps(content).encode())


def last_backup_at(data_dir: Path) -> datetime | None:
    """Return when the last backup was complete, None when none is on record."""
    try:
        return datetime.fromisoformat(json.loads((data_dir / FILE_NAME).read_text(encoding="utf-8"))["completed_at"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
