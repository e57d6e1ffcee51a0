"""What readings have learnt of hosts: their rules, when they were asked, and until when they are left alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from urllib.robotparser import RobotFileParser


@dataclass(frozen=True, slots=True)
class Manners:
    """One object goes from reading to reading; a new one has forgotten everything. One thread at a time."""

    rules: dict[str, tuple[datetime, RobotFileParser]] = field(default_factory=dict)
    """By scheme and host: what robots.txt says, and when it was read."""
    asked_at: dict[str, datetime] = field(default_factory=dict)
    """By host: the last request, one for robots.txt too."""
    read_at: dict[str, datetime] = field(default_factory=dict)
    """By host: the last request for anything else. A host's `Crawl-delay` counts from there."""
    not_before: dict[str, datetime] = field(default_factory=dict)
    """By host: until when it is left alone."""
