"""The section `promotion` of a task file: when a candidate becomes champion."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from config.clock import MAX_DAYS
from config.foreign.labels import label
from config.task_files.sections.limits import Limit
from config.task_files.sections.section import Section

# Named in the design and refused until they exist: an option that is not built is never ignored.
_NOT_BUILT_MODES = ("canary", "shadow")

PLAIN_SLICES = ("newest", "oldest", "shortest", "longest", "corrections")
"""Slices without a name: quarters of the test rows by event time and by length, and corrections."""
NAMED_SLICES = ("label", "language", "source", "dimension", "signal")


class SliceGuard(Section):
    """A part of the test rows that must not get worse."""

    slice: Annotated[
        str,
        Field(
            description="`newest`, `oldest`, `shortest`, `longest` (quarters), `corrections`, `label:NAME`, `language:CODE`, "
            "`source:NAME`, `dimension:NAME` or `signal:NAME`."
        ),
    ]
    max_drop: Annotated[
        float, Field(ge=0, description="Margin: largest drop of the metric, in points (0..1); of an unbounded one, as a share.")
    ]
    min_rows: Annotated[int, Field(gt=0, description="With fewer rows the guard cannot be judged.")] = 50

    @field_validator("slice")
    @classmethod
    def _known(cls, name: str) -> str:
        kind, colon, which = name.partition(":")
        if (kind not in NAMED_SLICES or not which) if colon else kind not in PLAIN_SLICES:
            named = ", ".join(f"{field}:NAME" for field in NAMED_SLICES)
            message = f"is no slice; write one of {', '.join(PLAIN_SLICES)}, {named}"
            raise ValueError(message)
        return f"{kind}:{label(which)}" if kind == "label" else name


class SafeRefresh(Section):
    """A second way to be promoted: not worse anywhere, and better on the newest rows."""

    max_drop: Annotated[
        float, Field(gt=0, description="Margin on all test rows, in points (0..1); of an unbounded metric, as a share.")
    ]
    newest_days: Annotated[
        float, Field(gt=0, le=MAX_DAYS, description="The newest window: test rows this far back from the newest (event time).")
    ] = 30.0
    min_rows: Annotated[int, Field(gt=0, description="Rows of the newest window below which nothing is promoted this way.")] = 100


class Promotion(Section):
    """When a candidate becomes champion."""

    metric: Annotated[str, Field(description="What decides: one of the metrics of the task's kind.")]
    min_improvement: Annotated[float, Field(ge=0, description="The gain must exceed this.")] = 0.05
    improvement: Annotated[
        Literal["relative", "absolute", "error_reduction"],
        Field(description="How the gain is read: share of the champion's score, points or units, or share of its errors."),
    ] = "relative"
    confidence: Annotated[float, Field(gt=0.5, lt=1, description="One-sided level of the lower bound.")] = 0.95
    min_test_examples: Annotated[int, Field(gt=0, description="Test rows below which nothing is decided.")] = 200
    window_days: Annotated[
        float, Field(gt=0, le=MAX_DAYS, description="Test rows this far back from the newest decide (event time).")
    ] = 90.0
    retire_test_rows: Annotated[
        bool, Field(description="Test rows that have judged and lie behind the window train from then on, once enough are newer.")
    ] = True
    max_forgetting: Annotated[
        float,
        Field(ge=0, description="Margin: largest drop on the anchor set, in points (0..1); of an unbounded metric, as a share."),
    ] = 0.05
    anchor_rows: Annotated[
        int,
        Field(ge=0, description="Rows up to which the oldest held-out documents become the anchor set; 0: imported ones alone."),
    ] = 300
    max_calibration_rise: Annotated[
        float | None,
        Field(ge=0, le=1, description="Margin: largest rise of the calibration error (0..1); null: it is no guard."),
    ] = None
    max_latency_ratio: Annotated[
        float, Field(gt=0, description="Candidate's p95 latency over the champion's, both measured in the run.")
    ] = 3.0
    max_p95_ms: Annotated[
        float | None,
        Field(gt=0, description="Longest p95 of one text, in milliseconds, as it is served (sandbox); null: it is no guard."),
    ] = None
    max_memory_mib: Annotated[
        float | None,
        Field(gt=0, description="Most memory, in mebibytes, of a process that serves it (sandbox); null: it is no guard."),
    ] = None
    max_size_mib: Annotated[float, Field(gt=0, description="Largest artifact, in mebibytes.")] = 2048.0
    slices: Annotated[tuple[SliceGuard, ...], Field(description="Parts that must not get worse.")] = ()
    guard_error: Annotated[
        float,
        Field(gt=0, lt=0.5, description="Probability that the bound of any guard is wrong; it is divided over those judged."),
    ] = 0.05
    strict: Annotated[
        bool, Field(description="A guard that cannot be judged pauses the promotion, instead of being reported alone.")
    ] = False
    safe_refresh: Annotated[
        SafeRefresh | None,
        Field(description="Promote also what is better on the newest rows and not worse anywhere; null: only what is better."),
    ] = None
    limits: Annotated[
        dict[str, Limit], Field(description="Absolute limits by metric: what a candidate must reach, whatever the champion does.")
    ] = Field(default_factory=dict)
    review: Annotated[
        Literal["wait", "promote"],
        Field(description="A candidate between two of these limits: a person promotes it, or the gate does."),
    ] = "wait"
    overfitting_from: Annotated[
        float,
        Field(
            gt=0,
            description="Reports call it over-fitting where training rows score so much better, in points (0..1) or as a share.",
        ),
    ] = 0.2
    baseline: Annotated[
        Literal["majority", "base", "keywords"],
        Field(
            description="What a first model must beat: the most frequent label (ner: no entity), the untouched base, or keywords."
        ),
    ] = "majority"
    mode: Annotated[
        Literal["auto", "manual"], Field(description="Promote automatically, or wait for `perennial models promote`.")
    ] = "auto"

    @property
    def ways(self) -> int:
        """In how many ways a candidate may be promoted: each gets its share of the level."""
        return 1 if self.safe_refresh is None else 2

    @model_validator(mode="before")
    @classmethod
    def _refuse_what_is_not_built(cls, values: object) -> object:
        if isinstance(values, dict) and values.get("mode") in _NOT_BUILT_MODES:
            message = f"mode {values['mode']!r} is not built yet; use auto or manual"
            raise ValueError(message)
        return values
