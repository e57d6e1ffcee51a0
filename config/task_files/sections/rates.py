"""A step size in a task file: a number above 0, or `auto`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

NUMBER_TAG = "a number"
"""Stands in where pydantic says that something is wrong; no key is called so."""


def _which(value: object) -> str:
    return "auto" if value == "auto" else NUMBER_TAG


Rate = Annotated[
    Annotated[float, Field(gt=0, allow_inf_nan=False), Tag(NUMBER_TAG)] | Annotated[Literal["auto"], Tag("auto")],
    Discriminator(_which),
]
