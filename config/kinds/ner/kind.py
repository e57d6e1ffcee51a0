"""Entity recognition, as a kind of task."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from config.foreign.labels import label, label_of_stored
from config.kinds import forms, values
from config.kinds.kind import Answer, Piece, Relation, RowValues, Target, Words
from config.kinds.ner import agreement
from config.kinds.ner.models import NerAnswer, NerTarget, ShownEntities


class Ner:
    """The entities of a text."""

    name = "ner"
    key = "spans"
    target: type[BaseModel] = NerTarget
    answer: type[BaseModel] = NerAnswer
    shown: type[BaseModel] = ShownEntities
    backends: tuple[str, ...] = ("spacy", "transformer")
    metrics: tuple[str, ...] = ("entity_f1",)
    columns: tuple[str, ...] = ("spans",)
    positional = True
    several = True
    widget: forms.Widget = "spans"
    words = Words(
        task="entity recognition", about="entities", majority="finds no entity",
        base_model="on spaCy `base_model: blank:en` or a pipeline", empty="texts without an entity",
    )  # fmt: skip

    def labels(self, target: Target) -> list[str]:
        """Return the type of each span."""
        return [span["label"] for span in target["spans"]]

    def spelt(self, label: str) -> str:
        """Return how JSON spells a type."""
        return values.spelt(label)

    def as_read(self, target: Target) -> dict[str, Any]:
        """Return a valid target with types and offsets as they are read."""
        spans = [
            {**span, "start": values.whole(span["start"]), "end": values.whole(span["end"]), "label": label(span["label"])}
            for span in target["spans"]
        ]
        return {**target, "spans": spans} | _types(target, label)

    def renamed(self, target: Target, new_name: Callable[[str], str]) -> dict[str, Any]:
        """Return a target with each type under its new name."""
        spans = [{**span, "label": new_name(span["label"])} for span in target["spans"]]
        return {**target, "spans": spans} | _types(target, new_name)

    def scope(self, target: Target) -> Sequence[str] | None:
        """Return the types that whoever marked the text knew, where the target tells."""
        return target.get("types")

    def fits(self, target: Target) -> bool:
        """Return whether every span has a type and is not empty."""
        spans = target.get("spans")
        return isinstance(spans, list | tuple) and all(map(_is_span, spans))

    def misplaced(self, value: Target | Answer, text: str) -> str | None:
        """Return which span ends outside the text, in words."""
        for span in value["spans"]:
            if span["end"] > len(text):
                where = f"span {span['start']:.0f}-{span['end']:.0f} ({span['label']})"
                return f"{where} ends outside the text, which has {len(text)} code points"
        return None

    def relation(self, one: Target, other: Target) -> Relation:
        """Return whether two people found the same."""
        return agreement.relation(one, other)

    def moves(self, answer: Answer | None, target: Target, confident_from: float) -> Sequence[tuple[str, str]]:  # noqa: ARG002 - entities have no probability
        """Return the moves of types.

        None is from any type: a text holds many entities, and most corrections of a day may well add one of the commonest type.
        """
        return sorted(agreement.moves(answer, target))

    def plain(self, answer: Answer) -> dict[str, Any]:
        """Return the spans."""
        return {
            "spans": [
                {"start": span["start"], "end": span["end"], "label": label_of_stored(span["label"])} for span in answer["spans"]
            ]
        }

    def answered(self, answer: Answer, new_name: Callable[[str], str | None]) -> dict[str, Any]:
        """Return the spans whose type is left."""
        named = [{**span, "label": new_name(span["label"])} for span in answer["spans"]]
        return {**answer, "spans": [span for span in named if span["label"] is not None]}

    def without(self, target: Target, excluded: Collection[str]) -> dict[str, Any] | None:
        """Return the target without entities of these types, of which it then says nothing."""
        left = {**target, "spans": [span for span in target["spans"] if span["label"] not in excluded]}
        types = [name for name in target.get("types") or () if name not in excluded]
        if target.get("types") is not None and not types:
            return None
        return {**left, "types": types} if types else left

    def confirmed(self, answer: Answer) -> dict[str, Any]:
        """Return the target with the answer's spans."""
        return {"spans": [{name: span[name] for name in ("start", "end", "label")} for span in answer["spans"]]}

    def corrected(self, target: Target) -> dict[str, Any] | None:
        """Return the spans in order; None for a partial target, which leaves the rest of its text open."""
        if target.get("partial"):
            return None
        return {"spans": sorted(self.confirmed(target)["spans"], key=lambda span: span["start"])}

    def from_row(self, row: RowValues) -> dict[str, Any] | None:
        """Return the target with the row's spans."""
        found: dict[str, Any] = {"spans": row.spans("spans")}
        if row.partial:
            found["partial"] = True
        return found if row.types is None else {**found, "types": sorted(set(row.types))}

    def from_form(self, given: forms.Given, text: str) -> dict[str, Any]:
        """Return the target with the marked spans: all that the text has."""
        return {"spans": forms.spans(given, text)}

    def form_of(self, target: Target) -> dict[str, list[str]]:
        """Return the spans as the form holds them, one a line."""
        lines = [f"{span['start']}-{span['end']} {span['label']}" for span in target["spans"]]
        return {forms.SPANS: ["\n".join(lines)]}

    def in_words(self, target: Target) -> str:
        """Return the spans with their types."""
        return ", ".join(f"{span['start']}-{span['end']} {span['label']}" for span in target["spans"]) or "no entity"

    def pieces(self, answer: Answer, text: str) -> list[Piece]:
        """Return the text with its entities marked."""
        pieces: list[Piece] = []
        at = 0
        for span in sorted(answer["spans"], key=lambda span: int(span["start"])):
            pieces += [(text[at : span["start"]], "plain"), (text[span["start"] : span["end"]], "strong")]
            pieces.append((f"[{span['label']}]", "faint"))
            at = span["end"]
        return [*pieces, (text[at:], "plain")]


def _types(target: Target, new_name: Callable[[str], str]) -> dict[str, Any]:
    types = target.get("types")
    return {} if types is None else {"types": sorted({new_name(name) for name in types})}


def _is_span(span: object) -> bool:
    if not isinstance(span, Mapping) or not isinstance(span.get("label"), str):
        return False
    start, end = span.get("start"), span.get("end")
    return isinstance(start, int | float) and isinstance(end, int | float) and 0 <= start < end
