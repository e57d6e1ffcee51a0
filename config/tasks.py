"""The schema of a task file: one thing to learn, with its labels, base model, triggers and promotion policy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from config import filters
from config.clock import MAX_DAYS
from config.errors import UserError
from config.foreign.labels import LabelName, label
from config.kinds import catalog as kinds
from config.kinds.kind import ExcludesLabels, Measures
from config.kinds.regression.dimensions import MAX_DIMENSIONS, Dimension
from config.measured import misfit
from config.prefilter import Prefilter

Verdict = Literal["correction", "confirmation"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)

_TO_WRITE = {
    "name": "write `name:` with lower-case letters, digits and dashes, such as `name: news-topics`",
    "labels": "write `labels: open` (new labels may join) or `labels: closed`",
    "slice": "write `slice: newest`, `slice: corrections`, or one such as `slice: label:sport` or `slice: language:de`",
    "max_drop": "write `max_drop: 0.03` or another largest drop",
}
"""What to write where a key is missing that has no default, whatever the kind."""

MAX_ACCUMULATION = 1_024

# Named in the design and refused until they exist: an option that is not built is never ignored.
_NOT_BUILT_MODES = ("canary", "shadow")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Trigger(_Part):
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


class Refresh(_Part):
    """When the head of a champion is learnt anew between runs; what is below it stays."""

    enabled: Annotated[
        bool | None, Field(description="Whether heads are refreshed at all; left out: yes, but not for entities.")
    ] = None
    min_new_examples: Annotated[int, Field(gt=0, description="Effective new examples that start a refresh.")] = 10
    cooldown_minutes: Annotated[float, Field(ge=0, description="Wall time between any run of this task and a refresh.")] = 5.0


class Training(_Part):
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
    learning_rate: Annotated[float, Field(gt=0, description="Step size of an incremental run.")] = 2e-4
    full_learning_rate: Annotated[float, Field(gt=0, description="Step size of a full or first run.")] = 2e-4
    batch_size: Annotated[int, Field(gt=0, description="Rows per batch.")] = 32
    gradient_accumulation: Annotated[
        int, Field(gt=0, le=MAX_ACCUMULATION, description="Batches per step: their gradients are added.")
    ] = 1
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
            description="Rank of the adapters that an encoder is tuned by (transformer; needs `peft`); null: all weights are.",
        ),
    ] = None
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

    @property
    def only_of_whole_texts(self) -> list[str]:
        """The options that are set and that only kinds whose labels are of whole texts obey."""
        unset = {"exclude_labels": (), "majority_share": None, "max_rows_per_label": None, "class_weights": "none"}
        return [name for name, value in unset.items() if getattr(self, name) != value]


class SliceGuard(_Part):
    """A part of the test rows that must not get worse."""

    slice: Annotated[str, Field(description="`newest`, `corrections`, `label:NAME`, `dimension:NAME` or `language:CODE`.")]
    max_drop: Annotated[
        float, Field(ge=0, description="Largest drop of the metric allowed, in points (0..1); of an unbounded one, as a share.")
    ]
    min_rows: Annotated[int, Field(gt=0, description="The guard is silent below this many rows.")] = 50

    @field_validator("slice")
    @classmethod
    def _label_as_read(cls, name: str) -> str:
        kind, colon, which = name.partition(":")
        return f"{kind}:{label(which)}" if colon and kind == "label" else name


class Promotion(_Part):
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
    max_forgetting: Annotated[
        float, Field(ge=0, description="Largest drop on the anchor set, in points (0..1); of an unbounded metric, as a share.")
    ] = 0.05
    max_latency_ratio: Annotated[
        float, Field(gt=0, description="Candidate's p99 latency over the champion's, both measured in the run.")
    ] = 3.0
    max_size_mib: Annotated[float, Field(gt=0, description="Largest artifact, in mebibytes.")] = 2048.0
    slices: Annotated[tuple[SliceGuard, ...], Field(description="Parts that must not get worse.")] = ()
    baseline: Annotated[
        Literal["majority", "base"],
        Field(description="What a first model must beat: the most frequent label (ner: no entity), or the untouched base."),
    ] = "majority"
    mode: Annotated[
        Literal["auto", "manual"], Field(description="Promote automatically, or wait for `perennial models promote`.")
    ] = "auto"

    @model_validator(mode="before")
    @classmethod
    def _refuse_what_is_not_built(cls, values: Any) -> Any:  # noqa: ANN401 - pydantic hands over whatever the file holds
        if isinstance(values, dict) and values.get("mode") in _NOT_BUILT_MODES:
            message = f"mode {values['mode']!r} is not built yet; use auto or manual"
            raise ValueError(message)
        return values


class FeedbackPolicy(_Part):
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


class TaskSpec(_Part):
    """One task file."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$", description="Lower-case letters, digits and dashes.")]
    kind: Annotated[
        str, Field(description="`ner`, `classification`, `multilabel`, `regression`, or one of `extensions.modules`.")
    ]
    backend: Annotated[
        str, Field(description="Where its models are learnt: `spacy` or `transformer` for ner, else `transformer`.")
    ]
    description: Annotated[str, Field(description="One sentence for people.")] = ""
    base_model: Annotated[
        str, Field(description="`minilm`, a Hugging Face id or a path; for spaCy `blank:LANG` or a pipeline's name or path.")
    ]
    labels: Annotated[Literal["open", "closed"], Field(description="`open`: new labels may join; `closed`: they are refused.")]
    label_names: Annotated[tuple[LabelName, ...], Field(description="Labels known from the start; all of them when closed.")] = ()
    new_label_min_examples: Annotated[int, Field(gt=0, description="Rows that must carry a new label before it joins.")] = 5
    max_labels: Annotated[
        int, Field(gt=1, le=10_000, description="Labels of a model beyond which no new one joins; declared ones always do.")
    ] = 1000
    renames: Annotated[
        dict[LabelName, LabelName], Field(description="Old label -> new label, applied when a training set is frozen.")
    ] = {}
    abstain_below: Annotated[
        float,
        Field(ge=0, le=1, description="An answer whose highest probability is below says `abstained` (classification); 0: none."),
    ] = 0.0
    dimensions: Annotated[
        tuple[Dimension, ...], Field(max_length=MAX_DIMENSIONS, description="What is measured, each with its range (regression).")
    ] = ()
    tiers: Annotated[
        dict[LabelName, Annotated[float, Field(allow_inf_nan=False)]],
        Field(description="Tier -> where it begins on the weighted mean of the dimensions (regression)."),
    ] = {}
    prefilter: Annotated[Prefilter | None, Field(description="Rules by which an import leaves texts out; none by default.")] = (
        None
    )
    trigger: Trigger = Trigger()
    refresh: Refresh = Refresh()
    training: Training = Training()
    promotion: Promotion
    feedback: FeedbackPolicy = FeedbackPolicy()

    @model_validator(mode="before")
    @classmethod
    def _without_labels(cls, values: Any) -> Any:  # noqa: ANN401 - pydantic hands over whatever the file holds
        """Spare a task of numbers the key `labels`."""
        if not isinstance(values, dict) or "labels" in values:
            return values
        named = [kind for kind in kinds.every() if kind.name == values.get("kind")]
        return {**values, "labels": "open"} if named and isinstance(named[0], Measures) else values

    @field_validator("kind")
    @classmethod
    def _registered(cls, name: str) -> str:
        try:
            kinds.get(name)
        except LookupError as error:
            message = f"{error.args[0]}; write one of them, or name the module that brings it in extensions.modules"
            raise ValueError(message) from None
        return name

    @property
    def refreshes(self) -> bool:
        """Whether the champion's head is learnt anew between runs."""
        return not kinds.get(self.kind).positional if self.refresh.enabled is None else self.refresh.enabled

    @model_validator(mode="after")
    def _base_of_the_backend(self) -> Self:
        if self.backend == "transformer" and self.base_model.startswith("blank:"):
            message = f"base_model {self.base_model!r} is one of spaCy's; on backend transformer write minilm, an id or a path"
            raise ValueError(message)
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        kind = kinds.get(self.kind)
        if self.backend not in kind.backends:
            choices = ", ".join(map(repr, kind.backends))
            message = f"kind {self.kind} runs on backend {choices}; {self.backend!r} is not built for it"
            raise ValueError(message)
        if self.promotion.metric not in kind.metrics:
            choices = ", ".join(kind.metrics)
            message = f"promotion.metric {self.promotion.metric!r} does not fit kind {self.kind}; choose one of {choices}"
            raise ValueError(message)
        if self.abstain_below and not {"label", "scores"} <= kind.shown.model_fields.keys():
            message = (
                f"abstain_below needs one label a text and its probability, and answers of kind {self.kind} differ; remove it"
            )
            raise ValueError(message)
        if self.training.contradicted_weight < 1.0 and "label" not in kind.shown.model_fields:
            message = f"training.contradicted_weight needs one label a text, and kind {self.kind} has others; remove it"
            raise ValueError(message)
        if (problem := misfit(self, measured=isinstance(kind, Measures))) is not None:
            raise ValueError(problem)
        if not isinstance(kind, ExcludesLabels) and (unfit := self.training.only_of_whole_texts):
            message = f"training.{unfit[0]} does not fit kind {self.kind}; remove it"
            raise ValueError(message)
        if both := sorted({*self.label_names} & {*self.training.exclude_labels}):
            message = (
                f"training.exclude_labels excludes {', '.join(both)}, which label_names declares; remove it from one of them"
            )
            raise ValueError(message)
        if self.labels == "closed" and not self.label_names:
            message = "labels: closed needs label_names, the labels that are allowed"
            raise ValueError(message)
        if len(set(self.label_names)) != len(self.label_names):
            message = "label_names holds a label twice; remove one"
            raise ValueError(message)
        return self

    def accepts_label(self, label: str) -> bool:
        """Return whether an example may carry `label` (after renames)."""
        return self.labels == "open" or self.renames.get(label, label) in self.label_names


def load_task(path: Path) -> TaskSpec:
    """Read one task file. Raises `UserError` naming file, key, what is wrong and the choices."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        message = f"{path} cannot be read as YAML: {error}"
        raise UserError(message) from None
    if not isinstance(content, dict):
        message = f"{path} must hold a mapping of keys such as `name:` and `kind:`; it holds {type(content).__name__}"
        raise UserError(message)
    return _validated(content, path)


def load_filter(folder: Path) -> TaskSpec:
    """Read a filter folder as a task (`config.filters`). Raises `UserError` as `load_task` does."""
    return _validated(filters.content_of(folder), folder / filters.CONFIG_FILE)


def _validated(content: Mapping[str, Any], path: Path) -> TaskSpec:
    try:
        return TaskSpec.model_validate(content)
    except ValidationError as error:
        lines = [_explain(problem) for problem in error.errors()]
        raise UserError("\n".join(f"{path}: {line}" for line in lines)) from None


def load_tasks(folder: Path) -> dict[str, TaskSpec]:
    """Read every `*.yaml` and every filter folder in `folder`, keyed by task name.

    Raises `UserError` when one is wrong, doubled, or none is there.
    """
    if not folder.is_dir():
        message = f"the folder of task files {folder} does not exist; set tasks_dir or create it"
        raise UserError(message)
    tasks: dict[str, TaskSpec] = {}
    for path in (*sorted(folder.glob("*.yaml")), *filters.filters_in(folder)):
        task = load_filter(path) if path.is_dir() else load_task(path)
        if task.name in tasks:
            message = f"{path}: task {task.name!r} is defined in two files; rename one"
            raise UserError(message)
        tasks[task.name] = task
    if not tasks:
        message = f"no task file (*.yaml) and no filter folder in {folder}; copy one of the shipped ones there"
        raise UserError(message)
    return tasks


def changes(before: Mapping[str, TaskSpec], after: Mapping[str, TaskSpec]) -> dict[str, list[str]]:
    """Return the names of the tasks that were `added`, `removed` and `changed`."""
    return {
        "added": sorted(after.keys() - before.keys()),
        "removed": sorted(before.keys() - after.keys()),
        "changed": sorted(name for name in before.keys() & after.keys() if before[name] != after[name]),
    }


def _explain(problem: Any) -> str:  # noqa: ANN401 - pydantic's ErrorDetails
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        parts: dict[str, type[BaseModel]] = {
            "trigger": Trigger,
            "refresh": Refresh,
            "training": Training,
            "promotion": Promotion,
            "feedback": FeedbackPolicy,
            "dimensions": Dimension,
        }
        parent = parts.get(str(problem["loc"][0]) if len(problem["loc"]) > 1 else "", TaskSpec)
        return f"unknown key `{key}`; the keys there are {', '.join(parent.model_fields)}"
    if problem["type"] == "missing":
        return f"key `{key}` is missing; {_to_write(str(problem['loc'][-1]))}"
    message = problem["msg"].removeprefix("Value error, ")
    return f"`{key}`: {message}, got {problem['input']!r}" if key else message


def _to_write(key: str) -> str:
    """Return what to write where a key is missing that has no default."""
    every = kinds.every()
    if key == "kind":
        return "write " + " or ".join(f"`kind: {kind.name}` ({kind.words.about})" for kind in every)
    if key == "backend":
        return "write " + " or ".join(f"`backend: {backend}` (for {kind.name})" for kind in every for backend in kind.backends)
    if key == "base_model":
        others = "".join(f"; for {kind.name} {kind.words.base_model}" for kind in every if kind.words.base_model)
        return f"write `base_model: minilm`, a Hugging Face id or a path{others}"
    if key in ("promotion", "metric"):
        choices = ", or ".join(f"{' or '.join(f'`metric: {name}`' for name in kind.metrics)} ({kind.name})" for kind in every)
        return f"write `promotion:` and under it {choices}" if key == "promotion" else f"write {choices}"
    return _TO_WRITE.get(key, "add it")
