"""The section `feedback` of a task file: what users' answers weigh."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field

from config.task_files.sections.section import Section

Verdict = Literal["correction", "confirmation"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


class FeedbackPolicy(Section):
    """What users' answers weigh."""

    correction_weight: Annotated[float, Field(gt=0, le=1, description="Weight of a correction beside a gold row's 1.")] = 1.0
    confirmation_weight: Annotated[float, Field(ge=0, le=1, description="Weight of a confirmation.")] = 0.3
    corrections_answer: Annotated[
        bool, Field(description="Whether a trusted correction answers for its own text until a champion has learnt it.")
    ] = True
    max_share: Annotated[float, Field(gt=0, le=1, description="Largest share of feedback in a run's rows.")] = 0.5
    max_user_share: Annotated[float, Field(gt=0, le=1, description="Largest share of one user's rows in a run.")] = 0.2

    def weight(self, verdict: str | None) -> float:
        """Return what a row weighs: 1 for an answer that nobody gave as a verdict."""
        weights = {"correction": self.correction_weight, "confirmation": self.confirmation_weight}
        return weights[verdict] if verdict else 1.0
