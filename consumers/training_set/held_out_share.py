"""Which share of new documents a task holds out: more of them while it has fewer test rows than a verdict needs. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HeldOutShare:
    """A share, and what it follows from."""

    share: float
    """Of the documents, or stories, that are placed from now on, 0..1. Those that are placed already stay where they are."""
    configured: float
    """`enrich.test_fraction`."""
    test_rows: int
    """Test rows within the window."""
    needed: int
    """Test rows that the last comparison would have needed; 0 where it was decided, or rows were not what it lacked."""

    @property
    def raised(self) -> bool:
        """Whether more is held out than is configured."""
        return self.share > self.configured

    @property
    def sentence(self) -> str:
        """The share in words, with the reason where it is raised."""
        if not self.raised:
            return f"holds out {100 * self.share:.3g} % of new documents"
        return (
            f"holds out {100 * self.share:.3g} % of new documents because it has {self.test_rows:,} of the {self.needed:,} "
            f"test rows that the last comparison needed; then {100 * self.configured:.3g} % again"
        )


def held_out_share(*, configured: float, most: float, test_rows: int, needed: int) -> HeldOutShare:
    """Return the share of a task that has `test_rows` within the window and needs `needed`.

    `most` (`enrich.max_test_fraction`) at or below `configured` turns the raising off. What is held out at a lower share is held
    out at a higher one too: a document's place is its hash, and its place is looked at once.
    """
    share = max(configured, most) if test_rows < needed else configured
    return HeldOutShare(share, configured, test_rows, needed)
