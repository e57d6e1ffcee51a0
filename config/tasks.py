"""The schema of a task file: one thing to learn, with its labels, base model, triggers and promotion policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from config.errors import UserError
from config.foreign.labels import LabelName
from config.kinds import catalog as kinds
from config.kinds.kind import ExcludesLabels, HasKeywords, Kind, Measures
from config.kinds.regression.dimensions import MAX_DIMENSIONS, Dimension
from config.kinds.signals.categories import MAX_CATEGORIES, Category
from config.task_files import built, filters, measured, problems
from config.task_files.labels import label_problems, label_words
from config.task_files.labels.label_words import Hypothesis, LabelWords
from config.task_files.sections import limits
from config.task_files.sections.due import Refresh, Trigger
from config.task_files.sections.feedback import FeedbackPolicy
from config.task_files.sections.must_not_break import MOST_EXAMPLES, Example
from config.task_files.sections.must_not_break import misfit as unfit_example
from config.task_files.sections.next_labels import NextLabels
from config.task_files.sections.oracle import Oracle
from config.task_files.sections.oracle import misfit as unfit_oracle
from config.task_files.sections.prefilter import Prefilter
from config.task_files.sections.promotion import Promotion
from config.task_files.sections.quality import Quality
from config.task_files.sections.review import Review
from config.task_files.sections.section import Section
from config.task_files.sections.training import TAUGHT_KINDS, Training
from config.task_files.sections.weak_labels import WeakLabels
from config.task_files.sections.weak_labels import keywords_of as keywords_of_rules
from config.task_files.sections.weak_labels import misfit as unfit_rules
from perennial_artifact.keywords import Keywords


class TaskSpec(Section):
    """One task file."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$", description="Lower-case letters, digits and dashes.")]
    kind: Annotated[
        str, Field(description="`ner`, `classification`, `multilabel`, `regression`, `signals`, or one of `extensions.modules`.")
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
    ] = Field(default_factory=dict)
    splits: Annotated[
        dict[LabelName, tuple[LabelName, ...]],
        Field(description="Label -> the narrower labels that take its place; its rows wait at the desk."),
    ] = Field(default_factory=dict)
    retired: Annotated[
        tuple[LabelName, ...], Field(description="Labels that are neither learnt nor answered any more; their rows are left out.")
    ] = ()
    label_words: Annotated[
        LabelWords,
        Field(
            description="What labels mean in words, from which a head starts: label -> words, `names` (of each label its name), "
            "`none`, or `auto`: names where the base model is one for inference (classification, multilabel)."
        ),
    ] = "auto"
    hypothesis: Annotated[
        Hypothesis, Field(description="The sentence that such a base model is asked about a text, with {} for a label's words.")
    ] = "This text is about {}."
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
    ] = Field(default_factory=dict)
    signals: Annotated[
        tuple[Category, ...],
        Field(
            max_length=MAX_CATEGORIES,
            description="The categories that are told apart, each with its tags and keywords (signals).",
        ),
    ] = ()
    prefilter: Annotated[Prefilter | None, Field(description="Rules by which an import leaves texts out; none by default.")] = (
        None
    )
    weak_labels: Annotated[WeakLabels, Field(description="Rules that label texts nobody has labelled; none by default.")] = (
        WeakLabels()
    )
    oracle: Annotated[Oracle, Field(description="What a language model is told that labels texts; none by default.")] = Oracle()
    must_not_break: Annotated[
        tuple[Example, ...],
        Field(
            max_length=MOST_EXAMPLES,
            description="Texts with the answers that each candidate must give, or it is not promoted.",
        ),
    ] = ()
    export: Annotated[
        str,
        Field(
            pattern=r"^[a-z][a-z0-9-]{0,62}$",
            description="In which form a model is served (transformer): `none` its weights, `auto` the quickest variant within "
            "the budget, or a variant's name, such as `openvino-int8`.",
        ),
    ] = "none"
    export_budget: Annotated[
        float,
        Field(ge=0, lt=1, description="Quality that a variant may lose on newer training rows (0..1; 0.005: half a point)."),
    ] = 0.005
    trigger: Trigger = Trigger()
    refresh: Refresh = Refresh()
    training: Training = Training()
    promotion: Promotion
    feedback: FeedbackPolicy = FeedbackPolicy()
    quality: Quality = Quality()
    review: Review = Review()
    next_labels: NextLabels = NextLabels()

    @model_validator(mode="before")
    @classmethod
    def _without_labels(cls, values: Any) -> Any:  # noqa: ANN401 - pydantic hands over whatever the file holds
        """Spare a task of numbers or signals the key `labels`."""
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

    @property
    def declared(self) -> Sequence[Any]:
        """What targets speak of where the task's kind has no labels: its dimensions, or its signals; else nothing."""
        kind = kinds.get(self.kind)
        found: Sequence[Any] = getattr(self, kind.declares, ()) if isinstance(kind, Measures) else ()
        return found

    @cached_property
    def keywords(self) -> Keywords | None:
        """What answers while there is no champion; None where the file lists no keywords."""
        kind = kinds.get(self.kind)
        return kind.keywords(getattr(self, kind.declares, ())) if isinstance(kind, HasKeywords) else keywords_of_rules(self)

    @model_validator(mode="after")
    def _of_the_backend(self) -> Self:
        if self.backend == "transformer" and self.base_model.startswith("blank:"):
            message = f"base_model {self.base_model!r} is one of spaCy's; on backend transformer write minilm, an id or a path"
            raise ValueError(message)
        if self.backend != "transformer" and self.export not in ("none", "auto"):
            message = (
                f"export {self.export!r} is for backend transformer; on {self.backend} models are served as they are; remove it"
            )
            raise ValueError(message)
        if self.training.teacher is not None and self.kind not in TAUGHT_KINDS:
            message = f"training.teacher is not built for kind {self.kind}, but for {', '.join(TAUGHT_KINDS)}; remove it"
            raise ValueError(message)
        if self.training.teacher is not None and self.training.processes > 1:
            message = "training.teacher is not built for several processes (training.processes); remove one of them"
            raise ValueError(message)
        if self.backend != "transformer" and (unfit := self.training.only_of_transformers):
            message = f"training.{unfit[0]} ({getattr(self.training, unfit[0])}) is for backend transformer; remove it"
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
        if (problem := self._misfit(kind)) is not None:
            raise ValueError(problem)
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

    @model_validator(mode="after")
    def _baseline_is_there(self) -> Self:
        if self.promotion.baseline == "keywords" and self.keywords is None:
            message = "promotion.baseline keywords needs keywords; list some in the file, or write `baseline: majority`"
            raise ValueError(message)
        return self

    def _misfit(self, kind: Kind) -> str | None:
        """Return, in words, what the task asks for that does not fit its kind; None where all does."""
        if self.abstain_below and not {"label", "scores"} <= kind.shown.model_fields.keys():
            return f"abstain_below needs one label a text and its probability, and answers of kind {self.kind} differ; remove it"
        if self.training.contradicted_weight < 1.0 and "label" not in kind.shown.model_fields:
            return f"training.contradicted_weight needs one label a text, and kind {self.kind} has others; remove it"
        of_whole_texts = isinstance(kind, ExcludesLabels) and not kind.positional
        if not of_whole_texts and (unfit := self.training.only_of_whole_texts):
            return f"training.{unfit[0]} does not fit kind {self.kind}, which has no labels of whole texts; remove it"
        return (
            built.misfit(self)
            or label_problems.misfit(self)
            or limits.misfit(self.promotion.limits, kind.metrics, self.kind)
            or label_words.misfit(self, of_whole_texts=of_whole_texts)
            or measured.misfit(self, kind.declares if isinstance(kind, Measures) else None)
            or unfit_example(self)
            or unfit_rules(self)
            or unfit_oracle(self)
        )

    def accepts_label(self, label: str) -> bool:
        """Return whether an example may carry `label` (after renames)."""
        return self.labels == "open" or self.renames.get(label, label) in self.label_names

    @property
    def gone(self) -> frozenset[str]:
        """Labels that no row teaches and no model answers any more: retired, or split into others."""
        return frozenset((*self.retired, *self.splits))

    def teaches(self, label: str) -> bool:
        """Return whether models may learn and answer a label, by its name in force."""
        return self.accepts_label(label) and label not in self.gone


def load_task(path: Path) -> TaskSpec:
    """Read one task file. Raises `UserError` naming file, key, what is wrong and the choices."""
    return validated(mapping_of(path), path)


def mapping_of(path: Path) -> dict[str, Any]:
    """Return what a YAML file holds. Raises `UserError` where that is not a mapping of keys."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        message = f"{path} cannot be read as YAML: {error}"
        raise UserError(message) from None
    if not isinstance(content, dict):
        message = f"{path} must hold a mapping of keys such as `name:` and `kind:`; it holds {type(content).__name__}"
        raise UserError(message)
    return content


def load_filter(folder: Path) -> TaskSpec:
    """Read a filter folder as a task (`config.task_files.filters`). Raises `UserError` as `load_task` does."""
    return validated(filters.content_of(folder), folder / filters.CONFIG_FILE)


def validated(content: Mapping[str, Any], path: Path) -> TaskSpec:
    """Return the task that the content of the file `path` describes. Raises `UserError` naming each key that is wrong."""
    try:
        return TaskSpec.model_validate(content)
    except ValidationError as error:
        lines = [problems.explain(problem, TaskSpec) for problem in error.errors()]
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
