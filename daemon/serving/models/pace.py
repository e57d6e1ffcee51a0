"""How much of a model's work fits into the time that others may be made to wait: learnt from the calls that were made."""

from __future__ import annotations

from perennial_artifact.portions import MAX_CHARS

CALL_S = 0.04
"""What a call to a model should take: a short text that comes meanwhile waits for this one, and perhaps for one more."""
LEAST_CHARS = 500
"""However slow a model is, a call holds so many characters, or one part. What smaller calls take is left aside: much of it is
the same for every call."""
_FORGETS = 0.9


class Pace:
    """The pace of one model. One thread uses it at a time."""

    def __init__(self, s_per_char: float = 0.0) -> None:
        """`s_per_char` is what a character takes, in seconds; 0: not known, so calls have the full size."""
        self.s_per_char = s_per_char

    def limit(self) -> int:
        """Return the characters of a call that takes about `CALL_S`, from `LEAST_CHARS` to `MAX_CHARS`."""
        if self.s_per_char * MAX_CHARS <= CALL_S:
            return MAX_CHARS
        return min(MAX_CHARS, max(LEAST_CHARS, int(CALL_S / self.s_per_char)))

    def note(self, chars: int, seconds: float) -> None:
        """Learn from a call of so many characters: at once where it was slower than expected, slowly where it was quicker."""
        if chars >= LEAST_CHARS:
            self.s_per_char = max(seconds / chars, _FORGETS * self.s_per_char)
