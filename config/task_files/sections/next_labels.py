"""The section `next_labels` of a task file: the mix of texts that people are asked to label next."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from config.task_files.sections.section import Section

Share = Annotated[float, Field(ge=0, le=1)]


class NextLabels(Section):
    """By what texts without a label are chosen; the shares count in proportion to their sum."""

    uncertain: Annotated[Share, Field(description="Share of those of which two labels are nearly as probable.")] = 0.7
    diverse: Annotated[Share, Field(description="Share of those that are unlike everything that is labelled.")] = 0.05
    short: Annotated[Share, Field(description="Share of those that may carry a label of which there are few.")] = 0.05
    random: Annotated[
        Share, Field(description="Share of those drawn at random, which no model has a part in: on the test side they decide.")
    ] = 0.2
    enough: Annotated[int, Field(ge=1, le=100_000, description="A label with fewer training texts than that is scarce.")] = 50
    pool_rows: Annotated[
        int, Field(ge=10, le=100_000, description="The newest so many articles without a label are looked at.")
    ] = 10_000
