"""What a candidate takes and says where it is opened as serving opens it, as far as the gate looks at it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Served(BaseModel):
    """What the sandbox measured. None: it did not, because the head alone is new and was asked alone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    p95_ms: float | None = None
    """Of one text at a time."""
    peak_memory_mib: float | None = None
    """Of a process that holds this model and answers."""
    examples: int = 0
    """Of `must_not_break`, all that were asked."""
    broken: int = 0
    """Those of them that were answered otherwise."""
