"""How a version fared against the one it was compared with, as its run recorded it."""

from __future__ import annotations

from daemon.views.view import JsonFloat, Recorded


class Part(Recorded):
    """A part of the rows, scored by both: the anchor set, or a slice."""

    name: str
    rows: int
    champion_score: float
    candidate_score: float


class Comparison(Recorded):
    """Both models on the rows that decide. The figures are those of `trainers.compare.comparison.Comparison`.

    None: the version of the program that recorded it did not say.
    """

    metric: str | None = None
    opponent: str | None = None
    """What people read: `news-topics/v3` or `baseline: most frequent label`."""
    champion_version: str | None = None
    """None: compared with the declared baseline, as for a first version."""
    rows: int | None = None
    stories: int | None = None
    champion_score: float | None = None
    candidate_score: float | None = None
    gain: float | None = None
    """Candidate minus champion, in points."""
    lower_bound: float | None = None
    upper_bound: float | None = None
    confidence: float | None = None
    required_gain: JsonFloat | None = None
    """Infinite where it cannot be reached."""
    looks: int | None = None
    """How often these rows have been looked at."""
    anchor: Part | None = None
    slices: tuple[Part, ...] = ()
