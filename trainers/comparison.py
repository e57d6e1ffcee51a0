"""Candidate and champion on identical rows: per-example scores become one Comparison."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Slice(_Value):
    """A part of the rows, scored by both."""

    name: str
    rows: int
    champion_score: float
    candidate_score: float

    @property
    def gain(self) -> float:
        """Candidate minus champion, in points (0..1)."""
        return self.candidate_score - self.champion_score


class Latency(_Value):
    """Time to answer one text, measured in the same child, in milliseconds."""

    p50_ms: float
    p99_ms: float


class Comparison(_Value):
    """Both models on the deciding rows, with what the gate needs to know. Scores are 0..1, higher is better."""

    task: str
    metric: str
    candidate_run: str
    champion_version: str | None
    """None: compared with the declared baseline, as for a first model."""
    opponent: str
    """What people read: `news-topics/v3` or `baseline: most frequent label`."""
    rows: int
    stories: int
    champion_score: float
    candidate_score: float
    gain: float
    """Candidate minus champion, in points."""
    confidence: float
    lower_bound: float
    """Of the gain, one-sided, paired bootstrap clustered by story."""
    upper_bound: float
    standard_error: float
    p_equal: float
    """One-sided probability of a gain this large if both were equal."""
    discordant: float
    """Share of rows on which exactly one of the two was right."""
    required_gain: float
    """The policy's minimum improvement in points, given the champion's score (infinite when it cannot be reached)."""
    required_rows: int
    """Rows at which an equal candidate shows the required gain in fewer than 1 of 100 looks."""
    anchor: Slice | None = None
    slices: tuple[Slice, ...] = ()
    candidate_latency: Latency | None = None
    champion_latency: Latency | None = None
    size_mib: float = 0.0
    looks: int = 1
    """How often these rows have been looked at, the present look included (mean, rounded up)."""
