"""What people and models say of the categories of signals, as JSON holds it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, model_validator

from config.foreign.labels import LabelName
from config.kinds.signals.categories import MAX_CATEGORIES
from config.kinds.values import Answered, Frozen, at_most
from perennial_artifact.keywords import NOTHING

_ROUNDING = 1e-3
"""Scores and probabilities come from floats of 16 or 32 bits."""

Name = Annotated[str, Field(min_length=1, max_length=100)]


def complete(said: Any) -> Any:  # noqa: ANN401 - whatever JSON holds; what is no object pydantic refuses
    """Return what is said of one category with its tag, where the score tells it: a score of 0 says nothing of the category.

    Raises `ValueError` for a tag without its score, and for the tag `none` with one that is not 0.
    """
    if not isinstance(said, Mapping):
        return said
    score, tag = said.get("score"), said.get("tag")
    if score is None:
        message = (
            f"tag {tag!r:.80} has no score; give one from -1 to 1"
            if tag is not None
            else "there is no score; give one from -1 to 1"
        )
        raise ValueError(message)
    if tag is None:
        rest = {key: value for key, value in said.items() if key != "tag"}
        return {**rest, "tag": NOTHING} if _is_zero(score) else rest
    if tag == NOTHING and not _is_zero(score):
        message = f"tag {NOTHING} says nothing of the category, and its score is {score!r:.40}; give 0, or another tag"
        raise ValueError(message)
    return said


def _is_zero(score: object) -> bool:
    return isinstance(score, int | float) and not isinstance(score, bool) and score == 0


def _known(found: dict[str, Any]) -> dict[str, Any]:
    known = {name: said for name, said in found.items() if said is not None}
    if not known:
        message = "nothing is said of any category; give the score of at least one"
        raise ValueError(message)
    return known


class SignalTarget(Frozen):
    """What is right of one category."""

    score: Annotated[
        float,
        Field(ge=-1, le=1, allow_inf_nan=False, strict=True, description="From -1 to 1; 0: it says nothing, or is neutral."),
    ]
    tag: Annotated[
        LabelName | None, Field(description="What it is about; left out: not known, and with a score of 0 `none`.")
    ] = None

    _complete = model_validator(mode="before")(complete)


class SignalsTarget(Frozen):
    """The signal of each category of a text; null, or absent, where it is not known."""

    signals: Annotated[
        dict[Name, SignalTarget | None],
        Field(min_length=1, max_length=MAX_CATEGORIES, description="By category; at least one that is known."),
        BeforeValidator(at_most(MAX_CATEGORIES)),
        AfterValidator(_known),
    ]


class SignalAnswer(Answered):
    """What a model, or keywords, said of one category."""

    score: Annotated[float, Field(ge=-1 - _ROUNDING, le=1 + _ROUNDING, allow_inf_nan=False, strict=True)]
    tag: Annotated[str, Field(min_length=1, max_length=1_000)] | None = None
    probability: Annotated[float, Field(ge=-_ROUNDING, le=1 + _ROUNDING, strict=True)] | None = None


class SignalsAnswer(Answered):
    """The signal of each category that was learnt, or has keywords."""

    signals: Annotated[
        dict[Name, SignalAnswer], Field(min_length=1, max_length=MAX_CATEGORIES), BeforeValidator(at_most(MAX_CATEGORIES))
    ]


class ShownSignal(BaseModel):
    """One category, as HTTP sends it."""

    score: Annotated[float, Field(description="From -1 to 1; 0 where the text says nothing of the category.")]
    tag: Annotated[str | None, Field(description="What it is about; `none`: nothing. Null before any row told a tag.")] = None
    probability: Annotated[float | None, Field(description="Of the tag; keywords and corrections have none.")] = None


class ShownSignals(BaseModel):
    """As HTTP sends it."""

    signals: Annotated[dict[str, ShownSignal], Field(description="Score and tag per category.")] = {}
