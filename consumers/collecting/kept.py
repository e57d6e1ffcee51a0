"""How far each source was read: a small file beside the data. Without it all is read again, and nothing is stored twice."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from config.files.durable import write_atomic

FILE_NAME = "sources.json"
_MOST_SEEN = 100_000
"""Of one source: more than any feed has, and than 20 sitemaps of a newspaper."""


class Place(BaseModel):
    """How far one source was read."""

    model_config = ConfigDict(frozen=True)

    etag: str | None = None
    last_modified: str | None = None
    offset: int = 0
    """Of a file: bytes that were read."""
    seen: tuple[str, ...] = ()
    """Event ids that the source gave last."""


class Kept(BaseModel):
    """The places of all sources, by address or path."""

    places: dict[str, Place] = {}

    @classmethod
    def read(cls, data_dir: Path) -> Kept:
        """Read the file; an empty one where it is missing or cannot be read."""
        try:
            return cls.model_validate_json((data_dir / FILE_NAME).read_bytes())
        except (OSError, ValidationError):
            return cls()

    def of(self, source: str) -> Place:
        """Return how far a source was read."""
        return self.places.get(source, Place())

    def keep(self, source: str, place: Place) -> None:
        """Remember how far a source was read."""
        self.places[source] = place.model_copy(update={"seen": tuple(dict.fromkeys(place.seen))[-_MOST_SEEN:]})

    def write(self, data_dir: Path) -> None:
        """Write the file, whole or not at all. Raises OSError."""
        write_atomic(data_dir / FILE_NAME, self.model_dump_json().encode())
