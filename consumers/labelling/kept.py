"""What a look at a task found, kept in the place of the last: a JSON file for each task."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from config.files.durable import write_atomic

Found = TypeVar("Found", bound=BaseModel)


def write(folder: Path, found: BaseModel, task: str) -> None:
    """Keep what a look found."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / f"{task}.json", found.model_dump_json(indent=1).encode())


def read(folder: Path, model: type[Found], task: str) -> Found | None:
    """Return what the last look at a task found; None where there was none, or another version of `model` wrote it."""
    try:
        return model.model_validate_json((folder / f"{task}.json").read_bytes())
    except (OSError, ValidationError):
        return None
