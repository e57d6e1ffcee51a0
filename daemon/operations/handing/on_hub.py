"""What was published on the Hugging Face Hub, or would be, whatever it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class OnHub:
    """A repository there, and what is in it."""

    repo: str
    private: bool
    dry_run: bool
    already: bool
    """The same files were there, under the tag where there is one: nothing was sent."""
    files: Mapping[str, int]
    """Bytes of each file by its path."""
    card: str
    url: str

    @property
    def size_bytes(self) -> int:
        """Bytes of all files."""
        return sum(self.files.values())
