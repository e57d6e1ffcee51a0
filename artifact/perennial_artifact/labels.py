"""The labels of a classifier: which row of the head means what, and which of them may be answered.

A label keeps its row for as long as models start from one another, so that ids in logs and exports stay true.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from perennial_artifact.durable import write_atomic
from perennial_artifact.errors import UnusableError

LABELS_FILE = "labels.json"
_FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True)
class LabelSet:
    """Label names by id, and the names that training rows have shown so far."""

    names: tuple[str, ...]
    seen: frozenset[str]

    @property
    def ids(self) -> dict[str, int]:
        """Return the id of every label."""
        return {name: number for number, name in enumerate(self.names)}

    @property
    def seen_ids(self) -> list[int]:
        """Return the ids that may be answered, ascending."""
        return [number for number, name in enumerate(self.names) if name in self.seen]

    def write(self, folder: Path) -> None:
        """Write `labels.json` into a model folder."""
        content = {"format_version": _FORMAT_VERSION, "labels": list(self.names), "seen": [self.names[i] for i in self.seen_ids]}
        write_atomic(folder / LABELS_FILE, (json.dumps(content, ensure_ascii=False, indent=2) + "\n").encode())

    @classmethod
    def read(cls, folder: Path) -> LabelSet:
        """Read a model folder's `labels.json`. Raises `UnusableError` when it is missing, torn or of a newer format."""
        path = folder / LABELS_FILE
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            version, found = content["format_version"], cls(tuple(content["labels"]), frozenset(content["seen"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            message = f"{path} cannot be read ({error})"
            raise UnusableError(message) from error
        if version != _FORMAT_VERSION:
            message = f"{path} has format {version}, this program reads {_FORMAT_VERSION}; upgrade it"
            raise UnusableError(message)
        return found
