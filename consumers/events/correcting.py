"""Events that change labels: one was wrong, or some hold no more."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from config.foreign.ids import ForeignId
from config.kinds.values import at_most
from consumers.events.event import ArticleId, EventFields, EventId, Note, TaskName


class LabelCorrection(EventFields):
    """A label was wrong: its target is another from now on, wherever it is stored."""

    type: Literal["label_correction"] = "label_correction"
    task: TaskName
    label_id: Annotated[EventId, Field(description="The event id of the label.")]
    target: Annotated[dict[str, Any], Field(description="What is right.")]
    annotator: Annotated[ForeignId, Field(description="The person who corrects it.")]
    article_id: Annotated[ArticleId | None, Field(description="The label's article: with it, this goes when that is erased.")] = (
        None
    )
    note: Note = None


class WeakLabelsWithdrawn(EventFields):
    """Labels that no person gave (by rules, or a language model) hold no more: rules or prompt were changed, or people spoke."""

    type: Literal["weak_labels_withdrawn"] = "weak_labels_withdrawn"
    task: TaskName
    event_ids: Annotated[
        tuple[EventId, ...],
        Field(min_length=1, max_length=1_000, description="By their event ids."),
        BeforeValidator(at_most(1_000)),
    ]
    reason: Annotated[str, Field(min_length=1, max_length=500)]
