"""One guard as it was judged: what was measured, what is allowed, and what follows."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from trainers.compare.metrics.scale import POINTS, MaybeInfinite

Result = Literal["holds", "broken", "not judged"]


class Guard(BaseModel):
    """One guard at one verdict. Numbers are in `unit`; gain, bound and margin of a score on the scale of the scores."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """`slice language:de`, `anchor set`, `calibration error`, `latency`, `p95 as served`, `memory`, `size`, `must_not_break`."""
    result: Result
    in_words: str
    """One sentence: what was measured, what is allowed, and where it cannot be judged what is missing."""
    rows: int | None = None
    """Rows (of `must_not_break`: examples) it was measured on; None where rows play no part."""
    documents: int | None = None
    """The independent pieces of evidence among them."""
    measured: MaybeInfinite | None = None
    """The gain, positive where the candidate is better; else the figure itself."""
    bound: MaybeInfinite | None = None
    """The lower bound of the gain; None where a figure stands for itself."""
    allowed: MaybeInfinite | None = None
    """The margin, as the largest drop; else the largest figure."""
    unit: str = POINTS
    """`points`: numbers are hundredths of these, as of scores."""

    def told(self, value: float | None, *, sign: bool = False) -> str:
        """Return one of its numbers as people read it; empty where there is none."""
        if value is None:
            return ""
        plus = "+" if sign else ""
        return f"{value * 100:{plus}.1f} {self.unit}" if self.unit == POINTS else f"{value:{plus}.4g} {self.unit}".rstrip()
