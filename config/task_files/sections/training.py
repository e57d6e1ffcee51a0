"""The section `training` of a task file: how a run learns."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from config.foreign.labels import LabelName
from config.task_files.sections.rates import Rate
from config.task_files.sections.section import Section

MAX_ACCUMULATION = 1_024
TAUGHT_KINDS = ("classification", "multilabel", "regression", "ner", "signals")
"""Those whose tasks may have a `training.teacher`."""
MAX_PROCESSES = 64


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
