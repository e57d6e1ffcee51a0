"""A quick trial on a part of the rows: what it scored beside champion and baseline. Nothing of it is published or promoted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from daemon.views.models.comparison import Scale
from daemon.views.view import JsonFloat, View


class Score(View):
    """One model's score on the rows that were tested."""

    who: Literal["trial", "champion", "baseline"]
    name: str
    """What people read, such as `news-topics/v3`."""
    score: JsonFloat


class Trial(View):
    """What a trial found."""

    task: str
    published: Literal[False] = False
    promoted: Literal[False] = False
    full: bool
    """From the base model; else it went on from the champion."""
    went_on_from: str | None
    set_for_it: Mapping[str, int | float]
    """What was set otherwise than in the task file."""
    learnt: int
    """Rows it learnt from."""
    learnt_of: int
    """Rows that a run would have learnt from."""
    tested: int
    tested_of: int
    metric: str
    scale: Scale
    scores: tuple[Score, ...]
    """The trial's, the champion's where there is one, and the baseline's."""
    gain: JsonFloat
    """Over the champion, else over the baseline; positive where the trial is better."""
    lower_bound: JsonFloat
    upper_bound: JsonFloat
    confidence: float
    train_s: float
    score_s: float
    seconds: float
    """All together: freezing, starting and loading too."""
    examples_per_s: float
    peak_memory_mib: float
    hardware: str
