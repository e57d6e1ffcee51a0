"""What a student is beside its teacher, on the same rows."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Figures(BaseModel):
    """One of the two."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    score: float
    """The task's metric on the test rows."""
    texts_per_s: float
    """Answered in batches of 64, by the same process."""
    size_mib: float


class Beside(BaseModel):
    """The student and its teacher on the test rows of the run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    teacher: str
    """Its version, or its path."""
    metric: str
    rows: int
    """Test rows that both answered; 0: no score is known."""
    of_teacher: Figures
    of_student: Figures
    gap: float
    """By how much the teacher is better, on the scale of the metric; below 0 where the student is."""
    answered: int
    """Training rows for which the teacher's answers counted."""
    unlabelled: int
    """Articles without a label that it labelled for the student."""
