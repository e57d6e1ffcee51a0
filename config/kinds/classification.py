"""Classification: the one label of a text."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field

from config.foreign.labels import LabelName, label, label_of_stored
from config.kinds import forms, values
from config.kinds.kind import ANY, UNKNOWN, Answer, Piece, Relation, RowValues, Target, Words
from config.kinds.values import MAX_SCORES, Answered, Frozen, at_most

_ROUNDING = 1e-3
"""Probabilities come from floats of 16 or 32 bits."""

_Name = Annotated[str, Field(min_length=1, max_length=1_000)]


class LabelTarget(Frozen):
    """The one label of a text."""

    label: LabelName


class LabelAnswer(Answered):
    """The label that a model gave, and the probability of each."""

    label: _Name
    scores: Annotated[
        dict[_Name, Annotated[float, Field(ge=-_ROUNDING, le=1 + _ROUNDING, strict=True)]], BeforeValidator(at_most(MAX_SCORES))
    ] = Field(default_factory=dict)


class ShownLabel(BaseModel):
    """As HTTP sends it."""

    label: Annotated[str, Field(description="The most probable label.")] = ""
    scores: Annotated[dict[str, float], Field(description="Probability per label, highest first.")] = {}


class Classification:
    """One label a text; a model also gives a probability for each."""

    name = "classification"
    key = "label"
    target: type[BaseModel] = LabelTarget
    answer: type[BaseModel] = LabelAnswer
    shown: type[BaseModel] = ShownLabel
    backends: tuple[str, ...] = ("transformer",)
    metrics: tuple[str, ...] = ("macro_f1", "accuracy")
    columns: tuple[str, ...] = ("label",)
    positional = False
    several = False
    widget: forms.Widget = "one"
    words = Words(task="a classification", about="one label a text", majority="most frequent label")

    def labels(self, target: Target) -> list[str]:
        """Return the one label."""
        return [target["label"]]

    def spelt(self, label: str) -> str:
        """Return how JSON spells a label."""
        return values.spelt(label)

    def as_read(self, target: Target) -> dict[str, Any]:
        """Return a valid target with its label as it is read."""
        return {**target, "label": label(target["label"])}

    def renamed(self, target: Target, new_name: Callable[[str], str]) -> dict[str, Any]:
        """Return a target with its label under the new name."""
        return {**target, "label": new_name(target["label"])}

    def without(self, target: Target, excluded: Collection[str]) -> dict[str, Any] | None:
        """Return the target; None where its label is excluded."""
        return None if target["label"] in excluded else dict(target)

    def fits(self, target: Target) -> bool:
        """Return whether the label column contains a whole text."""
        return isinstance(target.get("label"), str)

    def misplaced(self, value: Target | Answer, text: str) -> str | None:  # noqa: ARG002 - a label can be said of any text
        """Return None."""
        return None

    def relation(self, one: Target, other: Target) -> Relation:
        """Return whether two labels are equal or not."""
        return "same" if one["label"] == other["label"] else "contrary"

    def moves(self, answer: Answer | None, target: Target, confident_from: float) -> Sequence[tuple[str, str]]:
        """Return the move to the target's label, from the answer's and from any."""
        old, new = UNKNOWN if answer is None else answer["label"], target["label"]
        if answer is not None and (old == new or answer.get("scores", {}).get(old, 1.0) < confident_from):
            return []
        return [(old, new), (ANY, new)]

    def plain(self, answer: Answer) -> dict[str, Any]:
        """Return the label and the probabilities."""
        scores = {label_of_stored(name): score for name, score in answer.get("scores", {}).items()}
        return {"label": label_of_stored(answer["label"]), "scores": scores}

    def answered(self, answer: Answer, new_name: Callable[[str], str | None]) -> dict[str, Any]:
        """Return the most probable label that is left, and the probabilities of those left: of merged ones the sum."""
        scores = values.renamed_scores(answer.get("scores", {}), new_name, lambda one, other: min(1.0, one + other))
        if not scores:
            return {**answer, "label": new_name(answer["label"]) or answer["label"]}
        return {**answer, "label": next(iter(scores)), "scores": scores}

    def confirmed(self, answer: Answer) -> dict[str, Any]:
        """Return the target with the answer's label."""
        return {"label": answer["label"]}

    def corrected(self, target: Target) -> dict[str, Any] | None:
        """Return the label with a score of 1: who reads scores must not pass over what a person has said."""
        return {"label": target["label"], "scores": {target["label"]: 1.0}}

    def from_row(self, row: RowValues) -> dict[str, Any] | None:
        """Return the target with the row's label."""
        found = row.label("label")
        return {"label": found} if found else None

    def from_form(self, given: forms.Given, text: str) -> dict[str, Any]:  # noqa: ARG002 - a label can be said of any text
        """Return the target with the chosen label."""
        return {"label": forms.one(given)}

    def form_of(self, target: Target) -> dict[str, list[str]]:
        """Return the label as the form holds it."""
        return {forms.LABEL: [target["label"]]}

    def in_words(self, target: Target) -> str:
        """Return the label."""
        return str(target["label"])

    def pieces(self, answer: Answer, text: str) -> list[Piece]:
        """Return the label with its probability, then the text."""
        share = answer.get("scores", {}).get(answer["label"])
        pieces: list[Piece] = [(str(answer["label"]), "strong")]
        pieces += [(f" {share:.0%}", "faint")] if share is not None else []
        pieces += [(" abstained", "warning")] if answer.get("abstained") else []
        pieces += [(" read in part", "warning")] if answer.get("truncated") else []
        return [*pieces, ("  ", "plain"), (values.excerpt(text), "plain")]
