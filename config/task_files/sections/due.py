"""The sections `trigger` and `refresh` of a task file: when a run starts, and when a head is learnt anew between runs."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from config.clock import MAX_DAYS
from config.task_files.sections.section import Section
from config.values import NotNegativeMinutes


class Trigger(Section):
    """When a run starts."""

    min_new_examples: Annotated[int, Field(gt=0, description="Effective new examples that start an incremental run.")] = 100
    cooldown_minutes: Annotated[NotNegativeMinutes, Field(description="Wall time between two runs of this task.")] = 10.0
    first_run_wait_minutes: Annotated[
        NotNegativeMinutes,
        Field(description="Longest time that a first run waits for texts of an import, where they bring test rows."),
    ] = 15.0
    max_age_days: Annotated[
        float, Field(gt=0, le=MAX_DAYS, description="New examples older than this start a run even below the threshold ...")
    ] = 7.0
    max_age_min_examples: Annotated[int, Field(gt=0, description="... when there are at least this many.")] = 20
    weekly: Annotated[bool, Field(description="Take part in the weekly full run.")] = True


class Refresh(Section):
    """When the head of a champion is learnt anew between runs; what is below it stays."""

    enabled: Annotated[
        bool | None, Field(description="Whether heads are refreshed at all; left out: yes, but not for entities.")
    ] = None
    min_new_examples: Annotated[int, Field(gt=0, description="Effective new examples that start a refresh.")] = 10
    cooldown_minutes: Annotated[
        NotNegativeMinutes, Field(description="Wall time between any run of this task and a refresh.")
    ] = 5.0
