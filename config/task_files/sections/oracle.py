"""What a language model is told of a task when it labels texts: the rubric, what labels mean, and when it may be believed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, model_validator

from config.foreign.labels import LabelName
from config.kinds.signals.categories import label_of
from config.task_files.sections.section import Section

if TYPE_CHECKING:
    from config.tasks import TaskSpec

KINDS = ("classification", "multilabel", "signals", "regression", "ner")
"""Those whose texts a language model can label."""
MOST_TEXT = 20_000
PLACES = ("{rubric}", "{answers}", "{format}")
"""What a template holds: the rubric, the labels or dimensions, the form of an answer."""


class Calibration(Section):
    """The texts on which a prompt is judged before it may label."""

    on_topic: Annotated[int, Field(ge=0, le=1_000, description="Texts in which rules find something, or models are sure.")] = 30
    off_topic: Annotated[int, Field(ge=0, le=1_000, description="Texts in which no rule finds anything.")] = 15
    edge: Annotated[int, Field(ge=0, le=1_000, description="Texts in which rules disagree, or models are unsure.")] = 15
    gold: Annotated[int, Field(ge=0, le=1_000, description="Texts that people labelled, of the train side.")] = 40
    seed: Annotated[int, Field(ge=0, description="Draws the first sample; the fresh one is drawn by the prompt.")] = 1
    min_agreement: Annotated[
        float,
        Field(ge=0, le=1, description="Agreement with people, and by label recall and precision, below which it is REVIEW."),
    ] = 0.75

    @model_validator(mode="after")
    def _has_texts(self) -> Self:
        if not self.on_topic + self.off_topic + self.edge + self.gold:
            message = "calibration asks for no text; give on_topic, off_topic, edge or gold a number"
            raise ValueError(message)
        return self


class Oracle(Section):
    """What a language model is told, and what its labels weigh."""

    rubric: Annotated[
        str, Field(max_length=MOST_TEXT, description="What is to be decided, in words; empty: there is no oracle.")
    ] = ""
    answers: Annotated[
        dict[LabelName, Annotated[str, Field(max_length=2_000)]],
        Field(
            max_length=1_000, description="Label, dimension or `category:tag` -> what it means. They join the task's own names."
        ),
    ] = Field(default_factory=dict)
    template: Annotated[
        str,
        Field(
            max_length=MOST_TEXT, description="The system message, with {rubric}, {answers} and {format}; empty: the kind's own."
        ),
    ] = ""
    max_chars: Annotated[int, Field(ge=100, le=200_000, description="At most so many characters of a text are sent.")] = 8_000
    weight: Annotated[
        float, Field(gt=0, le=1, description="What such a label weighs beside a person's 1, times its confidence.")
    ] = 0.7
    calibration: Calibration = Calibration()

    @model_validator(mode="after")
    def _can_be_filled_in(self) -> Self:
        if self.template and (missing := [place for place in PLACES if place not in self.template]):
            message = f"oracle.template has no {missing[0]}; write it where that is to stand"
            raise ValueError(message)
        parts = type(self).model_fields.items()
        given = [name for name, part in parts if getattr(self, name) != part.get_default(call_default_factory=True)]
        if given and not self.rubric.strip():
            message = "oracle has no rubric; say in words what is to be decided"
            raise ValueError(message)
        return self


def names_of(task: TaskSpec) -> tuple[str, ...]:
    """Return what the oracle may answer: labels, dimensions, or of signals `category:tag`."""
    if task.kind == "signals":
        return tuple(label_of(one.name, tag) for one in task.signals for tag in one.tag_names)
    if task.kind == "regression":
        return tuple(one.name for one in task.dimensions)
    rules = task.weak_labels
    listed = (*task.label_names, *task.oracle.answers, *(rule.label for rule in rules.rules), *filter(None, [rules.otherwise]))
    in_force = dict.fromkeys(task.renames.get(name, name) for name in listed)
    return tuple(name for name in in_force if name not in task.gone and name not in task.training.exclude_labels)


def misfit(task: TaskSpec) -> str | None:
    """Return, in words, what of the oracle does not fit its task; None where all does."""
    given = task.oracle
    if not given.rubric:
        return None
    if task.kind not in KINDS:
        return f"oracle is not built for kind {task.kind}, but for {', '.join(KINDS)}; remove it"
    names = names_of(task)
    closed = task.labels == "closed" and task.kind not in ("signals", "regression")
    for name in given.answers:
        if name not in names or (closed and not task.accepts_label(name)):
            return f"oracle.answers explains {name!r}, which this task does not have; remove it or correct the name"
    least = 1 if task.kind != "classification" else 2
    if len(names) < least:
        return f"oracle knows {len(names)} of at least {least} labels; list them in label_names or explain them in oracle.answers"
    return None
