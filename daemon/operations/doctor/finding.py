"""What one check of an installation found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found, and the remedy where something is to be done."""

    check: str
    level: Level
    found: str
    remedy: str = ""
