"""The sections of a task file: when it trains, how it learns, what is promoted, how feedback counts."""

from __future__ import annotations

from typing import Annotated, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from config.clock import MAX_DAYS
from config.foreign.labels import LabelName, label
from config.task_files.limits import Limit
from config.task_files.rates import Rate

Verdict = Literal["correction", "confirmation"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)

MAX_ACCUMULATION = 1_024
TAUGHT_KINDS = ("classification", "multilabel", "regression", "ner", "signals")
"""Those whose tasks may have a `training.teacher`."""
MAX_PROCESSES = 64

# Named in the design and refused until they exist: an option that is not built is never ignored.
_NOT_BUILT_MODES = ("canary", "shadow")


class Section(BaseModel):
    """Frozen, and refuses a key that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Trigger(Section):
    """When a run starts."""

    min_new_examples: Annotated[int, Field(gt=0, description="Effective new examples that start an incremental run.")] = 100
    cooldown_minutes: Annotated[float, Field(ge=0, description="Wall time between two runs of this task.")] = 10.0
    first_run_wait_minutes: Annotated[
        float, Field(ge=0, description="Longest time that a first run waits for texts of an import, where they bring test rows.")
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
    cooldown_minutes: Annotated[float, Field(ge=0, description="Wall time between any run of this task and a refresh.")] = 5.0


class Training(Section):
    """How a run learns."""

    tuning: Annotated[
        Literal["auto", "always", "never"],
        Field(description="Whether a run tunes the encoder (transformer): `auto` unless tuning has not paid on newer rows."),
    ] = "auto"
    tuning_rows: Annotated[
        int, Field(gt=0, description="Rows one tuning reads, each pass counted: all, or the new ones and a sample (transformer).")
    ] = 10_000
    full_tuning_rows: Annotated[
        int, Field(gt=0, description="The same in a full or first run: all, or a sample of so many (transformer).")
    ] = 40_000
    epochs: Annotated[int, Field(gt=0, description="Passes over the rows in an incremental run, at most.")] = 2
    full_epochs: Annotated[int, Field(gt=0, description="Passes over the rows in a full or first run, at most.")] = 3
    learning_rate: Annotated[
        Rate, Field(description="Step size of an incremental run; `auto`: by the size of the base (transformer).")
    ] = 2e-4
    full_learning_rate: Annotated[Rate, Field(description="Step size of a full or first run; `auto` likewise.")] = 2e-4
    layer_decay: Annotated[
        float,
        Field(gt=0, le=1, description="Share of a layer's step size that the layer below it has (transformer); 1: all alike."),
    ] = 1.0
    batch_size: Annotated[int, Field(gt=0, description="Rows per batch.")] = 32
    gradient_accumulation: Annotated[
        int, Field(gt=0, le=MAX_ACCUMULATION, description="Batches per step: their gradients are added.")
    ] = 1
    gradient_checkpointing: Annotated[
        bool,
        Field(description="Compute what a layer gives once more instead of keeping it: less memory, more time (transformer)."),
    ] = False
    auto_batch_size: Annotated[
        bool,
        Field(description="Make batches as small as the memory there is asks for; the rows of a step stay (transformer)."),
    ] = False
    processes: Annotated[
        int,
        Field(
            ge=1, le=MAX_PROCESSES, description="Processes that tune together, each with a GPU or core of its own (transformer)."
        ),
    ] = 1
    early_stopping: Annotated[
        int | None,
        Field(
            gt=0, description="End tuning after so many epochs that answer rows kept back no better (transformer); null: never."
        ),
    ] = None
    max_tokens: Annotated[
        int, Field(gt=0, description="A longer text is cut, for entities read in windows of so many tokens (transformer).")
    ] = 128
    replay_ratio: Annotated[float, Field(ge=0, description="Older rows that join each new one in an incremental run.")] = 1.0
    replay_floor: Annotated[
        int,
        Field(ge=0, description="Older rows that join an incremental run at least, however few are new (entities)."),
    ] = 600
    replay_epochs: Annotated[
        int | None,
        Field(
            gt=0,
            description="Passes over older rows in an incremental run, more for rare types (entities); else as many as over new.",
        ),
    ] = None
    max_rows: Annotated[
        int, Field(gt=0, description="Most rows a run learns from: the new ones, newest first, then older ones of all ages.")
    ] = 20_000
    contradicted_weight: Annotated[
        float,
        Field(
            gt=0, le=1, description="What a label keeps of its weight where heads fitted on others contradict it (transformer)."
        ),
    ] = 1.0
    feature_blocks: Annotated[
        tuple[Literal["base", "ngrams"], ...],
        Field(
            description="What a head reads beside the encoder's features (transformer): the `base` model's, `ngrams` of words."
        ),
    ] = ()
    exclude_labels: Annotated[
        tuple[LabelName, ...], Field(description="Labels that are neither learnt nor tested (classification, multilabel).")
    ] = ()
    majority_share: Annotated[
        float | None,
        Field(
            gt=0,
            lt=1,
            description="Largest share of the most frequent label in a run's rows (labels of whole texts); null: as is.",
        ),
    ] = None
    max_rows_per_label: Annotated[
        int | None, Field(gt=0, description="Most rows of any label that a run learns from (labels of whole texts); null: all.")
    ] = None
    class_weights: Annotated[
        Literal["none", "balanced"],
        Field(description="`balanced`: all labels weigh alike in learning, however often they come (labels of whole texts)."),
    ] = "none"
    dropout: Annotated[float, Field(ge=0, lt=1, description="Share of activations dropped in training (spaCy).")] = 0.1
    lora_rank: Annotated[
        int | None,
        Field(
            gt=0,
            le=256,
            description="Rank of the adapters that a base is tuned by (transformer; needs `peft`); null: all weights are tuned.",
        ),
    ] = None
    lora_alpha: Annotated[
        int | None,
        Field(gt=0, le=4096, description="What an adapter adds is multiplied by alpha / rank; null: twice the rank."),
    ] = None
    lora_targets: Annotated[
        tuple[Annotated[str, Field(pattern=r"^\w+(\.\w+)*$", max_length=200)], ...],
        Field(description="The linear layers that adapters stand at, by the ends of their names; none: all of them."),
    ] = ()
    teacher: Annotated[
        Annotated[str, Field(min_length=1, max_length=1_000)] | None,
        Field(
            description="A model that the task's, on a smaller base, learns from too: `champion`, `TASK/vN`, a path; null: none."
        ),
    ] = None
    teacher_share: Annotated[
        float, Field(gt=0, le=1, description="What the teacher's answers count beside gold; of texts without gold their weight.")
    ] = 0.5
    teacher_temperature: Annotated[
        float, Field(ge=1, le=20, description="What tuning divides both models' logits by where the teacher's count (labels).")
    ] = 2.0
    teacher_rows: Annotated[
        int, Field(ge=0, le=1_000_000, description="Articles without a label, newest first, that the teacher labels; 0: none.")
    ] = 2_000
    loss: Annotated[
        Literal["mse", "huber"],
        Field(description="What a regression minimises: squared errors, or large ones by their size alone (`huber`)."),
    ] = "mse"

    @field_validator("feature_blocks")
    @classmethod
    def _each_block_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            message = f"names a block twice: {', '.join(names)}"
            raise ValueError(message)
        return names

    @model_validator(mode="after")
    def _adapters_have_a_rank(self) -> Self:
        if self.lora_rank is None and (given := [name for name in ("lora_alpha", "lora_targets") if getattr(self, name)]):
            message = f"{given[0]} is of adapters, and no rank is given; write `lora_rank: 16`, or remove it"
            raise ValueError(message)
        return self

    @property
    def only_of_transformers(self) -> list[str]:
        """The options that are set and that only learners on a transformer obey."""
        unset = {
            "layer_decay": 1.0,
            "gradient_checkpointing": False,
            "auto_batch_size": False,
            "early_stopping": None,
            "processes": 1,
            "lora_rank": None,
        }
        rates = [name for name in ("learning_rate", "full_learning_rate") if getattr(self, name) == "auto"]
        return [*rates, *(name for name, value in unset.items() if getattr(self, name) != value)]

    @property
    def only_of_whole_texts(self) -> list[str]:
        """The options that are set and that only kinds whose labels are of whole texts obey."""
        unset = {"exclude_labels": (), "majority_share": None, "max_rows_per_label": None, "class_weights": "none"}
        return [name for name, value in unset.items() if getattr(self, name) != value]


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
