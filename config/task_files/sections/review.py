"""The section `review` of a task file: whether people are asked where two models disagree, and how much."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from config.task_files.sections.section import Section


class Review(Section):
    """What people are asked where candidate and champion answer differently, once a comparison had too little evidence."""

    disagreement: Annotated[
        bool, Field(description="Whether such texts are asked about at all, at the desk, by command and over HTTP.")
    ] = True
    per_week: Annotated[int, Field(ge=1, le=1_000, description="At most so many texts are asked about in a week.")] = 20
    pool_rows: Annotated[
        int, Field(ge=10, le=100_000, description="At most so many articles without a label are answered by both models.")
    ] = 5_000
    agreements_share: Annotated[
        float, Field(ge=0.01, le=0.9, description="Of the texts asked about, the share on which both answer alike.")
    ] = 0.1
    days: Annotated[
        float, Field(ge=1, le=365, description="A pair of models is asked about for so many days; then it stays undecided.")
    ] = 182.0
