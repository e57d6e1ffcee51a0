"""Values of the types that read models are made of, with whatever strangers may write in them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from hypothesis import strategies as st
from pydantic import BaseModel

HOSTILE = st.text(st.one_of(st.characters(codec="utf-8"), st.sampled_from("\x1b\x9b\u202e\u2066\x00\x7f\n\t[]{}'\"\\<>&")))
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | HOSTILE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(HOSTILE, inner, max_size=3),
    max_leaves=5,
)
BY_TYPE: dict[Any, st.SearchStrategy[Any]] = {
    str: HOSTILE,
    int: st.integers(),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    NoneType: st.none(),
    datetime: st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30), timezones=st.just(UTC)),  # noqa: DTZ001 - bounds are naive
    Any: PLAIN,
}


def of_type(annotation: Any) -> st.SearchStrategy[Any]:  # noqa: PLR0911 - one for each way that types are made
    """Return values of a type that views are made of."""
    if annotation in BY_TYPE:
        return BY_TYPE[annotation]
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return of_type(inner[0])
    if origin is Literal:
        return st.sampled_from(inner)
    if origin in (Union, UnionType):
        return st.one_of(*map(of_type, inner))
    if origin is tuple:
        each = of_type(inner[0])
        return st.lists(each, max_size=3).map(tuple) if inner[-1] is Ellipsis else st.tuples(*map(of_type, inner))
    if origin in (dict, Mapping):
        return st.dictionaries(of_type(inner[0]), of_type(inner[1]), max_size=3)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = {name: of_type(field.annotation) for name, field in annotation.model_fields.items()}
        return st.fixed_dictionaries(fields).map(annotation.model_validate)
    message = f"nobody has said how {annotation} is made: views hold plain, typed values"
    raise NotImplementedError(message)
