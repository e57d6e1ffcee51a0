"""Multi-label classification: the labels of a text, of which there may be several or none."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

from config.foreign.labels import LabelName, label, label_of_stored
from config.kinds import forms, values
from config.kinds.kind import NOTHING, UNKNOWN, Answer, Piece, Relation, RowValues, Target, Words
from config.kinds.values import MAX_SCORES, Answered, Frozen, at_most

MAX_LABELS = 1_000
"""Of one text."""
MAX_ANSWERED_LABELS = 10_000
"""As many as a model may have."""
_ROUNDING = 1e-3
"""Probabilities come from floats of 16 or 32 bits."""

_Name = Annotated[str, Field(min_length=1, max_length=1_000)]


def _as_set(labels: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(set(labels)))


class LabelsTarget(Frozen):
    """The labels of a text; an empty list says that it has none of them."""

    labels: Annotated[
        tuple[LabelName, ...],
        Field(max_length=MAX_LABELS, description="A set: the order says nothing, and a label that stands twice counts once."),
        BeforeValidator(at_most(MAX_LABELS, "; leave some out")),
        AfterValidator(_as_set),
    ]


class LabelsAnswer(Answered):
    """The labels that a model gave, and the probability of each label that it knows."""

    labels: Annotated[tuple[_Name, ...], BeforeValidator(at_most(MAX_ANSWERED_LABELS))]
    scores: Annotated[
        dict[_Name, Annotated[float, Field(ge=-_ROUNDING, le=1 + _ROUNDING, strict=True)]], BeforeValidator(at_most(MAX_SCORES))
    ] = Field(default_factory=dict)


class ShownLabels(BaseModel):
    """As HTTP sends it."""

    labels: Annotated[list[str], Field(description="The labels whose probability reaches their threshold, by name.")] = []
    scores: Annotated[dict[str, float], Field(description="Probability per label, highest first.")] = {}


class MultiLabel:
    """Any number of labels a text; a model gives a probability for each, and its threshold decides."""

    name = "multilabel"
    key = "labels"
    target: type[BaseModel] = LabelsTarget
    answer: type[BaseModel] = LabelsAnswer
    shown: type[BaseModel] = ShownLabels
    backends: tuple[str, ...] = ("transformer",)
    metrics: tuple[str, ...] = ("macro_f1", "micro_f1", "subset_accuracy")
    columns: tuple[str, ...] = ("labels",)
    positional = False
    several = True
    widget: forms.Widget = "several"
    words = Words(
        task="a multi-label classification", about="several labels a text, or none", majority="most frequent label",
        empty="texts without a label",
    )  # fmt: skip

    def labels(self, target: Target) -> list[str]:
        """Return the labels."""
        return list(target["labels"])

    def spelt(self, label: str) -> str:
        """Return the label as a JSON string: it stands in a list."""
        return json.dumps(label, ensure_ascii=False)

    def as_read(self, target: Target) -> dict[str, Any]:
        """Return a valid target with its labels as they are read, each once, by name."""
        return {**target, "labels": list(_as_set(tuple(map(label, target["labels"]))))}

    def renamed(self, target: Target, new_name: Callable[[str], str]) -> dict[str, Any]:
        """Return a target with each label under its new name; two that get one name become one."""
        return {**target, "labels": list(_as_set(tuple(map(new_name, target["labels"]))))}

    def without(self, target: Target, excluded: Collection[str]) -> dict[str, Any] | None:
        """Return the target without these labels; a text that has no other has none."""
        return {**target, "labels": [name for name in target["labels"] if name not in excluded]}

    def fits(self, target: Target) -> bool:
        """Return whether the labels are a list of whole texts."""
        labels = target.get("labels")
        return isinstance(labels, list | tuple) and all(isinstance(name, str) for name in labels)

    def scope(self, target: Target) -> Sequence[str] | None:  # noqa: ARG002 - it is told by where a row comes from
        """Return None: a target does not tell which labels whoever gave it knew."""
        return None

    def misplaced(self, value: Target | Answer, text: str) -> str | None:  # noqa: ARG002 - a label can be said of any text
        """Return None."""
        return None

    def relation(self, one: Target, other: Target) -> Relation:
        """Return `same` for equal sets, `contrary` for sets that share nothing: careful people differ in one label or another."""
        ones, others = set(one["labels"]), set(other["labels"])
        return "same" if ones == others else "unlike" if ones & others else "contrary"

    def moves(self, answer: Answer | None, target: Target, confident_from: float) -> Sequence[tuple[str, str]]:
        """Return the labels that were taken away and those that were added, each as a move from or to nothing.

        None is from any label: a text has several, and most corrections of a day may well add one of the commonest.
        """
        said = set(target["labels"])
        if answer is None:
            return [(UNKNOWN, name) for name in sorted(said)] or [(UNKNOWN, NOTHING)]
        shown, scores = set(answer["labels"]), answer.get("scores", {})
        taken = {(name, NOTHING) for name in shown - said if scores.get(name, 1.0) >= confident_from}
        added = {(NOTHING, name) for name in said - shown if 1.0 - scores.get(name, 0.0) >= confident_from}
        return sorted(taken | added)

    def plain(self, answer: Answer) -> dict[str, Any]:
        """Return the labels, each once and by name, and the probabilities."""
        scores = {label_of_stored(name): score for name, score in answer.get("scores", {}).items()}
        return {"labels": list(_as_set(tuple(map(label_of_stored, answer["labels"])))), "scores": scores}

    def answered(self, answer: Answer, new_name: Callable[[str], str | None]) -> dict[str, Any]:
        """Return the labels that are left, and the probabilities of those left: of merged ones the higher."""
        names = {name for old in answer["labels"] if (name := new_name(old)) is not None}
        return {**answer, "labels": sorted(names), "scores": values.renamed_scores(answer.get("scores", {}), new_name, max)}

    def confirmed(self, answer: Answer) -> dict[str, Any]:
        """Return the target with the answer's labels."""
        return {"labels": list(_as_set(tuple(answer["labels"])))}

    def corrected(self, target: Target) -> dict[str, Any] | None:
        """Return the labels, each with a score of 1: who reads scores must not pass over what a person has said."""
        said = self.confirmed(target)["labels"]
        return {"labels": said, "scores": dict.fromkeys(said, 1.0)}

    def from_row(self, row: RowValues) -> dict[str, Any] | None:
        """Return the target with the row's labels: a list without one says that the text has none."""
        return {"labels": list(_as_set(tuple(row.labels("labels"))))}

    def from_form(self, given: forms.Given, text: str) -> dict[str, Any]:  # noqa: ARG002 - a label can be said of any text
        """Return the target with the chosen labels."""
        return {"labels": forms.several(given)}

    def form_of(self, target: Target) -> dict[str, list[str]]:
        """Return the labels as the form holds them."""
        return {forms.LABEL: list(target["labels"])}

    def in_words(self, target: Target) -> str:
        """Return the labels."""
        return ", ".join(target["labels"]) or "no label"

    def pieces(self, answer: Answer, text: str) -> list[Piece]:
        """Return the labels with their probabilities, then the text."""
        scores = answer.get("scores", {})
        pieces: list[Piece] = []
        for name in sorted(answer["labels"], key=lambda name: (-scores.get(name, 1.0), name)):
            pieces.append((f"{', ' if pieces else ''}{name}", "strong"))
            pieces += [(f" {scores[name]:.0%}", "faint")] if name in scores else []
        pieces = pieces or [("no label", "faint")]
        pieces += [(" read in part", "warning")] if answer.get("truncated") else []
        return [*pieces, ("  ", "plain"), (values.excerpt(text), "plain")]
